package rollback.four_eyes_test

import data.rollback.four_eyes
import rego.v1

approved(phase, wanted, approvals) := {"rollback": {
	"phase": phase,
	"actor": "alice",
	"approvals": approvals,
	"settings": {"four_eyes": wanted},
}}

test_ones_own_yes_is_not_enough if {
	count(four_eyes.deny) == 1 with input as approved("apply", true, ["alice"])
	count(four_eyes.deny) == 1 with input as approved("apply", true, [])
}

test_the_yes_of_another_is if {
	count(four_eyes.deny) == 0 with input as approved("apply", true, ["alice", "bob"])
}

test_before_anybody_was_asked_it_is_only_said if {
	count(four_eyes.deny) == 0 with input as approved("plan", true, [])
	count(four_eyes.warn) == 1 with input as approved("plan", true, [])
}

test_elsewhere_one_person_suffices if {
	count(four_eyes.deny) == 0 with input as approved("apply", false, ["alice"])
	count(four_eyes.warn) == 0 with input as approved("plan", false, [])
}

broken(glass) := object.union(
	approved("apply", true, ["alice"]),
	{"rollback": {"broken_glass": glass}},
)

test_breaking_the_glass_goes_ahead if {
	count(four_eyes.deny) == 0 with input as broken({"by": "alice", "reason": "nobody answers"})
	count(four_eyes.deny) == 1 with input as broken(null)
}

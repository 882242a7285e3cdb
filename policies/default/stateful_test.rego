package rollback.stateful_test

import data.rollback.stateful
import rego.v1

going(kind, fate, holds, reversibility) := {"rollback": {"changes": [{
	"address": "x.y",
	"type": kind,
	"fate": fate,
	"holds": holds,
	"reversibility": reversibility,
}]}}

test_what_is_known_to_hold_something_is_said if {
	stateful.warn[{"msg": "x.y would go: the messages in it", "address": "x.y"}] with input as going("a_thing", "destroy", "the messages in it", "lossless")
}

test_what_has_a_telling_name_is_said if {
	count(stateful.warn) == 1 with input as going("acme_message_queue", "replace", null, "lossless")
}

test_what_is_kept_is_not if {
	count(stateful.warn) == 0 with input as going("acme_message_queue", "update", null, "lossless")
}

test_what_holds_nothing_is_not if {
	count(stateful.warn) == 0 with input as going("acme_route", "destroy", null, "lossless")
}

test_what_needs_a_yes_of_its_own_is_not_said_twice if {
	count(stateful.warn) == 0 with input as going("aws_db_instance", "destroy", "the database", "data-loss")
}

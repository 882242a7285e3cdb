package rollback.age_test

import data.rollback.age
import rego.v1

with_age(seconds, limit) := {"rollback": {
	"to": {"age_seconds": seconds},
	"settings": {"maximum_age_seconds": limit},
}}

test_too_old_is_refused if {
	count(age.deny) == 1 with input as with_age(91 * 86400, 90 * 86400)
}

test_young_enough_passes if {
	count(age.deny) == 0 with input as with_age(89 * 86400, 90 * 86400)
	count(age.warn) == 0 with input as with_age(89 * 86400, 90 * 86400)
}

test_without_a_limit_it_only_warns if {
	count(age.deny) == 0 with input as with_age(400 * 86400, null)
	age.warn["the target is 400 days old: what it talks to may have moved on"] with input as with_age(400 * 86400, null)
}

test_an_unknown_age_says_nothing if {
	count(age.deny) == 0 with input as with_age(null, 86400)
	count(age.warn) == 0 with input as with_age(null, null)
}

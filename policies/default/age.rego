# METADATA
# title: The target is not too old
# description: Refuses only where `maximum_age` under [policy] says how old it may be.
# custom:
#   level: soft-mandatory
package rollback.age

import rego.v1

day := 86400

old := 90 * day

age := input.rollback.to.age_seconds

limit := input.rollback.settings.maximum_age_seconds

words(seconds) := sprintf("%d days", [round(seconds / day)]) if seconds >= 2 * day

words(seconds) := sprintf("%d hours", [round(seconds / 3600)]) if {
	seconds < 2 * day
	seconds >= 7200
}

words(seconds) := sprintf("%d seconds", [seconds]) if seconds < 7200

deny contains msg if {
	is_number(age)
	is_number(limit)
	age > limit
	msg := sprintf("the target is %s old; at most %s are allowed", [words(age), words(limit)])
}

# METADATA
# custom:
#   level: advisory
warn contains msg if {
	is_number(age)
	not is_number(limit)
	age > old
	msg := sprintf("the target is %s old: what it talks to may have moved on", [words(age)])
}

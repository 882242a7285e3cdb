# METADATA
# title: A version that is known to be bad does not come back
# description: Marks come from [[policy.known_bad]] and from the notes of releases that begin with `known bad`.
# custom:
#   level: soft-mandatory
package rollback.known_bad

import rego.v1

deny contains msg if {
	some mark in input.rollback.known_bad
	msg := sprintf("%s is known to be bad: %s", [mark.revision, mark.reason])
}

# METADATA
# title: Changes made outside of Terraform are looked at
# description: A change by hand during the incident may be what keeps production up; the rollback would undo it.
# custom:
#   level: advisory
package rollback.drift

import rego.v1

warn contains {"msg": msg, "address": drift.address} if {
	some drift in input.rollback.drift
	some change in input.rollback.changes
	change.address == drift.address
	change.fate in {"update", "replace", "destroy"}
	not drift.address in input.rollback.accepted.changes
	msg := sprintf("%s was changed outside of Terraform (%s), and the rollback would %s it", [
		drift.address,
		concat(", ", array.concat(drift.actions, drift.attributes)),
		change.fate,
	])
}

# METADATA
# title: No data is lost unless somebody named the object
# description: The override is `--accept-data-loss ADDRESS`, object by object; there is no other.
# custom:
#   level: hard-mandatory
package rollback.data_loss

import rego.v1

deny contains {"msg": msg, "address": change.address} if {
	some change in input.rollback.changes
	change.reversibility in {"data-loss", "irreversible"}
	not change.address in input.rollback.accepted.data_loss
	msg := sprintf("%s cannot be taken back (%s): %s", [change.address, change.reversibility, change.reason])
}

# Where the steps are judged themselves, so that each is told once.
deny contains {"msg": msg, "address": step.name} if {
	input.rollback.stack == null
	some step in input.rollback.steps
	step.reversibility in {"data-loss", "irreversible"}
	not step.name in input.rollback.accepted.data_loss
	msg := sprintf("step %s cannot be taken back (%s)", [step.name, step.reversibility])
}

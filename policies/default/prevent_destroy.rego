# METADATA
# title: What prevent_destroy protects is not destroyed unless somebody named the object
# description: >-
#   As it stands in either release: terraform itself no longer looks once the block is gone. The override is
#   `--accept-data-loss ADDRESS`.
# custom:
#   level: hard-mandatory
package rollback.prevent_destroy

import rego.v1

deny contains {"msg": msg, "address": change.address} if {
	some change in input.rollback.changes
	change.fate in {"destroy", "replace"}
	is_string(change.protected)
	not change.address in input.rollback.accepted.data_loss
	msg := sprintf("%s is protected by prevent_destroy (%s)", [change.address, change.protected])
}

# METADATA
# title: Objects that hold something are not destroyed unseen
# description: >-
#   Whatever certainly loses data needs `--accept-data-loss` (see rollback.data_loss); this says what else that goes may
#   hold something, by what is known of its type or by its type's name.
# custom:
#   level: advisory
package rollback.stateful

import rego.v1

telling := `(?i)(_db_|_db$|database|bucket|volume|disk|_table$|queue|topic|file_system|filestore|redis|cache_cluster|cluster$|vault|secret$|kms_key|repository|snapshot|stream$)`

holds(change) := change.holds if {
	is_string(change.holds)
	change.holds != ""
}

holds(change) := "by the name of its type it may hold data" if {
	not is_string(change.holds)
	regex.match(telling, change.type)
}

warn contains {"msg": msg, "address": change.address} if {
	some change in input.rollback.changes
	change.fate in {"destroy", "replace"}
	not change.reversibility in {"data-loss", "irreversible"}
	msg := sprintf("%s would go: %s", [change.address, holds(change)])
}

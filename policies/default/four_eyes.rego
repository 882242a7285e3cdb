# METADATA
# title: Somebody else approves
# description: >-
#   Where `four_eyes` under [policy] names this environment, whoever asked for the rollback cannot be the one who
#   approves it. Over the API, whoever may break the glass goes ahead without: with a reason, on record.
# custom:
#   level: hard-mandatory
package rollback.four_eyes

import rego.v1

wanted if input.rollback.settings.four_eyes == true

others contains name if {
	some name in input.rollback.approvals
	name != input.rollback.actor
}

deny contains msg if {
	wanted
	input.rollback.phase == "apply"
	count(others) == 0
	not is_object(input.rollback.broken_glass)
	msg := sprintf("nobody but %s, who asked for it, has approved it", [input.rollback.actor])
}

# METADATA
# custom:
#   level: advisory
warn contains msg if {
	wanted
	input.rollback.phase == "plan"
	count(others) == 0
	msg := sprintf("somebody other than %s has to approve it", [input.rollback.actor])
}

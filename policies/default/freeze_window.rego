# METADATA
# title: Nothing changes in a freeze window
# description: A run that is halfway is finished all the same, since staying halfway is worse.
# custom:
#   level: soft-mandatory
package rollback.freeze_window

import rego.v1

deny contains msg if {
	some window in input.rollback.freeze
	not input.rollback.run.halfway
	msg := sprintf("the freeze window \"%s\" lasts until %s", [window.name, window.until])
}

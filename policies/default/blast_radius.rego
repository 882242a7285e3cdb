# METADATA
# title: Not too much changes at once
# description: Refuses only where `blast_radius` under [policy] says how many objects may change.
# custom:
#   level: soft-mandatory
package rollback.blast_radius

import rego.v1

# A move changes a name in the state and nothing in the world.
felt := {"create", "destroy", "replace", "update", "impossible"}

touched contains change.address if {
	some change in input.rollback.changes
	change.fate in felt
}

limit := input.rollback.settings.blast_radius

deny contains msg if {
	is_number(limit)
	count(touched) > limit
	msg := sprintf("it changes %d objects; at most %d are allowed", [count(touched), limit])
}

# METADATA
# custom:
#   level: advisory
warn contains msg if {
	not is_number(limit)
	count(touched) > 50
	msg := sprintf("it changes %d objects at once: consider --target", [count(touched)])
}

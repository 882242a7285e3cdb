# METADATA
# title: Nothing runs that does not run today
# description: >-
#   External programs, requests, provisioners, providers and modules of the target's configuration that the current
#   release does not have. It is asked before terraform is started in the target's configuration.
# custom:
#   level: soft-mandatory
package rollback.configuration

import rego.v1

# These run while terraform plans, before anybody was asked: that they ran when the target was deployed is no excuse.
at_plan := {"external", "http", "external-endpoint"}

excused(risk) if risk.in_current

excused(risk) if {
	risk.in_release
	not risk.kind in at_plan
}

deny contains {"msg": msg, "address": risk.address} if {
	some risk in input.rollback.risks
	not excused(risk)
	msg := sprintf("%s, which the current release does not have", [risk.message])
}

# METADATA
# custom:
#   level: advisory
warn contains {"msg": msg, "address": risk.address} if {
	some risk in input.rollback.risks
	excused(risk)
	risk.kind in {"provisioner", "external", "http", "external-endpoint"}
	msg := risk.message
}

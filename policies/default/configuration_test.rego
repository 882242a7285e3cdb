package rollback.configuration_test

import data.rollback.configuration
import rego.v1

with_risk(kind, in_current, in_release) := {"rollback": {"risks": [{
	"kind": kind,
	"address": "a.b",
	"message": "it runs something",
	"in_current": in_current,
	"in_release": in_release,
}]}}

test_what_is_new_is_refused if {
	every kind in ["external", "http", "provisioner", "provider", "module", "ephemeral"] {
		count(configuration.deny) == 1 with input as with_risk(kind, false, false)
	}
}

test_what_the_current_release_has_is_only_said if {
	count(configuration.deny) == 0 with input as with_risk("external", true, false)
	count(configuration.warn) == 1 with input as with_risk("external", true, false)
}

test_what_ran_when_the_target_was_deployed_is_only_said if {
	count(configuration.deny) == 0 with input as with_risk("provisioner", false, true)
	count(configuration.warn) == 1 with input as with_risk("provisioner", false, true)
}

test_but_not_what_runs_before_anybody_is_asked if {
	count(configuration.deny) == 1 with input as with_risk("external", false, true)
}

test_no_risk_no_word if {
	count(configuration.deny) == 0 with input as {"rollback": {"risks": []}}
	count(configuration.warn) == 0 with input as {"rollback": {"risks": []}}
}

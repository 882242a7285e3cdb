package rollback.drift_test

import data.rollback.drift
import rego.v1

drifted(fate, accepted) := {"rollback": {
	"drift": [{"address": "a.b", "actions": ["update"], "attributes": ["size"]}],
	"changes": [{"address": "a.b", "fate": fate}],
	"accepted": {"data_loss": [], "changes": accepted},
}}

test_drift_that_would_be_undone_is_said if {
	count(drift.warn) == 1 with input as drifted("update", [])
}

test_drift_that_was_accepted_is_not if {
	count(drift.warn) == 0 with input as drifted("update", ["a.b"])
}

test_drift_that_nothing_touches_is_not if {
	count(drift.warn) == 0 with input as drifted("move", [])
}

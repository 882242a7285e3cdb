package rollback.prevent_destroy_test

import data.rollback.prevent_destroy
import rego.v1

going(fate, protected, accepted) := {"rollback": {
	"changes": [{"address": "a.b", "fate": fate, "protected": protected}],
	"accepted": {"data_loss": accepted, "changes": []},
}}

test_protected_objects_stay if {
	count(prevent_destroy.deny) == 1 with input as going("destroy", "main.tf:3", [])
	count(prevent_destroy.deny) == 1 with input as going("replace", "main.tf:3", [])
}

test_named_ones_may_go if {
	count(prevent_destroy.deny) == 0 with input as going("destroy", "main.tf:3", ["a.b"])
}

test_others_may_go if {
	count(prevent_destroy.deny) == 0 with input as going("destroy", null, [])
	count(prevent_destroy.deny) == 0 with input as going("update", "main.tf:3", [])
}

package rollback.freeze_window_test

import data.rollback.freeze_window
import rego.v1

frozen(windows, halfway) := {"rollback": {
	"freeze": windows,
	"run": {"halfway": halfway},
}}

weekend := [{"name": "weekend", "until": "2026-11-30T04:00:00Z"}]

test_a_window_refuses if {
	freeze_window.deny == {"the freeze window \"weekend\" lasts until 2026-11-30T04:00:00Z"} with input as frozen(weekend, false)
}

test_outside_of_windows_it_passes if {
	count(freeze_window.deny) == 0 with input as frozen([], false)
}

test_a_run_that_is_halfway_goes_on if {
	count(freeze_window.deny) == 0 with input as frozen(weekend, true)
}

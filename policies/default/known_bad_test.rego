package rollback.known_bad_test

import data.rollback.known_bad
import rego.v1

test_a_marked_version_is_refused if {
	known_bad.deny["v1.4.0 is known to be bad: it loses orders"] with input as {"rollback": {"known_bad": [{"revision": "v1.4.0", "reason": "it loses orders"}]}}
}

test_others_pass if {
	count(known_bad.deny) == 0 with input as {"rollback": {"known_bad": []}}
}

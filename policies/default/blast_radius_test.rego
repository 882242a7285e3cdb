package rollback.blast_radius_test

import data.rollback.blast_radius
import rego.v1

changing(n, fate, limit) := {"rollback": {
	"changes": [{"address": sprintf("a.b[%d]", [i]), "fate": fate} | some i in numbers.range(1, n)],
	"settings": {"blast_radius": limit},
}}

test_more_than_allowed_is_refused if {
	blast_radius.deny["it changes 6 objects; at most 5 are allowed"] with input as changing(6, "update", 5)
}

test_as_many_as_allowed_pass if {
	count(blast_radius.deny) == 0 with input as changing(5, "destroy", 5)
}

test_moves_do_not_count if {
	count(blast_radius.deny) == 0 with input as changing(60, "move", 5)
	count(blast_radius.warn) == 0 with input as changing(60, "move", null)
}

test_without_a_limit_it_only_warns if {
	count(blast_radius.deny) == 0 with input as changing(51, "update", null)
	count(blast_radius.warn) == 1 with input as changing(51, "update", null)
}

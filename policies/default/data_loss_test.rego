package rollback.data_loss_test

import data.rollback.data_loss
import rego.v1

losing(reversibility, accepted) := {"rollback": {
	"changes": [{"address": "aws_db_instance.main", "fate": "destroy", "reversibility": reversibility, "reason": "it was added since"}],
	"accepted": {"data_loss": accepted, "changes": []},
}}

test_loss_is_refused if {
	count(data_loss.deny) == 1 with input as losing("data-loss", [])
	count(data_loss.deny) == 1 with input as losing("irreversible", ["aws_db_instance.other"])
}

test_loss_that_was_accepted_passes if {
	count(data_loss.deny) == 0 with input as losing("data-loss", ["aws_db_instance.main"])
}

test_what_loses_nothing_passes if {
	count(data_loss.deny) == 0 with input as losing("lossless", [])
	count(data_loss.deny) == 0 with input as losing("recreated-empty", [])
}

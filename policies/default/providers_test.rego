package rollback.providers_test

import data.rollback.providers
import rego.v1

provider(downgrade, kept) := {"rollback": {"providers": [{
	"source": "registry.terraform.io/hashicorp/aws",
	"from": "6.2.0",
	"to": "5.9.0",
	"downgrade": downgrade,
	"kept": kept,
}]}}

test_a_downgrade_is_said if {
	providers.warn["provider registry.terraform.io/hashicorp/aws goes back from 6.2.0 to 5.9.0"] with input as provider(true, false)
}

test_the_same_version_is_not if {
	count(providers.warn) == 0 with input as provider(false, false)
}

test_one_that_is_kept_is_not if {
	count(providers.warn) == 0 with input as provider(true, true)
}

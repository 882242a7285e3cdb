package rollback.exposure_test

import data.rollback.exposure
import rego.v1

change(kind, before, after) := {"resource_changes": [{
	"address": "x.y",
	"mode": "managed",
	"type": kind,
	"change": {"actions": actions(before, after), "before": before, "after": after},
}]}

actions(null, after) := ["create"] if after != null

actions(before, null) := ["delete"] if before != null

actions(before, after) := ["update"] if {
	before != null
	after != null
}

ssh := {"protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_blocks": ["0.0.0.0/0"], "ipv6_cidr_blocks": []}

ssh_closed := object.union(ssh, {"cidr_blocks": ["10.0.0.0/8"]})

ssh_six := object.union(ssh_closed, {"ipv6_cidr_blocks": ["::/0"]})

web := object.union(ssh, {"from_port": 443, "to_port": 443})

refused(document) if count(exposure.deny) > 0 with input as document

passes(document) if count(exposure.deny) == 0 with input as document

test_a_group_that_a_fix_closed_stays_closed if {
	refused(change("aws_security_group", {"ingress": [ssh_closed]}, {"ingress": [ssh]}))
	refused(change("aws_security_group", {"ingress": [ssh_closed]}, {"ingress": [ssh_six]}))
	refused(change("aws_security_group", {"ingress": []}, {"ingress": [ssh]}))
	refused(change("aws_security_group", null, {"ingress": [ssh]}))
}

test_a_group_that_is_open_already_is_not_reported if {
	passes(change("aws_security_group", {"ingress": [ssh], "tags": {}}, {"ingress": [ssh], "tags": {"a": "b"}}))
	passes(change("aws_security_group", {"ingress": [ssh]}, {"ingress": [ssh_closed]}))
	passes(change("aws_security_group", {"ingress": [ssh]}, null))
}

test_the_web_is_only_said if {
	passes(change("aws_security_group", null, {"ingress": [web]}))
	count(exposure.warn) == 1 with input as change("aws_security_group", null, {"ingress": [web]})
}

test_rules_of_their_own if {
	rule := object.union(ssh, {"type": "ingress"})
	refused(change("aws_security_group_rule", null, rule))
	passes(change("aws_security_group_rule", null, object.union(rule, {"type": "egress"})))
	refused(change("aws_vpc_security_group_ingress_rule", null, {"cidr_ipv4": "0.0.0.0/0", "ip_protocol": "-1"}))
	passes(change("aws_vpc_security_group_ingress_rule", null, {"cidr_ipv4": "10.1.0.0/16", "ip_protocol": "-1"}))
}

test_other_clouds if {
	refused(change("google_compute_firewall", {"source_ranges": ["10.0.0.0/8"], "allow": [{"protocol": "tcp", "ports": ["22"]}]}, {"source_ranges": ["0.0.0.0/0"], "allow": [{"protocol": "tcp", "ports": ["22"]}]}))
	refused(change("azurerm_network_security_rule", null, {"direction": "Inbound", "access": "Allow", "source_address_prefix": "*", "protocol": "Tcp", "destination_port_range": "3389"}))
	passes(change("azurerm_network_security_rule", null, {"direction": "Inbound", "access": "Deny", "source_address_prefix": "*"}))
	refused(change("google_storage_bucket_iam_member", null, {"member": "allUsers"}))
	passes(change("google_storage_bucket_iam_member", null, {"member": "user:a@example.com"}))
}

test_switches if {
	refused(change("aws_db_instance", {"publicly_accessible": false}, {"publicly_accessible": true}))
	passes(change("aws_db_instance", {"publicly_accessible": true}, {"publicly_accessible": true}))
	passes(change("aws_db_instance", {"publicly_accessible": true}, {"publicly_accessible": false}))
	refused(change("aws_s3_bucket_public_access_block", {"block_public_acls": true}, {"block_public_acls": false}))
}

test_a_public_access_block_does_not_go if {
	refused(change("aws_s3_bucket_public_access_block", {"block_public_acls": true}, null))
	passes(change("aws_s3_bucket_public_access_block", null, {"block_public_acls": true}))
}

test_acls if {
	refused(change("aws_s3_bucket_acl", {"acl": "private"}, {"acl": "public-read"}))
	passes(change("aws_s3_bucket_acl", {"acl": "public-read"}, {"acl": "private"}))
	passes(change("aws_s3_bucket", {"acl": null, "tags": {}}, {"acl": null, "tags": {"a": "b"}}))
}

policy(principal, condition) := json.marshal({"Statement": [object.union(
	{"Effect": "Allow", "Action": "s3:GetObject", "Principal": principal, "Resource": "arn:aws:s3:::b/*"},
	condition,
)]})

test_policies_for_everybody if {
	one := policy({"AWS": "arn:aws:iam::1:root"}, {})
	refused(change("aws_s3_bucket_policy", {"policy": one}, {"policy": policy("*", {})}))
	refused(change("aws_sqs_queue_policy", null, {"policy": policy({"AWS": ["*"]}, {})}))
	passes(change("aws_s3_bucket_policy", {"policy": policy("*", {})}, {"policy": one}))
	passes(change("aws_s3_bucket_policy", null, {"policy": policy("*", {"Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}})}))
	passes(change("aws_s3_bucket_policy", null, {"policy": "(sensitive)"}))
}

allow(action, resource) := json.marshal({"Statement": {"Effect": "Allow", "Action": action, "Resource": resource}})

test_wildcards_of_iam if {
	refused(change("aws_iam_role_policy", {"policy": allow("s3:GetObject", "*")}, {"policy": allow(["s3:*"], ["*"])}))
	refused(change("aws_iam_policy", null, {"policy": allow("*", "*")}))
	passes(change("aws_iam_policy", {"policy": allow("*", "*")}, {"policy": allow("s3:Get*", "*")}))
	passes(change("aws_iam_policy", null, {"policy": allow("s3:*", "arn:aws:s3:::b")}))
	refused(change("aws_iam_role_policy_attachment", null, {"policy_arn": "arn:aws:iam::aws:policy/AdministratorAccess"}))
	passes(change("aws_iam_role_policy_attachment", null, {"policy_arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}))
}

test_what_does_not_change_is_not_looked_at if {
	passes({"resource_changes": [{"address": "x.y", "mode": "managed", "type": "aws_db_instance", "change": {"actions": ["no-op"], "before": {"publicly_accessible": false}, "after": {"publicly_accessible": true}}}]})
}

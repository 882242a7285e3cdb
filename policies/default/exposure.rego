# METADATA
# title: A rollback does not reopen what a fix closed
# description: >-
#   What nobody could reach before and everybody could afterwards: security groups, public buckets, databases with a
#   public address, policies for everybody, IAM wildcards. What was open already is not reported.
# custom:
#   level: soft-mandatory
package rollback.exposure

import rego.v1

everywhere := {"0.0.0.0/0", "::/0", "0000:0000:0000:0000:0000:0000:0000:0000/0", "*", "Internet", "Any", "any"}

# Objects to which something happens, with what they are now and what they will be.
changed contains change if {
	some change in input.resource_changes
	not change.change.actions in {["no-op"], ["read"]}
	object.get(change, "mode", "managed") == "managed"
}

before(change) := value if {
	value := change.change.before
	is_object(value)
} else := {}

after(change) := value if {
	value := change.change.after
	is_object(value)
} else := {}

list(value) := value if is_array(value)

list(value) := [value] if {
	not is_array(value)
	not is_null(value)
}

list(null) := []

# Each way into a network from everywhere: protocol and ports.
ways(kind, values) := {way |
	kind in {"aws_security_group", "aws_default_security_group"}
	some rule in list(object.get(values, "ingress", []))
	some field in ["cidr_blocks", "ipv6_cidr_blocks"]
	some range in list(object.get(rule, field, []))
	range in everywhere
	way := [object.get(rule, "protocol", "-1"), object.get(rule, "from_port", 0), object.get(rule, "to_port", 0)]
} | {way |
	kind == "aws_security_group_rule"
	object.get(values, "type", "") == "ingress"
	some field in ["cidr_blocks", "ipv6_cidr_blocks"]
	some range in list(object.get(values, field, []))
	range in everywhere
	way := [object.get(values, "protocol", "-1"), object.get(values, "from_port", 0), object.get(values, "to_port", 0)]
} | {way |
	kind == "aws_vpc_security_group_ingress_rule"
	some field in ["cidr_ipv4", "cidr_ipv6"]
	object.get(values, field, "") in everywhere
	way := [object.get(values, "ip_protocol", "-1"), object.get(values, "from_port", 0), object.get(values, "to_port", 0)]
} | {way |
	kind == "google_compute_firewall"
	object.get(values, "direction", "INGRESS") != "EGRESS"
	object.get(values, "disabled", false) != true
	some range in list(object.get(values, "source_ranges", []))
	range in everywhere
	some allow in list(object.get(values, "allow", []))
	way := [object.get(allow, "protocol", "all"), object.get(allow, "ports", []), ""]
} | {way |
	kind == "azurerm_network_security_rule"
	object.get(values, "direction", "") == "Inbound"
	object.get(values, "access", "") == "Allow"
	some field in ["source_address_prefix", "source_address_prefixes"]
	some range in list(object.get(values, field, []))
	range in everywhere
	way := [object.get(values, "protocol", "*"), object.get(values, "destination_port_range", "*"), ""]
}

# The web is meant to be reached.
ordinary(way) if {
	way[1] in {80, 443}
	way[1] == way[2]
}

opened(change) := ways(change.type, after(change)) - ways(change.type, before(change))

deny contains {"msg": msg, "address": change.address} if {
	some change in changed
	some way in opened(change)
	not ordinary(way)
	msg := sprintf("%s would be open to everybody again (%v, %v to %v)", [change.address, way[0], way[1], way[2]])
}

# METADATA
# custom:
#   level: advisory
warn contains {"msg": msg, "address": change.address} if {
	some change in changed
	some way in opened(change)
	ordinary(way)
	msg := sprintf("%s would be open to everybody on port %v", [change.address, way[1]])
}

# Switches: type, attribute, the value that exposes.
switches := [
	["aws_db_instance", "publicly_accessible", true],
	["aws_rds_cluster_instance", "publicly_accessible", true],
	["aws_redshift_cluster", "publicly_accessible", true],
	["aws_dms_replication_instance", "publicly_accessible", true],
	["aws_mq_broker", "publicly_accessible", true],
	["aws_instance", "associate_public_ip_address", true],
	["aws_lambda_function_url", "authorization_type", "NONE"],
	["aws_ami_launch_permission", "group", "all"],
	["aws_s3_bucket_public_access_block", "block_public_acls", false],
	["aws_s3_bucket_public_access_block", "block_public_policy", false],
	["aws_s3_bucket_public_access_block", "ignore_public_acls", false],
	["aws_s3_bucket_public_access_block", "restrict_public_buckets", false],
	["aws_s3_account_public_access_block", "block_public_acls", false],
	["aws_s3_account_public_access_block", "block_public_policy", false],
	["aws_s3_account_public_access_block", "ignore_public_acls", false],
	["aws_s3_account_public_access_block", "restrict_public_buckets", false],
	["azurerm_storage_account", "allow_nested_items_to_be_public", true],
	["azurerm_mssql_server", "public_network_access_enabled", true],
	["google_storage_bucket", "public_access_prevention", "inherited"],
]

deny contains {"msg": msg, "address": change.address} if {
	some change in changed
	some [kind, attribute, bad] in switches
	change.type == kind
	object.get(after(change), attribute, null) == bad
	object.get(before(change), attribute, null) != bad
	msg := sprintf("%s: %s would be %v again", [change.address, attribute, bad])
}

deny contains {"msg": msg, "address": change.address} if {
	some change in changed
	change.type in {"aws_s3_bucket_public_access_block", "aws_s3_account_public_access_block"}
	"delete" in change.change.actions
	not "create" in change.change.actions
	msg := sprintf("%s keeps a bucket from being public and would be gone", [change.address])
}

open_acls := {"public-read", "public-read-write", "authenticated-read"}

deny contains {"msg": msg, "address": change.address} if {
	some change in changed
	change.type in {"aws_s3_bucket", "aws_s3_bucket_acl"}
	acl := object.get(after(change), "acl", "")
	acl in open_acls
	not object.get(before(change), "acl", "") in open_acls
	msg := sprintf("%s would have the ACL %s again", [change.address, acl])
}

deny contains {"msg": msg, "address": change.address} if {
	some change in changed
	regex.match(`^google_.*_iam_(member|binding)$`, change.type)
	some member in array.concat(list(object.get(after(change), "member", [])), list(object.get(after(change), "members", [])))
	member in {"allUsers", "allAuthenticatedUsers"}
	not member in array.concat(list(object.get(before(change), "member", [])), list(object.get(before(change), "members", [])))
	msg := sprintf("%s would be for %s again", [change.address, member])
}

# Policies: documents of JSON in these attributes.
documents := ["policy", "assume_role_policy", "access_policy", "access_policies", "inline_policy", "resource_policy"]

statements(values) := {statement |
	some attribute in documents
	text := object.get(values, attribute, "")
	is_string(text)
	json.is_valid(text)
	document := json.unmarshal(text)
	is_object(document)
	some statement in list(object.get(document, "Statement", []))
	is_object(statement)
	object.get(statement, "Effect", "") == "Allow"
}

everybody(statement) if object.get(statement, "Principal", "") == "*"

everybody(statement) if {
	principal := object.get(statement, "Principal", {})
	is_object(principal)
	some who in list(object.get(principal, "AWS", []))
	who == "*"
}

public_statements(values) := {statement |
	some statement in statements(values)
	everybody(statement)
	object.get(statement, "Condition", {}) == {}
}

deny contains {"msg": msg, "address": change.address} if {
	some change in changed
	some statement in public_statements(after(change)) - public_statements(before(change))
	msg := sprintf("%s would allow %v to everybody again", [change.address, object.get(statement, "Action", "everything")])
}

wildcards(values) := {[action, resource] |
	some statement in statements(values)
	some action in list(object.get(statement, "Action", []))
	is_string(action)
	endswith(action, "*")
	action_is_wide(action)
	some resource in list(object.get(statement, "Resource", []))
	resource == "*"
}

action_is_wide(action) if action == "*"

action_is_wide(action) if endswith(action, ":*")

deny contains {"msg": msg, "address": change.address} if {
	some change in changed
	startswith(change.type, "aws_iam_")
	some [action, resource] in wildcards(after(change)) - wildcards(before(change))
	msg := sprintf("%s would allow %s on %s again", [change.address, action, resource])
}

deny contains {"msg": msg, "address": change.address} if {
	some change in changed
	regex.match(`^aws_iam_.*_?policy_attachment$`, change.type)
	"create" in change.change.actions
	arn := object.get(after(change), "policy_arn", "")
	is_string(arn)
	endswith(arn, ":policy/AdministratorAccess")
	object.get(before(change), "policy_arn", "") != arn
	msg := sprintf("%s would give AdministratorAccess again", [change.address])
}

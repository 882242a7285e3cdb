output "store_url" {
  description = "For infra-rollback.toml ([store] url) or --store."
  value       = local.store_url
}

output "bucket_name" {
  description = "The store's bucket."
  value       = module.store.bucket_name
}

output "table_name" {
  description = "The store's table."
  value       = module.store.table_name
}

output "operator_policy_arn" {
  description = "For people and CI that take snapshots and roll back."
  value       = module.access.operator_policy_arn
}

output "auditor_policy_arn" {
  description = "For people who only look."
  value       = module.access.auditor_policy_arn
}

output "service_policy_arn" {
  description = "For the service's task, wherever it runs."
  value       = module.access.service_policy_arn
}

output "service_url" {
  description = "Where the load balancer answers; give it a name of your own that the certificate is for. Null without the service."
  value       = one(module.service[*].url)
}

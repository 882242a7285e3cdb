output "operator_policy_arn" {
  description = "For people and CI."
  value       = aws_iam_policy.operator.arn
}

output "auditor_policy_arn" {
  description = "For people who only look."
  value       = aws_iam_policy.auditor.arn
}

output "service_policy_arn" {
  description = "For the service's task."
  value       = aws_iam_policy.service.arn
}

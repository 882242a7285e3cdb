output "url" {
  description = "Where the load balancer answers."
  value       = "https://${aws_lb.this.dns_name}"
}

output "task_role_arn" {
  description = "The role that the service works with."
  value       = aws_iam_role.task.arn
}

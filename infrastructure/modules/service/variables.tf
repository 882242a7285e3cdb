variable "name" {
  description = "What everything is called. Load balancers allow no more than 32 characters."
  type        = string

  validation {
    condition     = length(var.name) <= 32
    error_message = "The name of a load balancer has at most 32 characters."
  }
}

variable "image" {
  description = "An image whose entry point is infra-rollback, with git and terraform in it."
  type        = string
}

variable "project" {
  description = "The project that the service answers for."
  type        = string
}

variable "store_url" {
  description = "The store, as s3://BUCKET/PREFIX?table=TABLE."
  type        = string
}

variable "approvals" {
  description = "How many different people have to approve a rollback."
  type        = number
  default     = 1
}

variable "four_eyes" {
  description = "Whoever asked for a rollback may not approve it."
  type        = bool
  default     = true
}

variable "vpc_id" {
  description = "Where it runs."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets with a way to AWS, for the tasks."
  type        = list(string)
}

variable "balancer_subnet_ids" {
  description = "Subnets of the load balancer, in at least two zones."
  type        = list(string)
}

variable "internal" {
  description = "Whether the load balancer has private addresses only."
  type        = bool
  default     = true
}

variable "allowed_cidr_blocks" {
  description = "From where the API may be called."
  type        = list(string)
}

variable "certificate_arn" {
  description = "The certificate in ACM: tokens and states go over this connection."
  type        = string
}

variable "desired_count" {
  description = "How many tasks."
  type        = number
  default     = 1
}

variable "cpu" {
  description = "Of a task, in units of 1/1024."
  type        = number
  default     = 512
}

variable "memory" {
  description = "Of a task, in MiB."
  type        = number
  default     = 1024
}

variable "environment" {
  description = "Environment of the container. No secrets: they are shown by AWS."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Environment of the container by ARN of a secret or parameter."
  type        = map(string)
  default     = {}
}

variable "policy_arns" {
  description = "What the service may: its own policy first, and what Terraform needs to change your infrastructure."
  type        = list(string)
}

variable "log_retention_days" {
  description = "How long its log is kept."
  type        = number
  default     = 365
}

variable "deletion_protected" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of everything made here."
  type        = map(string)
  default     = {}
}

variable "name" {
  description = "What everything made here is called: the table, the policies, the service; and the bucket, unless bucket_name says otherwise."
  type        = string
  default     = "infra-rollback"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{2,40}$", var.name))
    error_message = "Between 3 and 41 lower-case letters, digits and hyphens."
  }
}

variable "bucket_name" {
  description = "The store's bucket. Names of buckets are unique in the whole world: begin it with your company's."
  type        = string
}

variable "prefix" {
  description = "Below which the store lies in the bucket, without slashes at the ends; empty for the whole bucket. The policies reach no further."
  type        = string
  default     = ""

  validation {
    condition     = var.prefix == trim(var.prefix, "/")
    error_message = "No slash at the beginning and none at the end."
  }
}

variable "kms_key_arn" {
  description = "A KMS key that encrypts the bucket and the table; null for the keys of AWS (SSE-S3 and the table's own)."
  type        = string
  default     = null
}

variable "removed_retention_days" {
  description = "How long what was removed from the bucket can be brought back."
  type        = number
  default     = 90
}

variable "object_lock_days" {
  description = "Object Lock in governance mode: for so many days nobody without s3:BypassGovernanceRetention removes a version. Null for none; it cannot be taken back for a bucket that has it."
  type        = number
  default     = null
}

variable "table_deletion_protected" {
  description = "Whether the table refuses to be destroyed."
  type        = bool
  default     = true
}

variable "terraform_state_arns" {
  description = "Objects that hold the states of the stacks, for stacks with an S3 backend, such as arn:aws:s3:::acme-states/prod/*. Operators and the service may read and write them and their lock files."
  type        = list(string)
  default     = []
}

variable "terraform_lock_table_arns" {
  description = "Terraform's own DynamoDB lock tables, for backends with dynamodb_table."
  type        = list(string)
  default     = []
}

variable "service" {
  description = "The HTTP service on ECS Fargate behind a load balancer that speaks TLS; null for none."
  type = object({
    image               = string
    project             = string
    vpc_id              = string
    subnet_ids          = list(string)
    certificate_arn     = string
    allowed_cidr_blocks = list(string)
    balancer_subnet_ids = optional(list(string))
    internal            = optional(bool, true)
    four_eyes           = optional(bool, true)
    approvals           = optional(number, 1)
    desired_count       = optional(number, 1)
    cpu                 = optional(number, 512)
    memory              = optional(number, 1024)
    environment         = optional(map(string), {})
    secrets             = optional(map(string), {})
    policy_arns         = optional(list(string), [])
    log_retention_days  = optional(number, 365)
    deletion_protected  = optional(bool, true)
  })
  default = null
}

variable "tags" {
  description = "Tags of everything made here."
  type        = map(string)
  default     = {}
}

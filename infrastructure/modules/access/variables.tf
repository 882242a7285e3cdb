variable "name" {
  description = "What the policies' names begin with."
  type        = string
}

variable "prefix" {
  description = "Below which the store lies; empty for the whole bucket."
  type        = string
  default     = ""
}

variable "bucket_arn" {
  description = "The store's bucket."
  type        = string
}

variable "table_arn" {
  description = "The store's table."
  type        = string
}

variable "kms_key_arn" {
  description = "The key that encrypts them; null for the keys of AWS."
  type        = string
  default     = null
}

variable "terraform_state_arns" {
  description = "Objects that hold the states of the stacks."
  type        = list(string)
  default     = []
}

variable "terraform_lock_table_arns" {
  description = "Terraform's own lock tables."
  type        = list(string)
  default     = []
}

variable "tags" {
  description = "Tags of everything made here."
  type        = map(string)
  default     = {}
}

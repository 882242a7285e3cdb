variable "name" {
  description = "The table's name."
  type        = string
}

variable "bucket_name" {
  description = "The bucket's name."
  type        = string
}

variable "kms_key_arn" {
  description = "A KMS key for bucket and table; null for the keys of AWS."
  type        = string
  default     = null
}

variable "removed_retention_days" {
  description = "How long what was removed can be brought back."
  type        = number
  default     = 90
}

variable "object_lock_days" {
  description = "Object Lock in governance mode for so many days; null for none."
  type        = number
  default     = null
}

variable "table_deletion_protected" {
  description = "Whether the table refuses to be destroyed."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of everything made here."
  type        = map(string)
  default     = {}
}

module "store" {
  source = "./modules/store"

  name                     = var.name
  bucket_name              = var.bucket_name
  kms_key_arn              = var.kms_key_arn
  removed_retention_days   = var.removed_retention_days
  object_lock_days         = var.object_lock_days
  table_deletion_protected = var.table_deletion_protected
  tags                     = var.tags
}

module "access" {
  source = "./modules/access"

  name                      = var.name
  prefix                    = var.prefix
  bucket_arn                = module.store.bucket_arn
  table_arn                 = module.store.table_arn
  kms_key_arn               = var.kms_key_arn
  terraform_state_arns      = var.terraform_state_arns
  terraform_lock_table_arns = var.terraform_lock_table_arns
  tags                      = var.tags
}

module "service" {
  source = "./modules/service"
  count  = var.service == null ? 0 : 1

  name                = var.name
  image               = var.service.image
  project             = var.service.project
  store_url           = local.store_url
  four_eyes           = var.service.four_eyes
  approvals           = var.service.approvals
  vpc_id              = var.service.vpc_id
  subnet_ids          = var.service.subnet_ids
  balancer_subnet_ids = coalesce(var.service.balancer_subnet_ids, var.service.subnet_ids)
  internal            = var.service.internal
  allowed_cidr_blocks = var.service.allowed_cidr_blocks
  certificate_arn     = var.service.certificate_arn
  desired_count       = var.service.desired_count
  cpu                 = var.service.cpu
  memory              = var.service.memory
  environment         = var.service.environment
  secrets             = var.service.secrets
  policy_arns         = concat([module.access.service_policy_arn], var.service.policy_arns)
  log_retention_days  = var.service.log_retention_days
  deletion_protected  = var.service.deletion_protected
  tags                = var.tags
}

data "aws_region" "current" {}

locals {
  store_url = join("", [
    "s3://${module.store.bucket_name}",
    var.prefix == "" ? "" : "/${var.prefix}",
    "?table=${module.store.table_name}&region=${data.aws_region.current.name}",
  ])
}

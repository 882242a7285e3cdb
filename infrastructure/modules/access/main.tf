# Policies, attached to nobody: attach them to your own roles.
#
# operator  takes snapshots, rolls back, writes states (people, CI)
# auditor   only looks
# service   what an operator may, for the task of `infra-rollback serve`
#
# What Terraform itself needs to change your infrastructure is not in here: it is whatever your deploys have.

locals {
  objects_arn = var.prefix == "" ? "${var.bucket_arn}/*" : "${var.bucket_arn}/${var.prefix}/*"
  # The partition key of each record begins with the store's prefix.
  partitions = var.prefix == "" ? ["*"] : ["${var.prefix}/*"]
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "FindObjects"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketVersioning", "s3:GetBucketLocation", "s3:GetBucketPublicAccessBlock", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration"]
    resources = [var.bucket_arn]
  }

  statement {
    sid       = "ReadObjects"
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes"]
    resources = [local.objects_arn]
  }

  statement {
    sid       = "ReadRecords"
    actions   = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"]
    resources = [var.table_arn]

    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = local.partitions
    }
  }

  # All projects, for `store copy` and `store rebuild-index`: a scan has no leading key.
  statement {
    sid       = "ReadTable"
    actions   = ["dynamodb:DescribeTable", "dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTimeToLive", "dynamodb:Scan"]
    resources = [var.table_arn]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "Decrypt"
      actions   = ["kms:Decrypt", "kms:DescribeKey"]
      resources = [statement.value]
    }
  }
}

data "aws_iam_policy_document" "write" {
  source_policy_documents = [data.aws_iam_policy_document.read.json]

  # Removing leaves the version behind: nobody gets s3:DeleteObjectVersion.
  statement {
    sid       = "WriteObjects"
    actions   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = [local.objects_arn]
  }

  statement {
    sid       = "WriteRecords"
    actions   = ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem", "dynamodb:BatchWriteItem"]
    resources = [var.table_arn]

    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = local.partitions
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "Encrypt"
      actions   = ["kms:Encrypt", "kms:GenerateDataKey*"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = length(var.terraform_state_arns) == 0 ? [] : [true]

    content {
      sid       = "TerraformStates"
      actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
      resources = concat(var.terraform_state_arns, [for arn in var.terraform_state_arns : "${arn}.tflock"])
    }
  }

  # Only Terraform's lock files are ever removed.
  dynamic "statement" {
    for_each = length(var.terraform_state_arns) == 0 ? [] : [true]

    content {
      sid       = "TerraformLockFiles"
      actions   = ["s3:DeleteObject"]
      resources = [for arn in var.terraform_state_arns : "${arn}.tflock"]
    }
  }

  dynamic "statement" {
    for_each = length(var.terraform_state_arns) == 0 ? [] : [true]

    content {
      sid       = "TerraformStateBuckets"
      actions   = ["s3:ListBucket", "s3:GetBucketVersioning"]
      resources = distinct([for arn in var.terraform_state_arns : split("/", arn)[0]])
    }
  }

  dynamic "statement" {
    for_each = length(var.terraform_lock_table_arns) == 0 ? [] : [true]

    content {
      sid       = "TerraformLockTables"
      actions   = ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"]
      resources = var.terraform_lock_table_arns
    }
  }
}

resource "aws_iam_policy" "operator" {
  name        = "${var.name}-operator"
  description = "Takes snapshots with infra-rollback and rolls back"
  policy      = data.aws_iam_policy_document.write.json
  tags        = var.tags
}

resource "aws_iam_policy" "auditor" {
  name        = "${var.name}-auditor"
  description = "Reads what infra-rollback keeps"
  policy      = data.aws_iam_policy_document.read.json
  tags        = var.tags
}

resource "aws_iam_policy" "service" {
  name        = "${var.name}-service"
  description = "For the task of infra-rollback serve"
  policy      = data.aws_iam_policy_document.write.json
  tags        = var.tags
}

provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}

# Was there before Terraform took it in: each of these takes the provider up to a minute to make.
import {
  to = aws_vpc.main
  id = "VPC"
}

import {
  to = aws_subnet.main[0]
  id = "SUBNET_A"
}

import {
  to = aws_subnet.main[1]
  id = "SUBNET_B"
}

import {
  to = aws_lb.main
  id = "LOAD_BALANCER"
}

import {
  to = aws_ecs_cluster.main
  id = "NAME"
}

import {
  to = aws_db_instance.main
  id = "NAME"
}

resource "aws_vpc" "main" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "main" {
  count             = 2
  vpc_id            = aws_vpc.main.id
  cidr_block        = "10.0.${count.index}.0/24"
  availability_zone = ["us-east-1a", "us-east-1b"][count.index]
}

resource "aws_lb" "main" {
  name               = "NAME"
  load_balancer_type = "application"
  internal           = true
  subnets            = aws_subnet.main[*].id
}

resource "aws_lb_target_group" "main" {
  for_each    = toset(["blue", "green"])
  name        = "NAME-${each.key}"
  port        = 80
  protocol    = "HTTP"
  target_type = "ip"
  vpc_id      = aws_vpc.main.id
}

resource "aws_lb_target_group_attachment" "main" {
  for_each         = aws_lb_target_group.main
  target_group_arn = each.value.arn
  target_id        = "10.0.0.10"
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.main.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.main["blue"].arn
  }

  lifecycle {
    ignore_changes = [default_action]
  }
}

resource "aws_ecr_repository" "backend" {
  name = "NAME-backend"
}

resource "aws_ecs_cluster" "main" {
  name = "NAME"
}

resource "aws_ecs_task_definition" "first" {
  for_each                 = toset(["backend", "worker"])
  family                   = "NAME-${each.key}"
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  cpu                      = 256
  memory                   = 512
  container_definitions = jsonencode([
    { name = each.key, image = "${aws_ecr_repository.backend.repository_url}:v0", memory = 128, essential = true }
  ])
  skip_destroy = true
}

resource "aws_ecs_service" "main" {
  for_each        = aws_ecs_task_definition.first
  name            = each.key
  cluster         = aws_ecs_cluster.main.id
  task_definition = each.value.arn
  desired_count   = 2
  launch_type     = "FARGATE"

  network_configuration {
    subnets = aws_subnet.main[*].id
  }

  lifecycle {
    # Not all of it is kept by the emulator.
    ignore_changes = [task_definition, desired_count, availability_zone_rebalancing]
  }
}

resource "aws_db_instance" "main" {
  identifier              = "NAME"
  engine                  = "postgres"
  instance_class          = "db.t3.small"
  allocated_storage       = 20
  username                = "shop"
  backup_retention_period = 7
  skip_final_snapshot     = true
}

resource "aws_ssm_parameter" "checkout" {
  name  = "/NAME/new-checkout"
  type  = "String"
  value = "off"

  lifecycle {
    ignore_changes = [value]
  }
}

provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
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
  name               = "shop"
  load_balancer_type = "application"
  internal           = true
  subnets            = aws_subnet.main[*].id
}

resource "aws_lb_target_group" "main" {
  for_each    = toset(["blue", "green"])
  name        = "shop-${each.key}"
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
  name = "shop-backend"
}

resource "aws_ecs_cluster" "main" {
  name = "shop"
}

resource "aws_ecs_task_definition" "first" {
  family                   = "shop-backend"
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  cpu                      = 256
  memory                   = 512
  container_definitions = jsonencode([
    { name = "backend", image = "shop-backend:v0", memory = 128, essential = true }
  ])
  skip_destroy = true
}

resource "aws_ecs_service" "backend" {
  name            = "backend"
  cluster         = aws_ecs_cluster.main.id
  task_definition = aws_ecs_task_definition.first.arn
  desired_count   = 2
  launch_type     = "FARGATE"

  network_configuration {
    subnets = aws_subnet.main[*].id
  }

  lifecycle {
    ignore_changes = [task_definition, desired_count]
  }
}

resource "aws_cloudwatch_log_group" "backend" {
  name              = "/ecs/shop"
  retention_in_days = 7
  tags              = { version = "VERSION" }
}

resource "aws_ssm_parameter" "checkout" {
  name  = "/shop/new-checkout"
  type  = "String"
  value = "off"

  lifecycle {
    ignore_changes = [value]
  }
}

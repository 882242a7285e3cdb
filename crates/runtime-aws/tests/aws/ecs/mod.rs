//! Services of ECS: task definitions, images, variables.

pub mod agent;
pub mod migration;
mod parts;
mod service;
mod waiting;

use aws_sdk_ecs::types::{ContainerDefinition, KeyValuePair, Secret};
use rollback_runbook::step::Binding;
use serde_json::json;

use crate::bench::{Bench, unique};

const REGISTRY: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

/// A service with a repository of its own.
pub struct World<'a> {
    bench: &'a Bench,
    name: String,
    ecs: aws_sdk_ecs::Client,
    ecr: aws_sdk_ecr::Client,
}

impl<'a> World<'a> {
    /// It runs revision 1, image `one`, LOG_LEVEL=hunter2-one.
    pub fn new(bench: &'a Bench) -> World<'a> {
        let world = World {
            bench,
            name: unique("backend"),
            ecs: aws_sdk_ecs::Client::new(&bench.config),
            ecr: aws_sdk_ecr::Client::new(&bench.config),
        };
        bench
            .wait(world.ecs.create_cluster().cluster_name(&world.name).send())
            .unwrap();
        bench
            .wait(world.ecr.create_repository().repository_name(&world.name).send())
            .unwrap();
        world.push("one");
        world.push("two");
        let revision = world.register("one", "hunter2-one");
        let create = world.ecs.create_service().cluster(&world.name).service_name("web");
        bench
            .wait(create.task_definition(revision).desired_count(2).send())
            .unwrap();
        world
    }

    pub fn table(&self, kind: &str, more: &str) -> String {
        format!(
            "kind = \"{kind}\"\ncluster = \"{}\"\nservice = \"web\"\n{more}",
            self.name
        )
    }

    fn image(&self, tag: &str) -> String {
        format!("{REGISTRY}/{}:{tag}", self.name)
    }

    /// Pushes another image and gives it this tag. Tells its digest.
    fn push(&self, tag: &str) -> String {
        self.tag(tag, &unique("sha256:"))
    }

    /// Gives this tag to the image that has this layer.
    fn tag(&self, tag: &str, layer: &str) -> String {
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": "sha256:0"},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1, "digest": layer}]});
        let put = self.ecr.put_image().repository_name(&self.name).image_tag(tag);
        let made = self
            .bench
            .wait(put.image_manifest(manifest.to_string()).send())
            .unwrap();
        made.image.unwrap().image_id.unwrap().image_digest.unwrap()
    }

    fn remove_image(&self, digest: &str) {
        let image = aws_sdk_ecr::types::ImageIdentifier::builder()
            .image_digest(digest)
            .build();
        let delete = self
            .ecr
            .batch_delete_image()
            .repository_name(&self.name)
            .image_ids(image);
        self.bench.wait(delete.send()).unwrap();
    }

    pub fn register(&self, tag: &str, level: &str) -> String {
        let container = ContainerDefinition::builder()
            .name("app")
            .image(self.image(tag))
            .memory(64)
            .environment(KeyValuePair::builder().name("LOG_LEVEL").value(level).build())
            .environment(KeyValuePair::builder().name("PORT").value("8080").build())
            .secrets(
                Secret::builder()
                    .name("KEY")
                    .value_from(format!("arn:{level}"))
                    .build()
                    .unwrap(),
            )
            .build();
        let register = self.ecs.register_task_definition().family(&self.name).cpu("256");
        let made = self
            .bench
            .wait(register.container_definitions(container).send())
            .unwrap();
        made.task_definition.unwrap().task_definition_arn.unwrap()
    }

    /// A deploy by somebody else.
    pub fn deploy(&self, revision: &str) {
        let update = self.ecs.update_service().cluster(&self.name).service("web");
        self.bench.wait(update.task_definition(revision).send()).unwrap();
    }

    pub fn revisions(&self) -> Vec<String> {
        let list = self.ecs.list_task_definitions().family_prefix(&self.name);
        self.bench.wait(list.send()).unwrap().task_definition_arns.unwrap()
    }

    pub fn deregister(&self, revision: &str) {
        self.bench
            .wait(self.ecs.deregister_task_definition().task_definition(revision).send())
            .unwrap();
    }

    fn container(&self) -> ContainerDefinition {
        let services = self.ecs.describe_services().cluster(&self.name).services("web").send();
        let service = self.bench.wait(services).unwrap().services.unwrap().remove(0);
        let describe = self
            .ecs
            .describe_task_definition()
            .task_definition(service.task_definition.unwrap());
        let described = self.bench.wait(describe.send()).unwrap().task_definition.unwrap();
        described.container_definitions.unwrap().remove(0)
    }
}

fn text<'b>(binding: &'b Binding, key: &str) -> &'b str {
    binding[key].as_str().unwrap()
}

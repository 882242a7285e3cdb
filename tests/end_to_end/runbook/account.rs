//! The account in which the system runs: what is there before Terraform takes it in, what deploys do to it, and what of it
//! the test sees with its own eyes.

use rollback_tests::Emulator;
use serde_json::{Value, json};

/// What AWS gives a load balancer by itself, and the emulator does not.
const BALANCER: &[(&str, &str)] = &[
    ("client_keep_alive.seconds", "3600"),
    ("connection_logs.s3.enabled", "false"),
    ("idle_timeout.timeout_seconds", "60"),
    ("routing.http.desync_mitigation_mode", "defensive"),
    ("routing.http.drop_invalid_header_fields.enabled", "false"),
    ("routing.http.preserve_host_header.enabled", "false"),
    ("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false"),
    ("routing.http.xff_client_port.enabled", "false"),
    ("routing.http.xff_header_processing.mode", "append"),
    ("routing.http2.enabled", "true"),
    ("waf.fail_open.enabled", "false"),
    ("zonal_shift.config.enabled", "false"),
];

const REGISTRY: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

/// The emulator is one for all tests: each system has a name of its own.
#[derive(Clone)]
pub struct Account {
    pub emulator: Emulator,
    pub name: String,
}

/// What was there before Terraform, by its ids.
pub struct Network {
    pub vpc: String,
    pub subnets: [String; 2],
    pub balancer: String,
}

impl Account {
    fn ecs(&self, operation: &str, body: &Value) -> Value {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        self.emulator.json("ecs", &target, body)
    }

    fn elb(&self, parameters: &str) -> String {
        self.emulator
            .query("elasticloadbalancing", &format!("Version=2015-12-01&{parameters}"))
    }

    pub fn rds(&self, parameters: &str) -> String {
        self.emulator.query("rds", &format!("Version=2014-10-31&{parameters}"))
    }

    /// What the provider takes up to a minute to make.
    pub fn network(&self) -> Network {
        let ec2 = |parameters: &str| self.emulator.query("ec2", &format!("Version=2016-11-15&{parameters}"));
        let made = ec2("Action=CreateVpc&CidrBlock=10.0.0.0/16");
        let vpc = between(&made, "<vpcId>", "</vpcId>").to_owned();
        let subnets = [(0, 'a'), (1, 'b')].map(|(number, zone)| {
            let made = ec2(&format!(
                "Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.{number}.0/24&AvailabilityZone=us-east-1{zone}"
            ));
            between(&made, "<subnetId>", "</subnetId>").to_owned()
        });
        let (name, [one, other]) = (&self.name, &subnets);
        let made = self.elb(&format!(
            "Action=CreateLoadBalancer&Name={name}&Scheme=internal&Type=application&Subnets.member.1={one}&Subnets.member.2={other}"
        ));
        let balancer = between(&made, "<LoadBalancerArn>", "</LoadBalancerArn>").to_owned();
        let attributes = BALANCER
            .iter()
            .enumerate()
            .fold(String::new(), |all, (index, (key, value))| {
                let number = index + 1;
                format!("{all}&Attributes.member.{number}.Key={key}&Attributes.member.{number}.Value={value}")
            });
        self.elb(&format!(
            "Action=ModifyLoadBalancerAttributes&LoadBalancerArn={balancer}{attributes}"
        ));
        self.ecs("CreateCluster", &json!({"clusterName": name}));
        self.rds(&format!(
            "Action=CreateDBInstance&DBInstanceIdentifier={name}&DBInstanceClass=db.t3.small&Engine=postgres\
             &AllocatedStorage=20&MasterUsername=shop&MasterUserPassword=not-a-secret&BackupRetentionPeriod=7"
        ));
        Network { vpc, subnets, balancer }
    }

    fn image(&self, version: &str) -> String {
        format!("{REGISTRY}/{}-backend:{version}", self.name)
    }

    /// Pushes an image of the application.
    pub fn push(&self, version: &str) {
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": "sha256:0"},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1, "digest": version}]});
        self.emulator.json(
            "ecr",
            "AmazonEC2ContainerRegistry_V20150921.PutImage",
            &json!({
                "repositoryName": format!("{}-backend", self.name), "imageTag": version,
                "imageManifest": manifest.to_string(),
            }),
        );
    }

    /// Registers a revision and makes the service run it.
    pub fn deploy(&self, service: &str, version: &str, level: &str) {
        let registered = self.ecs(
            "RegisterTaskDefinition",
            &json!({
                "family": format!("{}-{service}", self.name), "networkMode": "awsvpc",
                "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
                "containerDefinitions": [{
                    "name": service, "image": self.image(version), "memory": 128, "essential": true,
                    "environment": [{"name": "LOG_LEVEL", "value": level}],
                }],
            }),
        );
        let revision = &registered["taskDefinition"]["taskDefinitionArn"];
        self.ecs(
            "UpdateService",
            &json!({"cluster": self.name, "service": service, "taskDefinition": revision}),
        );
    }

    fn service(&self, service: &str) -> Value {
        let found = self.ecs(
            "DescribeServices",
            &json!({"cluster": self.name, "services": [service]}),
        );
        found["services"][0].clone()
    }

    /// Version and log level that a service runs.
    pub fn runs(&self, service: &str) -> (String, String) {
        let revision = self.service(service)["taskDefinition"].clone();
        let found = self.ecs("DescribeTaskDefinition", &json!({"taskDefinition": revision}));
        let container = &found["taskDefinition"]["containerDefinitions"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let image = text(&container["image"]);
        let version = image.rsplit_once(':').map_or(image.as_str(), |(_, version)| version);
        (version.to_owned(), text(&container["environment"][0]["value"]))
    }

    /// How many tasks of a service there are to be.
    pub fn tasks(&self, service: &str) -> Value {
        self.service(service)["desiredCount"].clone()
    }

    /// The ARN of a target group.
    pub fn group(&self, name: &str) -> String {
        let found = self.elb(&format!(
            "Action=DescribeTargetGroups&Names.member.1={}-{name}",
            self.name
        ));
        between(&found, "<TargetGroupArn>", "</TargetGroupArn>").to_owned()
    }

    /// The ARN of the load balancer's listener.
    pub fn listener(&self) -> String {
        let found = self.elb(&format!("Action=DescribeLoadBalancers&Names.member.1={}", self.name));
        let balancer = between(&found, "<LoadBalancerArn>", "</LoadBalancerArn>");
        let found = self.elb(&format!("Action=DescribeListeners&LoadBalancerArn={balancer}"));
        between(&found, "<ListenerArn>", "</ListenerArn>").to_owned()
    }

    pub fn switch(&self, group: &str) {
        let (listener, group) = (self.listener(), self.group(group));
        self.elb(&format!(
            "Action=ModifyListener&ListenerArn={listener}&DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn={group}"
        ));
    }

    /// Whether traffic goes to a target group.
    pub fn traffic_goes_to(&self, group: &str) -> bool {
        let listener = self.listener();
        let found = self.elb(&format!("Action=DescribeListeners&ListenerArns.member.1={listener}"));
        found.contains(&self.group(group))
    }

    fn parameter(&self) -> String {
        format!("/{}/new-checkout", self.name)
    }

    pub fn flag(&self, value: &str) {
        self.emulator.json(
            "ssm",
            "AmazonSSM.PutParameter",
            &json!({"Name": self.parameter(), "Value": value, "Type": "String", "Overwrite": true}),
        );
    }

    pub fn flag_is(&self) -> String {
        let found = self
            .emulator
            .json("ssm", "AmazonSSM.GetParameter", &json!({"Name": self.parameter()}));
        found["Parameter"]["Value"].as_str().unwrap().to_owned()
    }

    fn logs(&self, operation: &str, body: &Value) -> Value {
        self.emulator.json("logs", &format!("Logs_20140328.{operation}"), body)
    }

    /// Writes a line into the application's log.
    pub fn log(&self, line: &str) {
        let (group, now) = (format!("/ecs/{}", self.name), jiff::Timestamp::now().as_millisecond());
        let stream = now.to_string();
        self.logs(
            "CreateLogStream",
            &json!({"logGroupName": group, "logStreamName": stream}),
        );
        self.logs(
            "PutLogEvents",
            &json!({"logGroupName": group, "logStreamName": stream, "logEvents": [{"timestamp": now, "message": line}]}),
        );
    }

    /// Whether there are any lines in the application's log.
    pub fn logged(&self) -> bool {
        let found = self.logs(
            "DescribeLogStreams",
            &json!({"logGroupName": format!("/ecs/{}", self.name)}),
        );
        found["logStreams"]
            .as_array()
            .is_some_and(|streams| !streams.is_empty())
    }

    /// The resource id of the instance that has the database's name.
    pub fn database(&self) -> String {
        let found = self.rds(&format!(
            "Action=DescribeDBInstances&DBInstanceIdentifier={}",
            self.name
        ));
        between(&found, "<DbiResourceId>", "</DbiResourceId>").to_owned()
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("{from} in {text}")).1;
    rest.split_once(to).unwrap().0
}

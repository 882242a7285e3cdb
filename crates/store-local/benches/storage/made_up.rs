//! States as a stack lives through its releases: the same ten thousand instances, of which a two-hundredth has other
//! tags in each release; a fifth as many are added, removed and moved.

use std::fmt::Write;

use rollback_release::BlobId;

/// The state of a release of so many instances; `release` counts from 0.
pub fn state(instances: usize, release: usize) -> Vec<u8> {
    let mut text = format!(
        "{{\n  \"version\": 4,\n  \"terraform_version\": \"1.11.4\",\n  \"serial\": {},\n  \"lineage\": \"l\",\n  \"outputs\": {{}},\n  \"resources\": [",
        release + 1
    );
    // A tenth of a percent is replaced per release: the oldest go, as many new ones come.
    let replaced = instances / 1000;
    let first = release * replaced;
    for number in first..first + instances {
        let hash = BlobId::of(&number.to_le_bytes());
        let changed = last_change(number, release);
        // What was moved by now bears another name.
        let name = if number % 1009 < release { "moved" } else { "role" };
        let comma = if number == first { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}
    {{
      "module": "module.m{}",
      "mode": "managed",
      "type": "aws_iam_role",
      "name": "{name}_{number}",
      "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
      "instances": [
        {{
          "schema_version": 0,
          "attributes": {{
            "arn": "arn:aws:iam::123456789012:role/service-{number}",
            "assume_role_policy": "{{\"Statement\":[{{\"Action\":\"sts:AssumeRole\",\"Effect\":\"Allow\"}}]}}",
            "id": "{hash}",
            "tags": {{"release": "{changed}", "Index": "{number}", "Owner": "team-{}"}},
            "policy": "{}"
          }},
          "sensitive_attributes": [],
          "private": "bnVsbA==",
          "dependencies": ["aws_iam_policy.policy_{number}", "data.aws_region.current"]
        }}
      ]
    }}"#,
            number % 40,
            number % 17,
            format!("statement {} of service; ", number % 97).repeat(53)
        );
    }
    text.push_str("\n  ]\n}\n");
    text.into_bytes()
}

/// The last release at which an instance changed: each does every two hundred releases.
fn last_change(number: usize, release: usize) -> usize {
    let phase = number.wrapping_mul(7919) % 200;
    release.saturating_sub((release + 200 - phase) % 200)
}

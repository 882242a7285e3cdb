#!/usr/bin/env python3
"""How fast a bucket's versions are taken in, and how much memory that takes.

    AWS_ENDPOINT_URL=http://127.0.0.1:5000 PYTHON tests/import_benchmark.py BINARY [VERSIONS [MEGABYTES]]

PYTHON is one that has boto3 (the emulator's virtual environment has it); the endpoint is an emulator or a server of one's
own. A bucket is filled with versions of one state, of which 0.5 % changes each time, and imported into an empty store:
first a fifth of them, then all, so that memory that grows with the history would show.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid

import boto3

KEY = "app/terraform.tfstate"


def instance(number, rng):
    attributes = {"id": f"i-{number:08x}", "tags": {"Name": f"web-{number}"}, "text": rng.randbytes(400).hex()}
    return {
        "mode": "managed",
        "type": "aws_instance",
        "name": f"web_{number}",
        "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
        "instances": [{"schema_version": 1, "attributes": attributes, "sensitive_attributes": []}],
    }


def fill(s3, bucket, versions, megabytes):
    rng = random.Random(7)
    resources = [instance(number, rng) for number in range(megabytes * 850)]
    for serial in range(1, versions + 1):
        for _ in range(max(1, len(resources) // 200)):
            number = rng.randrange(len(resources))
            resources[number] = instance(number, rng)
        state = {
            "version": 4,
            "terraform_version": "1.11.4",
            "serial": serial,
            "lineage": "6f0a1c1e-0000-0000-0000-000000000000",
            "outputs": {},
            "resources": resources,
        }
        body = json.dumps(state, indent=2).encode()
        s3.put_object(Bucket=bucket, Key=KEY, Body=body)
    return len(body)


def repository(folder):
    environment = dict(os.environ, GIT_COMMITTER_DATE="2020-01-01T00:00:00Z", GIT_AUTHOR_DATE="2020-01-01T00:00:00Z")
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        environment[name] = "bench"
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        environment[name] = "bench@example.com"
    with open(os.path.join(folder, "main.tf"), "w") as file:
        file.write("# empty\n")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True)


def measure(binary, bucket, folder, home, limit):
    environment = dict(os.environ, INFRA_ROLLBACK_HOME=home, AWS_EC2_METADATA_DISABLED="true")
    command = [binary, "import", "s3-versions", "--bucket", bucket, "--key", KEY, "--limit", str(limit), "--json"]
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE)
    report = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    assert status == 0 and report["imported"] == limit, report
    print(
        f"{limit} versions: {limit / seconds:.1f} versions/s, peak memory {usage.ru_maxrss / 1024:.0f} MiB, "
        f"{usage.ru_utime + usage.ru_stime:.1f} s of processor in {seconds:.1f} s",
        flush=True,
    )


def main():
    binary = os.path.abspath(sys.argv[1])
    versions = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    megabytes = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    s3 = boto3.client("s3")
    bucket = f"bench-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    size = fill(s3, bucket, versions, megabytes)
    with tempfile.TemporaryDirectory() as folder:
        repo = os.path.join(folder, "repo")
        os.mkdir(repo)
        repository(repo)
        print(f"states of {size / 1e6:.1f} MB")
        for limit in (max(1, versions // 5), versions):
            home = os.path.join(folder, f"home-{limit}")
            measure(binary, bucket, repo, home, limit)
            stored = subprocess.run(["du", "-sm", home], capture_output=True, text=True, check=True).stdout.split()[0]
            print(f"  kept in {stored} MB")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A deploy orchestrator and the people around it, from a token to a verified rollback and back again.

    tests/orchestrator.py BINARY [--store s3://BUCKET/PREFIX?endpoint=…]

It needs Python alone, git and terraform (or tofu), and is meant to be read as an example of a client, from `main` on. In a
temporary folder it deploys a small stack twice, runs two instances of the service on one store (a folder, or the shared
one that is named), has one of them carry a rollback out, kills it with SIGKILL while terraform applies, and has the
other one go on. Each step says what it did; the first thing that is not as it should be ends it with status 1.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

# Seconds. Terraform may be slow on a machine that is busy.
PATIENCE = 120

BEFORE = """
resource "terraform_data" "shop" {
  input = "1.4.1"
}

# What takes its time on the way back: it is made when the file `go` is there.
resource "terraform_data" "index" {
  provisioner "local-exec" {
    command = "touch %(out)s/begun; while [ ! -e %(out)s/go ]; do sleep 0.05; done"
  }
}

output "version" {
  value = terraform_data.shop.output
}
"""

# The refactor renames the shop: `git checkout && terraform apply` would destroy it and make another one.
AFTER = """
resource "terraform_data" "storefront" {
  input = "1.5.0"
}

moved {
  from = terraform_data.shop
  to   = terraform_data.storefront
}

output "version" {
  value = terraform_data.storefront.output
}
"""


class Failed(Exception):
    """Something is not as it should be."""


class Problem(Failed):
    """An answer of 4xx or 5xx: application/problem+json (RFC 9457)."""

    def __init__(self, status, document):
        super().__init__(f"{status} {document.get('code')}: {document.get('detail')}")
        self.status = status
        self.code = document.get("code")


def say(text):
    print(text, flush=True)


def expect(is_so, what):
    if not is_so:
        raise Failed(what)


def wait_for(what, look):
    """Asks again until there is an answer, and gives it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise Failed(f"waited {PATIENCE} s for {what}")


# --- a client ---------------------------------------------------------------------------------------------------------


class Client:
    """One principal at one instance."""

    # The instances are on this machine: no proxy of the environment is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __init__(self, url, token):
        self.url, self.token = url, token

    def open(self, method, path, body=None, headers=()):
        headers = {"Authorization": f"Bearer {self.token}", **dict(headers)}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            return self.opener.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as refused:
            raise Problem(refused.code, json.loads(refused.read() or b"{}")) from None

    def get(self, path):
        with self.open("GET", path) as answer:
            return json.loads(answer.read())

    def post(self, path, body, headers=()):
        with self.open("POST", path, body, headers) as answer:
            return answer.status, answer.headers, json.loads(answer.read())

    def until(self, path, is_so):
        def look():
            known = self.get(path)
            return known if is_so(known) else None

        return wait_for(path, look)

    def events(self, path, last=None):
        """The journal as it is written: (id, event, data), until it ends or the connection breaks."""
        headers = {"Last-Event-ID": last} if last else {}
        number = name = None
        try:
            with self.open("GET", path, headers=headers) as stream:
                for line in stream:
                    field, _, value = line.decode().rstrip("\n").partition(": ")
                    if field == "id":
                        number = value
                    elif field == "event":
                        name = value
                    elif field == "data":
                        yield number, name, json.loads(value)
                        number = name = None
        except (OSError, urllib.error.URLError):
            return


class Listener(threading.Thread):
    """Hears a rollback's events, and knows the last one, with which another instance is asked for the rest."""

    def __init__(self, client, path, last=None):
        super().__init__(daemon=True)
        self.client, self.path, self.last, self.heard = client, path, last, []
        self.start()

    def run(self):
        for number, name, _ in self.client.events(self.path, self.last):
            self.last = number or self.last
            self.heard.append(name)


# --- what is deployed -------------------------------------------------------------------------------------------------


class World:
    """A repository, what terraform made of it, and the tool."""

    def __init__(self, folder, binary, store):
        self.binary, self.store = binary, store
        self.repository, self.out = os.path.join(folder, "shop"), os.path.join(folder, "out")
        for made in (self.repository, self.out, os.path.join(folder, "home")):
            os.mkdir(made)
        self.terraform = shutil.which("terraform") or shutil.which("tofu")
        expect(self.terraform, "neither terraform nor tofu is there")
        who = {"NAME": "orchestrator", "EMAIL": "orchestrator@example.com"}
        self.environment = {
            **os.environ,
            **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()},
            "INFRA_ROLLBACK_HOME": os.path.join(folder, "home"),
            "CHECKPOINT_DISABLE": "1",
            "NO_COLOR": "1",
        }
        self.run(["git", "init", "--quiet", "--initial-branch=main"])
        self.commit("")

    def run(self, command):
        done = subprocess.run(command, cwd=self.repository, env=self.environment, capture_output=True, text=True)
        expect(done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def tool_command(self, *arguments):
        return [self.binary, *(["--store", self.store] if self.store else []), *arguments]

    def tool(self, *arguments):
        return self.run(self.tool_command(*arguments))

    def commit(self, configuration):
        files = {"main.tf": configuration, ".gitignore": ".terraform/\n*.tfstate*\n*.lock.info\n"}
        for name, text in files.items():
            with open(os.path.join(self.repository, name), "w") as file:
                file.write(text)
        self.run(["git", "add", "--all"])
        self.run(["git", "commit", "--quiet", "--message", "a release"])

    def deploy(self, configuration):
        """Commits and applies, as the pipeline does."""
        self.commit(configuration % {"out": self.out})
        self.run([self.terraform, "init", "-input=false"])
        self.run([self.terraform, "apply", "-input=false", "-auto-approve"])

    def state(self):
        with open(os.path.join(self.repository, "terraform.tfstate")) as file:
            return json.load(file)

    def objects(self):
        """Ids by address."""
        return {
            f"{found['type']}.{found['name']}": found["instances"][0]["attributes"]["id"]
            for found in self.state()["resources"]
        }

    def version(self):
        return self.state()["outputs"]["version"]["value"]

    def token(self, name, role):
        return json.loads(self.tool("tokens", "create", "--json", "--name", name, "--role", role))["token"]

    def touch(self, name):
        open(os.path.join(self.out, name), "w").close()

    def has(self, name):
        return os.path.exists(os.path.join(self.out, name))

    def forget(self, name):
        os.remove(os.path.join(self.out, name))


class Instance:
    """A running `serve`."""

    def __init__(self, world):
        command = world.tool_command("serve", "--listen", "127.0.0.1:0", "--four-eyes")
        self.process = subprocess.Popen(
            command, cwd=world.repository, env=world.environment, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        found = re.match(r"Listening on (http://\S+)", line)
        expect(found, f"the service says {line!r} instead of where it listens")
        self.url = found[1]

    def kill(self):
        self.process.kill()
        status = self.process.wait()
        expect(status == -signal.SIGKILL, f"the instance ended with {status} before it was killed")

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()


# --- the story --------------------------------------------------------------------------------------------------------


def deploy_twice(world, clients):
    """Two releases, each kept through the service; what was deployed first."""
    world.touch("go")
    world.deploy(BEFORE)
    first = world.objects()
    status, headers, release = clients.pipeline.post("/v1/releases", {"name": "v1.4.1"})
    expect(status == 201 and headers["Location"] == f"/v1/releases/{release['id']}", f"{status} {release}")
    world.deploy(AFTER)
    clients.pipeline.post("/v1/releases", {"name": "v1.5.0"})
    say(f"1. deployed and kept: v1.4.1 and v1.5.0, which is {world.version()}")
    world.forget("go")
    world.forget("begun")
    return first


def ask(clients):
    """Whether we could get back, and a rollback: the same one where the answer was lost and it is asked for again."""
    eligible = clients.pipeline.get("/v1/eligibility?to=v1.4.1")
    expect(eligible["eligible"], f"v1.4.1 cannot be gone back to: {eligible}")
    expect(not eligible["data_loss"], f"data would be lost: {eligible}")
    say(f"2. v1.4.1 can be gone back to: {eligible['changes']} changes")
    wanted = {"revision": "v1.4.1", "reason": "the checkout is down"}
    key = {"Idempotency-Key": "incident-17"}
    status, headers, asked = clients.pipeline.post("/v1/rollbacks", wanted, key)
    expect(status == 202, f"asking gives {status}")
    path = headers["Location"]
    _, _, again = clients.pipeline_elsewhere.post("/v1/rollbacks", wanted, key)
    expect(again["id"] == asked["id"], "an Idempotency-Key was asked for twice and gave two rollbacks")
    say(f"3. asked for {path}, and once more at the other instance: it is the same one")
    return path


def approve(clients, path):
    """Somebody else looks at the plan and says yes to its digest."""
    known = clients.approver.until(path, lambda known: known["over"] or known["status"] == "awaiting-approval")
    expect(known["status"] == "awaiting-approval", f"it is {known['status']}: {known['message']}")
    digest = known["approval"]["digest"]
    plan = clients.approver.get(f"{path}/plan")
    expect(plan["digest"] == digest, "the plan has another digest than the one that awaits approval")
    for who, word, expected in (
        (clients.pipeline, digest, "forbidden"),
        (clients.requester_approves, digest, "forbidden"),
        (clients.approver, "0" * 64, "wrong-digest"),
    ):
        try:
            who.post(f"{path}/approvals", {"digest": word})
            raise Failed("a yes was taken that must not count")
        except Problem as problem:
            expect(problem.code == expected, f"expected {expected}, got {problem}")
    status, _, _ = clients.approver.post(f"{path}/approvals", {"digest": digest, "comment": "seen"})
    expect(status == 201, f"the approval gives {status}")
    return digest


def holder(clients):
    """The process that has the stack."""
    locks = clients.survivor.get("/v1/locks")["items"]
    return next((lock["holder"]["process"]["pid"] for lock in locks if lock["kind"] == "run"), None)


def killed_while_it_applies(world, clients, owner, path, listener):
    """The instance that owns the run dies; what the other one knows of it."""
    wait_for("terraform to apply", lambda: world.has("begun"))
    pid = holder(clients)
    expect(pid == owner.process.pid, f"process {pid} has the stack, not the instance that was asked")
    owner.kill()
    known = clients.survivor.get(path)
    # On the machine of the dead one that it is dead can be seen; from another it goes on to be "applying".
    in_the_middle = known["status"] in ("applying", "needs-reconcile") and not known["over"]
    expect(in_the_middle, f"it is {known['status']}, not in the middle")
    listener.join(PATIENCE)
    expect("verified" not in listener.heard and "end" not in listener.heard, f"it was over: {listener.heard}")
    expect(not world.has("go"), "terraform was not held in the middle")
    say(f"5. killed the instance that had the stack (process {pid}) while terraform applied; it is {known['status']}")


def go_on(world, clients, path, listener):
    """The other instance takes it over, hears the rest of the journal, and brings it to its end."""
    rest = Listener(clients.survivor, f"{path}/events", listener.last)
    status, _, _ = clients.survivor.post(f"{path}/resume", {})
    expect(status == 202, f"resuming gives {status}")
    # Terraform outlives who started it; whoever goes on waits for it.
    world.touch("go")
    known = clients.survivor.until(path, lambda known: known["over"] or known["approval"])
    if not known["over"]:
        raise Failed(f"what is left is not what was approved: {known['message']}")
    expect(known["status"] == "completed", f"it is {known['status']}: {known['message']}")
    rest.join(PATIENCE)
    expect("verified" in rest.heard and rest.heard[-1] == "end", f"the events do not tell of its end: {rest.heard}")
    twice = [name for name in rest.heard if name == "started"]
    expect(not twice, "events that were heard before came again")
    say(f"6. the other instance went on, from event {listener.last}: {', '.join(rest.heard)}")


def undo(clients, path):
    """Forward again, through the same guards."""
    _, headers, _ = clients.operator.post(f"{path}/undo", {"reason": "1.5.1 is ready"})
    undone = headers["Location"]
    known = clients.lead.until(undone, lambda known: known["over"] or known["status"] == "awaiting-approval")
    expect(known["status"] == "awaiting-approval", f"it is {known['status']}: {known['message']}")
    clients.lead.post(f"{undone}/approvals", {"digest": known["approval"]["digest"]})
    known = clients.lead.until(undone, lambda known: known["over"])
    expect(known["status"] == "completed", f"it is {known['status']}: {known['message']}")
    return undone


def audit(world, clients):
    """The log is exported, verified without any service, and tells who did what; a changed one is found out."""
    entries = os.path.join(world.out, "audit.ndjson")
    world.tool("audit", "export", "--output", entries)
    verified = json.loads(world.tool("audit", "verify", "--from", entries, "--json"))
    with open(entries) as file:
        text = file.read()
    done = [json.loads(line) for line in text.splitlines()]
    actions = [(entry.get("action"), entry.get("actor", "").split(" ")[0]) for entry in done if "action" in entry]
    for expected in (
        ("rollbacks.create", "pipeline"),
        ("approvals.create", "ann"),
        ("rollbacks.resume", "sre"),
        ("rollbacks.undo", "sre"),
        ("approvals.create", "lea"),
    ):
        expect(expected in actions, f"{expected} is not on record: {sorted(set(actions))}")
    changed = os.path.join(world.out, "changed.ndjson")
    with open(changed, "w") as file:
        file.write(text.replace('ann (', 'bob (', 1))
    tried = subprocess.run(
        world.tool_command("audit", "verify", "--from", changed), env=world.environment, cwd=world.out, capture_output=True
    )
    expect(tried.returncode == 1, "a log in which a name was changed counts as whole")
    say(f"9. the audit log of {verified['entries']} entries is whole, and one with another name in it is not")


class Clients:
    """Who speaks to which instance: a pipeline, people, and whoever is on call when an instance dies."""

    def __init__(self, world, one, other):
        pipeline, sre = world.token("pipeline", "operator"), world.token("sre", "operator")
        ann, lea = world.token("ann", "approver"), world.token("lea", "approver")
        self.pipeline, self.pipeline_elsewhere = Client(one.url, pipeline), Client(other.url, pipeline)
        # Another token of the same name is the same person.
        self.requester_approves = Client(one.url, world.token("pipeline", "admin"))
        self.approver = Client(one.url, ann)
        self.survivor = self.operator = Client(other.url, sre)
        self.lead = Client(other.url, lea)


def play(world, instances):
    one, other = Instance(world), Instance(world)
    instances += [one, other]
    clients = Clients(world, one, other)
    first = deploy_twice(world, clients)
    second = world.objects()
    path = ask(clients)
    listener = Listener(clients.pipeline, f"{path}/events")
    digest = approve(clients, path)
    say(f"4. ann, and nobody else, could say yes to {digest}")
    killed_while_it_applies(world, clients, one, path, listener)
    go_on(world, clients, path, listener)
    expect(world.version() == "1.4.1", f"the version is {world.version()}")
    shop = "terraform_data.shop"
    expect(world.objects().keys() == first.keys(), f"there is {world.objects()} instead of {first}")
    expect(world.objects()[shop] == first[shop], "the shop was made anew, and not the one that it was")
    say(f"7. back and verified: {world.version()}, and {shop} is the same object")
    undone = undo(clients, path)
    expect(world.objects() == second and world.version() == "1.5.0", f"undone, there is {world.objects()}")
    say(f"8. undone by {undone}: {world.version()} again")
    audit(world, clients)


def main():
    parser = argparse.ArgumentParser(description="An orchestrator's story, with an instance killed in the middle.")
    parser.add_argument("binary", help="infra-rollback")
    parser.add_argument("--store", help="s3://BUCKET/PREFIX?…, made where missing; default: a folder")
    arguments = parser.parse_args()
    instances = []
    with tempfile.TemporaryDirectory(prefix="orchestrator-") as folder:
        world = World(os.path.realpath(folder), os.path.abspath(arguments.binary), arguments.store)
        try:
            if arguments.store:
                world.tool("store", "create")
            play(world, instances)
        except Failed as failed:
            say(f"FAILED: {failed}")
            return 1
        finally:
            # A terraform that still waits in the middle ends by this.
            world.touch("go")
            for instance in instances:
                instance.end()
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())

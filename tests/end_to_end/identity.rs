//! Identity tokens: pipelines and people that prove who they are to the service with what an issuer signed.

use std::time::{Duration, Instant};

use rollback_tests::{Issuer, KeyKind, Manner, Service, Signer, World, data, scenario, wait_until};
use serde_json::{Value, json};

use crate::client::through;

const MAIN: &str = "repo:acme/infra:ref:refs/heads/main";

/// What the settings say of an issuer: `more` before the rules.
fn settings(issuer: &Issuer, more: &str, rules: &str) -> String {
    format!(
        "[[identity]]\nissuer = \"{}\"\naudience = \"infra-rollback\"\npause = \"1s\"\n{more}\n{rules}",
        issuer.url()
    )
}

const RULES: &str = r#"
[[identity.rule]]
role = "operator"
claims = { repository = "acme/infra", ref = ["refs/heads/main", "refs/heads/release/*"], environment = "production" }

[[identity.rule]]
role = "approver"
grants = ["read-metrics"]
claims = { repository = "acme/infra", environment = "approval" }

[[identity.rule]]
role = "viewer"
stacks = ["network"]
claims = { repository = "acme/infra" }
"#;

/// A service that takes the tokens of an issuer.
fn serve(world: &World, text: &str, arguments: &[&str]) -> Service {
    world.put("infra-rollback.toml", text);
    Service::start(world, arguments)
}

/// What GitHub Actions says of a job.
fn github(issuer: &Issuer, environment: &str, actor: &str) -> Value {
    issuer.claims(json!({
        "sub": format!("repo:acme/infra:environment:{environment}"), "repository": "acme/infra",
        "repository_owner": "acme", "ref": "refs/heads/main", "environment": environment, "actor": actor,
    }))
}

fn begin(world: &World) {
    world.write(&[("main.tf", "")]);
    world.commit("the beginning");
}

#[test]
fn a_pipeline_rolls_back_with_its_own_identity_and_that_is_on_record() {
    scenario(|mut world| {
        let first = world.release(&[("main.tf", &data("a", "one"))]);
        world.release(&[("main.tf", &data("a", "two"))]);
        let signer = Signer::new("one", KeyKind::Rsa);
        let issuer = Issuer::start(&[&signer]);
        let service = serve(&world, &settings(&issuer, "", RULES), &[]);
        wait_until("it to say whose tokens it takes", || {
            service.log().contains(&issuer.url())
        });
        let admin = world.token("admin", "admin", &[]);
        let operator = signer.token(&github(&issuer, "production", "ann"));
        let approver = signer.token(&github(&issuer, "approval", "bob"));
        let viewer = signer.token(&github(&issuer, "staging", "eve"));

        let who = service.get("/v1/principal", &operator).is(200).json();
        assert_eq!(who["name"], "repo:acme/infra:environment:production by ann");
        assert_eq!((&who["role"], &who["stacks"]), (&json!("operator"), &Value::Null));
        assert_eq!(who["identity"]["issuer"], issuer.url());
        assert_eq!(who["identity"]["rule"], 1);
        assert_eq!(
            who["identity"]["claims"],
            json!({ "repository": "acme/infra", "ref": "refs/heads/main", "environment": "production" })
        );
        // As Terraform sends it.
        let basic = {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(format!("terraform:{operator}"))
        };
        let header = format!("Basic {basic}");
        let reply = service.raw("GET", "/v1/principal", &header);
        assert_eq!(reply.is(200).json()["id"], who["id"]);

        // What the rules say, and no more.
        service.get("/v1/stacks/repo/workspaces/default/state", &viewer).is(403);
        service.get("/v1/metrics", &viewer).is(403);
        service.get("/v1/metrics", &approver).is(200);
        service
            .post("/v1/rollbacks", &approver, r#"{"revision":"HEAD"}"#)
            .is(403);

        let token = &first.commit;
        let (path, known) = service.rollback(&operator, &json!({ "revision": token }).to_string());
        assert_eq!(known["status"], "awaiting-approval", "{known}");
        let digest = json!({ "digest": known["approval"]["digest"] }).to_string();
        service.post(&format!("{path}/approvals"), &operator, &digest).is(403);
        service.post(&format!("{path}/approvals"), &approver, &digest).is(201);
        let known = service.until(&path, &operator, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
        through(&mut world, &service, &operator, &["runs"]).exits(0);

        let log = world.tool(&["audit", "log", "--json"]).exits(0).json();
        let entries = log["entries"].as_array().unwrap();
        let of = |action: &str, phase: &str| {
            let found = entries
                .iter()
                .find(|entry| entry["action"] == action && entry["phase"] == phase);
            found.unwrap_or_else(|| panic!("{action} {phase}: {log}")).clone()
        };
        let asked = of("rollbacks.create", "intended");
        let id = who["id"].as_str().unwrap();
        assert_eq!(
            asked["actor"],
            format!("repo:acme/infra:environment:production by ann ({id})")
        );
        assert_eq!(asked["detail"]["identity"]["issuer"], issuer.url());
        assert_eq!(asked["detail"]["identity"]["claims"]["environment"], "production");
        let denied = of("approvals.create", "denied");
        assert_eq!(
            denied["detail"]["identity"]["subject"],
            "repo:acme/infra:environment:production"
        );
        through(&mut world, &service, &admin, &["audit", "verify"]).exits(0);

        // The token is nowhere.
        let shown = log.to_string() + &service.log();
        for token in [&operator, &approver, &viewer] {
            for part in token.split('.') {
                assert!(!shown.contains(part), "a part of a token is on record");
            }
            assert!(
                !holds(&world.home, token.rsplit('.').next().unwrap()),
                "a token is in the store"
            );
        }
    });
}

/// Whether a file below this folder holds the text.
fn holds(folder: &std::path::Path, text: &str) -> bool {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.flatten().any(|entry| match entry.path().is_dir() {
        true => holds(&entry.path(), text),
        false => {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        }
    })
}

#[test]
fn what_is_no_proof_is_refused_and_never_repeated() {
    scenario(|world| {
        begin(&world);
        let (rsa, elliptic) = (Signer::new("rsa", KeyKind::Rsa), Signer::new("elliptic", KeyKind::P256));
        let (edwards, stranger) = (
            Signer::new("edwards", KeyKind::Ed25519),
            Signer::new("rsa", KeyKind::Rsa),
        );
        let issuer = Issuer::start(&[&rsa, &elliptic, &edwards]);
        let evil = Issuer::start(&[&stranger]);
        let rules = "[[identity.rule]]\nrole = \"viewer\"\nclaims = { sub = \"repo:acme/infra:**\" }\n";
        let service = serve(&world, &settings(&issuer, "", rules), &[]);
        let own = world.token("ann", "viewer", &[]);
        let claims = |more: Value| issuer.claims(more);
        let good = claims(json!({ "sub": MAIN }));
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        let without = |name: &str| {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().shift_remove(name);
            claims
        };
        let header = |more: Value| {
            let mut header = json!({ "alg": "RS256", "typ": "JWT", "kid": "rsa" });
            for (name, value) in more.as_object().unwrap() {
                header[name] = value.clone();
            }
            header
        };
        let unsigned = |algorithm: &str| {
            let token = rsa.token_with(&header(json!({ "alg": algorithm })), &good);
            let (signed, _) = token.rsplit_once('.').unwrap();
            format!("{signed}.")
        };
        let now = jiff::Timestamp::now().as_second();
        let token = rsa.token(&good);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = rsa.token(&with("sub", json!("repo:acme/infra:ref:refs/heads/other")));
        let (_, other_signature) = other.rsplit_once('.').unwrap();
        let changed = {
            use base64::Engine;
            use base64::engine::general_purpose::URL_SAFE_NO_PAD;
            let mut claims = good.clone();
            claims["sub"] = json!("repo:acme/infra:ref:refs/heads/evil");
            let header = token.split('.').next().unwrap();
            format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()))
        };
        let mut attacks = vec![
            // Algorithms.
            ("none", unsigned("none")),
            ("None", unsigned("None")),
            ("nOnE", unsigned("nOnE")),
            ("no signature", unsigned("RS256")),
            ("an algorithm that is not taken", edwards.token(&good)),
            (
                "PSS, which is not taken",
                rsa.token_with(&header(json!({ "alg": "PS256" })), &good),
            ),
            (
                "ES256 of an RSA key",
                rsa.token_with(&header(json!({ "alg": "ES256" })), &good),
            ),
            (
                "RS256 of an elliptic key",
                elliptic.token_with(&header(json!({ "kid": "elliptic" })), &good),
            ),
            ("lower case", rsa.token_with(&header(json!({ "alg": "rs256" })), &good)),
            // Keys.
            ("a stranger's key of the same id", stranger.token(&good)),
            (
                "a key that is brought along",
                stranger.token_with(&header(json!({ "jwk": stranger.public() })), &good),
            ),
            (
                "keys from where the token says",
                stranger.token_with(
                    &header(json!({ "jku": format!("{}/keys", evil.url()), "x5u": evil.url() })),
                    &good,
                ),
            ),
            (
                "another key's id",
                rsa.token_with(&header(json!({ "kid": "elliptic" })), &good),
            ),
            (
                "no such key",
                rsa.token_with(&header(json!({ "kid": "../../keys" })), &good),
            ),
            ("no key named", rsa.token_with(&json!({ "alg": "RS256" }), &good)),
            (
                "a key's id that is none",
                rsa.token_with(&header(json!({ "kid": 7 })), &good),
            ),
            // Claims.
            ("another issuer", rsa.token(&with("iss", json!(evil.url())))),
            (
                "the issuer with a slash",
                rsa.token(&with("iss", json!(format!("{}/", issuer.url())))),
            ),
            ("no issuer", rsa.token(&without("iss"))),
            ("a list of issuers", rsa.token(&with("iss", json!([issuer.url()])))),
            (
                "another audience",
                rsa.token(&with("aud", json!("https://github.com/acme"))),
            ),
            ("no audience", rsa.token(&without("aud"))),
            (
                "other audiences",
                rsa.token(&with("aud", json!(["sts.amazonaws.com", "x"]))),
            ),
            ("expired", rsa.token(&with("exp", json!(now - 61)))),
            ("expired long ago", rsa.token(&with("exp", json!(0)))),
            ("no end", rsa.token(&without("exp"))),
            (
                "an end that is no time",
                rsa.token(&with("exp", json!(format!("{}", now + 300)))),
            ),
            ("not yet", rsa.token(&with("nbf", json!(now + 90)))),
            ("a beginning that is no time", rsa.token(&with("nbf", json!("now")))),
            ("nobody", rsa.token(&without("sub"))),
            ("nobody in particular", rsa.token(&with("sub", json!("")))),
            // Forms.
            (
                "extensions",
                rsa.token_with(&header(json!({ "crit": ["b64"], "b64": false })), &good),
            ),
            (
                "no extensions, critically",
                rsa.token_with(&header(json!({ "crit": [] })), &good),
            ),
            (
                "a token of another kind",
                rsa.token_with(&header(json!({ "typ": "logout+jwt" })), &good),
            ),
            ("too long", rsa.token(&with("padding", json!("x".repeat(16 << 10))))),
            ("changed claims", changed),
            ("another token's signature", format!("{signed}.{other_signature}")),
            ("a signature with something after it", format!("{token}AAAA")),
            ("padded", format!("{token}=")),
            ("claims that are a list", rsa.token(&json!(["iss", issuer.url()]))),
        ];
        // The public key as if it were a secret.
        for signer in [&rsa, &elliptic] {
            attacks.extend(
                signer
                    .confused(&good)
                    .into_iter()
                    .map(|token| ("HS256 with a public key", token)),
            );
        }
        assert_eq!(service.get("/v1/principal", &token).is(200).json()["role"], "viewer");
        assert_eq!(service.get("/v1/principal", &elliptic.token(&good)).status, 200);
        for (what, token) in &attacks {
            let reply = service.get("/v1/principal", token);
            assert_eq!(reply.status, 401, "{what}: {}", String::from_utf8_lossy(&reply.body));
            assert_eq!(reply.json()["code"], "identity-refused", "{what}");
            assert!(reply.head.to_lowercase().contains("www-authenticate"), "{what}");
            let said = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(
                token.split('.').all(|part| part.len() < 8 || !said.contains(part)),
                "{what}: {said}"
            );
        }
        // What has not even the form of one.
        for text in ["", "a.b", "a.b.c.d.e", "irt_0123.4567.89", "..", "."] {
            assert_eq!(service.get("/v1/principal", text).status, 401, "{text:?}");
        }
        assert_eq!(
            service.get("/v1/principal", &token).status,
            200,
            "the good one still is"
        );
        assert_eq!(
            service.get("/v1/principal", &own).status,
            200,
            "so is a token of the service's own"
        );
        assert_eq!(evil.asked(), Vec::<String>::new(), "nothing leads to another host");
        assert!(service.log().lines().all(|line| !line.contains(signature)));
    });
}

#[test]
fn whoever_fits_no_rule_is_told_so_and_learns_nothing_of_the_rules() {
    scenario(|mut world| {
        begin(&world);
        let signer = Signer::new("one", KeyKind::P256);
        let issuer = Issuer::start(&[&signer]);
        let service = serve(&world, &settings(&issuer, "", RULES), &[]);
        let ask = |claims: Value| {
            let mut all = issuer.claims(json!({ "sub": "repo:evil/infra:ref:refs/heads/main" }));
            for (name, value) in claims.as_object().unwrap() {
                all[name] = value.clone();
            }
            service.get("/v1/principal", &signer.token(&all))
        };
        for claims in [
            json!({}),
            json!({ "repository": "evil/infra", "repository_owner": "evil" }),
            json!({ "repository": "acme/infra-fork" }),
            json!({ "repository": "xacme/infra" }),
            json!({ "repository": "ACME/infra" }),
            json!({ "repository": "acme/infra\n" }),
            json!({ "repository": { "acme/infra": 1 } }),
            json!({ "repository": null }),
        ] {
            let reply = ask(claims.clone()).is(403);
            assert_eq!(reply.json()["code"], "identity-without-rule", "{claims}");
            let said = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(!said.contains("production") && !said.contains("acme"), "{said}");
        }
        wait_until("the log", || service.log().contains("no [[identity.rule]] fits"));
        // The first rule that fits decides.
        let role = |more: Value| ask(more).is(200).json()["role"].clone();
        let main = json!({ "repository": "acme/infra", "ref": "refs/heads/main", "environment": "production" });
        assert_eq!(role(main), "operator");
        let release = json!({ "repository": "acme/infra", "ref": "refs/heads/release/2", "environment": "production" });
        assert_eq!(role(release), "operator");
        let deeper =
            json!({ "repository": "acme/infra", "ref": "refs/heads/release/2/x", "environment": "production" });
        assert_eq!(role(deeper), "viewer");
        let token = signer.token(&issuer.claims(json!({ "sub": "repo:evil/x" })));
        through(&mut world, &service, &token, &["releases"])
            .exits(3)
            .says("no rule of this service");
        let expired = signer.token(&issuer.claims(json!({ "sub": MAIN, "exp": 0 })));
        through(&mut world, &service, &expired, &["releases"])
            .exits(1)
            .says("it has expired")
            .says("INFRA_ROLLBACK_TOKEN");
    });
}

#[test]
fn one_person_is_one_person_whatever_tokens_they_have() {
    scenario(|world| {
        let first = world.release(&[("main.tf", &data("a", "one"))]);
        world.release(&[("main.tf", &data("a", "two"))]);
        let signer = Signer::new("one", KeyKind::P256);
        let issuer = Issuer::start(&[&signer]);
        let rules = "[[identity.rule]]\nrole = \"admin\"\nclaims = { repository_owner = \"acme\" }\n";
        let service = serve(
            &world,
            &settings(&issuer, "", rules),
            &["--approvals", "2", "--four-eyes"],
        );
        let token = |repository: &str, actor: &str| {
            signer.token(&issuer.claims(json!({
                "sub": format!("repo:acme/{repository}:ref:refs/heads/main"), "repository": format!("acme/{repository}"),
                "repository_owner": "acme", "actor": actor,
            })))
        };
        let asking = token("infra", "ann");
        let (path, known) = service.rollback(&asking, &json!({ "revision": first.commit }).to_string());
        let body = json!({ "digest": known["approval"]["digest"] }).to_string();
        let approve = |token: &str| service.post(&format!("{path}/approvals"), token, &body);
        // The same token, a newer one of the same job, her in another repository, another one in the same job, and a
        // token of hers.
        assert_eq!(approve(&asking).status, 403);
        assert_eq!(approve(&token("infra", "ann")).status, 403);
        assert_eq!(approve(&token("other", "Ann")).status, 403);
        assert_eq!(approve(&token("infra", "bob")).status, 403);
        assert_eq!(approve(&world.token("ann", "approver", &[])).status, 403);
        // One other person, twice and thrice.
        approve(&token("other", "bob")).is(201);
        approve(&token("third", "bob")).is(201);
        let given = approve(&world.token("Bob", "approver", &[])).is(201).json();
        assert_eq!(given["given"].as_array().unwrap().len(), 1, "{given}");
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(
            service.get(&path, &asking).is(200).json()["status"],
            "awaiting-approval"
        );
        // And somebody else.
        approve(&world.token("cid", "approver", &[])).is(201);
        let known = service.until(&path, &asking, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
    });
}

#[test]
fn keys_change_and_unknown_ones_make_no_storm() {
    scenario(|world| {
        begin(&world);
        let (old, new) = (Signer::new("old", KeyKind::Rsa), Signer::new("new", KeyKind::P256));
        let issuer = Issuer::start(&[&old]);
        let rules = "[[identity.rule]]\nrole = \"viewer\"\nclaims = { sub = \"repo:acme/**\" }\n";
        let service = serve(&world, &settings(&issuer, "refresh = \"4s\"", rules), &[]);
        let claims = issuer.claims(json!({ "sub": MAIN }));
        let ask = |signer: &Signer| service.get("/v1/principal", &signer.token(&claims)).status;
        assert_eq!(ask(&old), 200);
        assert_eq!(ask(&old), 200);
        assert_eq!(
            issuer.asked().len(),
            2,
            "once, for the discovery document and for the keys"
        );

        // A key that is new is found once the pause is over.
        issuer.publishes(vec![old.public(), new.public()]);
        wait_until("the new key", || ask(&new) == 200);
        // One that is taken back counts no longer than the keys are good.
        issuer.publishes(vec![new.public()]);
        assert_eq!(ask(&old), 200);
        wait_until("the old key to go", || ask(&old) == 401);
        assert_eq!(ask(&new), 200);

        // Two keys of one id: nobody knows which is meant.
        let mut twin = old.public();
        twin["kid"] = json!("new");
        issuer.publishes(vec![new.public(), twin, old.public()]);
        wait_until("the twins to be seen", || ask(&new) == 401);
        assert_eq!(ask(&old), 200);
        issuer.publishes(vec![new.public()]);
        wait_until("the twin to go", || ask(&new) == 200);

        let before = issuer.asked().len();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (service, new, claims) = (&service, &new, &claims);
                scope.spawn(move || {
                    for number in 0..50 {
                        let id = format!("{thread}-{number}");
                        let token = new.token_with(&json!({ "alg": "ES256", "kid": id }), claims);
                        let status = service.get("/v1/principal", &token).status;
                        assert!(matches!(status, 401 | 503), "{status}");
                    }
                });
            }
        });
        let asked = (issuer.asked().len() - before) / 2;
        let most = begun.elapsed().as_secs() as usize + 2;
        assert!(
            asked <= most,
            "400 unknown keys asked {asked} times in {:?}",
            begun.elapsed()
        );
    });
}

#[test]
fn an_issuer_that_is_down_stops_only_what_needs_it() {
    scenario(|world| {
        begin(&world);
        let (known, other) = (Signer::new("known", KeyKind::P256), Signer::new("other", KeyKind::P256));
        let issuer = Issuer::start(&[&known]);
        let rules = "[[identity.rule]]\nrole = \"viewer\"\nclaims = { sub = \"repo:acme/**\" }\n";
        let text = settings(&issuer, "refresh = \"1s\"", rules);
        let service = serve(&world, &text, &[]);
        let own = world.token("ann", "viewer", &[]);
        let claims = issuer.claims(json!({ "sub": MAIN }));
        let ask = |service: &Service, signer: &Signer| service.get("/v1/principal", &signer.token(&claims));
        assert_eq!(ask(&service, &known).status, 200);
        for manner in [Manner::Status(500), Manner::Status(404), Manner::Never] {
            issuer.answers(manner.clone());
            std::thread::sleep(Duration::from_millis(1100));
            assert_eq!(
                ask(&service, &known).status,
                200,
                "{manner:?}: keys that are known go on"
            );
            let reply = ask(&service, &other).is(503);
            assert_eq!(reply.json()["code"], "issuer-unavailable");
            assert!(reply.head.to_lowercase().contains("retry-after"), "{}", reply.head);
            assert!(
                !String::from_utf8_lossy(&reply.body).contains("500"),
                "details are for the log"
            );
            assert_eq!(service.get("/v1/principal", &own).status, 200);
        }
        assert!(service.log().contains("answers 500"), "{}", service.log());
        // One that hangs holds up one request at a time.
        std::thread::sleep(Duration::from_millis(1100));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| assert_eq!(ask(&service, &known).status, 200));
            }
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                assert_eq!(service.get("/v1/principal", &own).status, 200);
                assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
            });
        });
        issuer.answers(Manner::Well);
        wait_until("it to be asked again", || ask(&service, &other).status == 401);
        drop(service);

        issuer.answers(Manner::Status(503));
        let cold = Service::start(&world, &[]);
        assert_eq!(ask(&cold, &known).status, 503);
        assert_eq!(cold.get("/v1/principal", &own).status, 200);
        issuer.answers(Manner::Well);
        wait_until("the keys", || ask(&cold, &known).status == 200);
    });
}

#[test]
fn an_issuer_leads_the_service_nowhere_else() {
    scenario(|world| {
        begin(&world);
        let signer = Signer::new("one", KeyKind::P256);
        let (issuer, evil) = (Issuer::start(&[]), Issuer::start(&[&signer]));
        let rules = "[[identity.rule]]\nrole = \"admin\"\nclaims = { sub = \"repo:acme/**\" }\n";
        let claims = issuer.claims(json!({ "sub": MAIN }));
        let token = signer.token(&claims);
        let service = serve(&world, &settings(&issuer, "", rules), &[]);
        let keys = format!("{}/keys", evil.url());
        let other_host = keys.replace("127.0.0.1", "localhost");
        let told = |service: &Service, what: &str| wait_until(what, || service.log().contains(what));
        for (manner, what) in [
            (Manner::Redirect(keys.clone()), "redirects are not followed"),
            (Manner::KeysAt(other_host), "names keys on another host"),
            (Manner::KeysAt("file:///etc/passwd".to_owned()), "is no https URL"),
            (
                Manner::KeysAt("http://169.254.169.254/keys".to_owned()),
                "is no https URL",
            ),
            (Manner::AnotherIssuer, "of another issuer"),
            (Manner::Endlessly, "more than 262144 bytes"),
            (Manner::Well, "none of its keys can be used"),
        ] {
            issuer.answers(manner.clone());
            std::thread::sleep(Duration::from_millis(1100));
            assert_eq!(service.get("/v1/principal", &token).status, 503, "{manner:?}");
            told(&service, what);
        }
        assert_eq!(evil.asked(), Vec::<String>::new());
        drop(service);
        // Where keys are configured, the guard over outbound requests stands: metadata never, private addresses on demand.
        for (address, more, what) in [
            ("169.254.169.254", "allow_private = true", "is not asked"),
            ("[fd00:ec2::254]", "allow_private = true", "is not asked"),
            ("10.255.255.1", "", "allow_private = true"),
        ] {
            let text = settings(
                &issuer,
                &format!("jwks_url = \"https://{address}/keys\"\n{more}"),
                rules,
            );
            let service = serve(&world, &text, &[]);
            assert_eq!(service.get("/v1/principal", &token).status, 503, "{address}");
            told(&service, what);
        }
    });
}

#[test]
fn settings_that_cannot_be_meant_do_not_start() {
    scenario(|world| {
        begin(&world);
        let issuer = Issuer::start(&[]);
        let good = settings(
            &issuer,
            "",
            "[[identity.rule]]\nrole = \"viewer\"\nclaims = { repository = \"acme/infra\" }\n",
        );
        let refused = |text: &str| {
            world.put("infra-rollback.toml", text);
            world.tool(&["serve", "--listen", "127.0.0.1:0"])
        };
        for (from, to, says) in [
            (issuer.url().as_str(), "http://issuer.example", "is no https URL"),
            (issuer.url().as_str(), "issuer", "is no URL"),
            ("acme/infra", "*", "begins with no text of its own"),
            ("acme/infra", "*/infra", "begins with no text of its own"),
            ("repository = \"acme/infra\"", "", "without `claims`"),
            ("viewer", "root", "is no role"),
            ("role =", "grants = [\"operate\"]\nrole =", "cannot be granted"),
            (
                "pause =",
                "algorithms = [\"HS256\"]\npause =",
                "no algorithm of a public key",
            ),
            (
                "pause =",
                "algorithms = [\"none\"]\npause =",
                "no algorithm of a public key",
            ),
            (
                "pause =",
                "jwks_url = \"http://a.example/keys\"\npause =",
                "is no https URL",
            ),
        ] {
            refused(&good.replace(from, to)).exits(2).says(says);
        }
        for (from, to, says) in [
            ("audience = \"infra-rollback\"", "", "[[identity]] has no `audience`"),
            ("audience", "audiance", "did you mean `audience`"),
        ] {
            refused(&good.replace(from, to)).exits(1).says(says);
        }
        refused(&format!("{good}\n{good}")).exits(2).says("comes twice");
        // What a client brings with its checkout has no say: only the service's own settings do.
        world.put("infra-rollback.toml", &good);
        let checkouts = world.path().join("checkouts");
        let service = Service::start(
            &world,
            &["--checkouts", checkouts.to_str().unwrap(), "--project", "service"],
        );
        assert!(!service.log().contains("Identity tokens"));
    });
}

#[test]
fn other_issuers_name_people_in_their_own_way() {
    scenario(|world| {
        begin(&world);
        let signer = Signer::new("one", KeyKind::Ed25519);
        let (gitlab, people) = (Issuer::start(&[&signer]), Issuer::start(&[&signer]));
        let text = settings(
            &gitlab,
            "algorithms = [\"EdDSA\"]",
            "[[identity.rule]]\nrole = \"operator\"\nclaims = { project_path = \"acme/infra\", ref_protected = \"true\" }\n",
        ) + &settings(
            &people,
            "algorithms = [\"EdDSA\"]\nname = \"email\"",
            "[[identity.rule]]\nrole = \"approver\"\nclaims = { \"/realm_access/roles\" = \"sre\" }\n",
        );
        let service = serve(&world, &text, &[]);
        let who = |claims: Value| service.get("/v1/principal", &signer.token(&claims));
        let job = json!({ "sub": "project_path:acme/infra:ref_type:branch:ref:main", "project_path": "acme/infra",
            "user_login": "ann", "ref_protected": "true" });
        assert_eq!(who(gitlab.claims(job)).is(200).json()["name"], "acme/infra by ann");
        let person = |verified: bool, role: &str| {
            people.claims(
                json!({ "sub": "f:1", "email": "ann@acme.example, admin (0)", "email_verified": verified,
                "realm_access": { "roles": ["offline", role] } }),
            )
        };
        assert_eq!(
            who(person(true, "sre")).is(200).json()["name"],
            "ann@acme.example_ admin _0_"
        );
        assert_eq!(who(person(false, "sre")).status, 401, "an address that nobody verified");
        assert_eq!(who(person(true, "dev")).status, 403);
        // The other issuer's word counts nothing here.
        let mut foreign = person(true, "sre");
        foreign["iss"] = json!(gitlab.url());
        assert_eq!(who(foreign).status, 403);
    });
}

#[test]
fn who_is_let_in_changes_without_a_restart() {
    scenario(|world| {
        begin(&world);
        let signer = Signer::new("one", KeyKind::Rsa);
        let issuer = Issuer::start(&[&signer]);
        let service = serve(&world, &settings(&issuer, "", RULES), &[]);
        let operator = signer.token(&github(&issuer, "production", "ann"));
        assert_eq!(
            service.get("/v1/principal", &operator).is(200).json()["role"],
            "operator"
        );
        let becomes = |what: &str, status: u16, role: &str| {
            wait_until(what, || {
                let reply = service.get("/v1/principal", &operator);
                reply.status == status && (status != 200 || reply.json()["role"] == role)
            });
        };
        // What cannot be understood shuts nobody out, and lets nobody else in.
        let broken = settings(&issuer, "", RULES).replace("role = \"operator\"", "role = \"emperor\"");
        world.put("infra-rollback.toml", &broken);
        wait_until("the complaint", || service.log().contains("what was read before stays"));
        assert_eq!(
            service.get("/v1/principal", &operator).is(200).json()["role"],
            "operator"
        );
        let less = settings(&issuer, "", RULES).replace("role = \"operator\"", "role = \"auditor\"");
        world.put("infra-rollback.toml", &less);
        becomes("another role", 200, "auditor");
        world.put("infra-rollback.toml", "");
        becomes("nobody to be let in", 401, "");
        world.put("infra-rollback.toml", &settings(&issuer, "", RULES));
        becomes("the first role again", 200, "operator");
    });
}

//! Issuers: their keys, those that are down or lead elsewhere, and how others name people.

use std::time::{Duration, Instant};

use rollback_tests::{Issuer, KeyKind, Manner, Service, Signer, scenario, wait_until};
use serde_json::{Value, json};

use super::{MAIN, begin, serve, settings};

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

//! Tokens that prove nothing, and people whom no rule lets in.

use rollback_tests::{Issuer, KeyKind, Signer, scenario, wait_until};
use serde_json::{Value, json};

use super::{MAIN, RULES, begin, serve, settings};
use crate::client::through;

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

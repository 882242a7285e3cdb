//! TLS: the service with a certificate of a private authority, its clients, and a certificate that changes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rollback_tests::{Authority, Certified, Service, World, data, interrupt, scenario, wait_until};

use crate::client::through;

const STATE: &str = "/v1/stacks/repo/workspaces/default/state";
const BACKEND: &str = "terraform {\n  backend \"http\" {\n    retry_max = 0\n  }\n}\n";

/// A repository with a commit, and so a project.
fn begin(world: &World) {
    world.write(&[("main.tf", BACKEND)]);
    world.commit("the beginning");
}

fn serve(world: &World, authority: &Authority, certified: &Certified) -> Service {
    let (certificate, key) = certified.put(&world.out);
    let arguments = [
        "--tls-certificate",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    Service::start(world, &arguments).trusting(authority)
}

#[test]
fn terraform_and_the_command_line_work_over_a_private_authority() {
    scenario(|mut world| {
        begin(&world);
        let token = world.token("terraform", "operator", &[]);
        let authority = Authority::new("acme");
        let file = authority.put(&world.out);
        let service = serve(&world, &authority, &authority.certify(&["127.0.0.1", "localhost"]));
        assert!(service.url().starts_with("https://") && !service.log().contains("as they are"));
        for name in ["TF_HTTP_ADDRESS", "TF_HTTP_LOCK_ADDRESS", "TF_HTTP_UNLOCK_ADDRESS"] {
            world.set(name, &format!("{}{STATE}", service.url()));
        }
        world.set("TF_HTTP_USERNAME", "terraform");
        world.set("TF_HTTP_PASSWORD", &token);
        world.set("SSL_CERT_FILE", file.to_str().unwrap());
        world.write(&[("main.tf", &(BACKEND.to_owned() + &data("a", "one")))]);
        world.init();
        world.apply(&[]);
        let versions = format!("{}/versions", STATE.trim_end_matches("/state"));
        assert_eq!(
            service.get(&versions, &token).is(200).json()["items"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        // The command line takes its own way to the state, and to the service.
        world.commit("one");
        world.snapshot();
        through(&mut world, &service, &token, &["releases"]).exits(0);

        world.unset("SSL_CERT_FILE");
        through(&mut world, &service, &token, &["releases"])
            .exits(1)
            .says("an authority that is not trusted here")
            .says("--server-ca FILE");
        through(
            &mut world,
            &service,
            &token,
            &["--server-ca", file.to_str().unwrap(), "releases"],
        )
        .exits(0);
        world.set("INFRA_ROLLBACK_SERVER_CA", file.to_str().unwrap());
        through(&mut world, &service, &token, &["releases"]).exits(0);
    });
}

#[test]
fn a_certificate_that_is_not_right_says_so() {
    scenario(|mut world| {
        begin(&world);
        let token = world.token("ann", "viewer", &[]);
        let (authority, other) = (Authority::new("acme"), Authority::new("other"));
        let file = authority.put(&world.out).to_str().unwrap().to_owned();
        let other_folder = world.path().join("other");
        std::fs::create_dir_all(&other_folder).unwrap();
        let other_file = other.put(&other_folder).to_str().unwrap().to_owned();
        let service = serve(&world, &authority, &authority.certify(&["127.0.0.1"]));
        // Only what the file has is trusted.
        through(&mut world, &service, &token, &["--server-ca", &other_file, "releases"])
            .exits(1)
            .says("not trusted here");
        let port = service.address().rsplit(':').next().unwrap().to_owned();
        let ask =
            |world: &World, url: &str, file: &str| world.tool(&["--server", url, "--server-ca", file, "releases"]);
        ask(&world, &format!("https://localhost:{port}"), &file)
            .exits(1)
            .says("for another name");
        ask(&world, &format!("http://127.0.0.1:{port}"), &file)
            .exits(1)
            .says("https://");
        ask(&world, &service.url(), "/nonexistent").exits(2).says("--server-ca");
        ask(&world, &service.url(), world.out.join("service.key").to_str().unwrap())
            .exits(2)
            .says("something else than certificates");
        drop(service);

        let service = serve(
            &world,
            &authority,
            &authority.certify_between(&["127.0.0.1"], 2020, 2021),
        );
        wait_until("the warning", || service.log().contains("has expired 2021-01-01"));
        ask(&world, &service.url(), &file)
            .exits(1)
            .says("its certificate has expired");
        drop(service);

        let clear = Service::start(&world, &[]);
        ask(&world, &clear.url().replace("http:", "https:"), &file)
            .exits(1)
            .says("does not speak TLS");
        drop(clear);
        let open = Service::start(&world, &["--listen", "0.0.0.0:0"]);
        wait_until("the warning", || {
            open.log().contains("Tokens and states go over the network as they are")
        });
    });
}

#[test]
fn a_service_with_unusable_files_does_not_start() {
    scenario(|world| {
        begin(&world);
        let authority = Authority::new("acme");
        let (good, another) = (authority.certify(&["a.example"]), authority.certify(&["b.example"]));
        let (certificate, key) = good.put(&world.out);
        let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        let odd = world.out.join("odd.pem");
        let odd_path = odd.to_str().unwrap();
        let start = |arguments: &[&str]| {
            let all = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
            world.tool(&all)
        };
        start(&["--tls-certificate", certificate]).exits(2).says("--tls-key");
        start(&["--tls-certificate", "/nonexistent", "--tls-key", key])
            .exits(2)
            .says("the TLS certificate /nonexistent cannot be read");
        start(&["--tls-certificate", certificate, "--tls-key", "/nonexistent"])
            .exits(2)
            .says("the TLS key /nonexistent cannot be read");
        std::fs::write(&odd, &another.key).unwrap();
        start(&["--tls-certificate", certificate, "--tls-key", odd_path])
            .exits(2)
            .says("is not that of the certificate");
        start(&["--tls-certificate", odd_path, "--tls-key", key])
            .exits(2)
            .says("has no certificate in it");
        std::fs::write(
            &odd,
            "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        start(&["--tls-certificate", odd_path, "--tls-key", key])
            .exits(2)
            .says("is damaged");
        let damaged = good.key.replace("-----END PRIVATE KEY-----", "");
        std::fs::write(&odd, &damaged).unwrap();
        let ran = start(&["--tls-certificate", certificate, "--tls-key", odd_path]);
        ran.exits(2).says("no private key in it");
        let secret = good.key.lines().nth(1).unwrap();
        assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret));
        // The settings say it, too, and their paths are from where they lie.
        world.put(
            "infra-rollback.toml",
            "[tls]\ncertificate = \"tls/a.pem\"\nkey = \"tls/a.key\"\n",
        );
        start(&[]).exits(2).says("tls/a.pem cannot be read");
        world.put("tls/a.pem", &good.certificate);
        world.put("tls/a.key", &good.key);
        drop(Service::start(&world, &[]).trusting(&authority));
    });
}

#[test]
fn a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    scenario(|world| {
        begin(&world);
        let (first, second) = (Authority::new("first"), Authority::new("second"));
        let mut service = serve(&world, &first, &first.certify(&["127.0.0.1"]));
        let is_shown = |authority: &Authority| handshake(&service, authority, &[b"http/1.1"]).is_ok();
        assert!(is_shown(&first) && !is_shown(&second));
        let (certificate, key) = second.certify(&["127.0.0.1"]).put(&world.out);
        wait_until("the new certificate", || is_shown(&second));
        assert!(!is_shown(&first));
        // A key of another, an empty file, a file that is gone: what was good stays.
        let other = first.certify(&["127.0.0.1"]);
        std::fs::write(&key, &other.key).unwrap();
        wait_until("the complaint", || {
            service.log().contains("is not that of the certificate")
        });
        assert!(is_shown(&second));
        std::fs::write(&certificate, "").unwrap();
        wait_until("the complaint", || service.log().contains("has no certificate in it"));
        std::fs::remove_file(&certificate).unwrap();
        wait_until("the complaint", || service.log().contains("cannot be read again"));
        assert!(is_shown(&second));
        assert_eq!(service.log().matches("cannot be read again").count(), 1, "said once");
        other.put(&world.out);
        wait_until("the next one", || is_shown(&first));
        assert!(!service.log().contains("PRIVATE KEY"));

        interrupt(service.process.pid());
        wait_until("its end", || !service.process.is_running());
    });
}

#[test]
fn connections_that_do_not_shake_hands_are_dropped_and_keep_nobody_waiting() {
    scenario(|world| {
        begin(&world);
        let authority = Authority::new("acme");
        let service = serve(&world, &authority, &authority.certify(&["127.0.0.1"]));
        let begun = Instant::now();
        let mut slow: Vec<TcpStream> = (0..100)
            .map(|number| {
                let mut stream = TcpStream::connect(service.address()).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                match number % 3 {
                    0 => {}
                    // The beginning of a handshake.
                    1 => stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).unwrap(),
                    _ => stream.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap(),
                }
                stream
            })
            .collect();
        assert_eq!(service.get("/v1/health", "").status, 200);
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "others are answered meanwhile"
        );
        for stream in &mut slow {
            let mut rest = Vec::new();
            let ended = stream.read_to_end(&mut rest);
            assert!(
                !matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
                "it was not dropped"
            );
            assert!(!rest.starts_with(b"HTTP"), "nothing is said in clear");
        }
        assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
        // Hands shaken, and then nothing: headers have their time, too.
        let mut quiet = authority.connect(TcpStream::connect(service.address()).unwrap());
        quiet.sock.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        quiet.write_all(b"GET /v1/he").unwrap();
        let mut rest = Vec::new();
        let begun = Instant::now();
        let _ = quiet.read_to_end(&mut rest);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());

        assert_eq!(
            handshake(&service, &authority, &[b"h2", b"http/1.1"])
                .unwrap()
                .as_deref(),
            Some(&b"http/1.1"[..])
        );
        assert_eq!(handshake(&service, &authority, &[]).unwrap(), None);
        handshake(&service, &authority, &[b"h2"]).unwrap_err();
    });
}

/// Shakes hands, and tells the protocol that was agreed on.
fn handshake(service: &Service, authority: &Authority, protocols: &[&[u8]]) -> std::io::Result<Option<Vec<u8>>> {
    let mut stream = TcpStream::connect(service.address())?;
    let name = "127.0.0.1".try_into().unwrap();
    let client: Arc<_> = authority.client(protocols);
    let mut connection = rustls::ClientConnection::new(client, name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(connection.alpn_protocol().map(<[u8]>::to_vec))
}

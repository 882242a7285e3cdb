//! W2 without a fuzzer: connections that are slow, wide or many, and the end of the service.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rollback_server::access::Role::Admin;
use tokio::sync::oneshot;

use crate::support::{World, state};

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn run(world: &World) -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let service = world.service.clone();
    let ended = tokio::spawn(rollback_server::serve(listener, service, None, async move {
        let _ = stopped.await;
    }));
    Running { address, stop, ended }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// One request on a connection of its own; what came back until it was closed.
fn ask(address: SocketAddr, head: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

fn health(address: SocketAddr) -> bool {
    let text = ask(
        address,
        "GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    text.starts_with("HTTP/1.1 200")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_connections_keep_nobody_else_waiting_and_are_dropped() {
    let world = World::with(|service| {
        service.limits.header_time = Duration::from_secs(2);
        service.limits.requests = 8;
    });
    let running = run(&world).await;
    let address = running.address;
    let token = world.token(Admin, &[]);
    tokio::task::spawn_blocking(move || {
        let mut slow: Vec<TcpStream> = (0..200)
            .map(|number| {
                let mut stream = connect(address);
                match number % 4 {
                    // Says nothing, begins a line, never ends its headers, or sends a body drop by drop.
                    0 => {}
                    1 => stream.write_all(b"GE").unwrap(),
                    2 => stream.write_all(b"GET /v1/stacks HTTP/1.1\r\nHost: x\r\nX-A: ").unwrap(),
                    _ => {
                        let head = format!(
                            "POST /v1/stacks/a/workspaces/default/state HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
                             Content-Length: 1000\r\n\r\n{{"
                        );
                        stream.write_all(head.as_bytes()).unwrap();
                    }
                }
                stream
            })
            .collect();
        let begun = Instant::now();
        for _ in 0..20 {
            assert!(health(address));
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        // Those that never end their headers are gone after a while.
        std::thread::sleep(Duration::from_secs(3));
        for stream in slow.iter_mut().skip(1).step_by(4) {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
        }
        assert!(health(address));
    })
    .await
    .unwrap();
    let _ = running.stop.send(());
    running.ended.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_connections_are_closed_and_wide_headers_refused() {
    let world = World::with(|service| service.limits.connections = 20);
    let running = run(&world).await;
    let address = running.address;
    tokio::task::spawn_blocking(move || {
        let wide = format!(
            "GET /v1/health HTTP/1.1\r\nHost: x\r\nX-A: {}\r\n\r\n",
            "x".repeat(100 << 10)
        );
        assert!(ask(address, &wide).starts_with("HTTP/1.1 431"));
        let many: String = (0..500).map(|number| format!("X-{number}: x\r\n")).collect();
        let many = format!("GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{many}\r\n");
        assert!(ask(address, &many).starts_with("HTTP/1.1 431"));
        assert!(ask(address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
        let idle: Vec<TcpStream> = (0..40).map(|_| connect(address)).collect();
        std::thread::sleep(Duration::from_millis(300));
        drop(idle);
        std::thread::sleep(Duration::from_millis(300));
        assert!(health(address), "when they are gone there is room again");
    })
    .await
    .unwrap();
    let _ = running.stop.send(());
    running.ended.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_is_answered_before_the_end() {
    let world = World::new();
    let running = run(&world).await;
    let address = running.address;
    let token = world.token(Admin, &[]);
    let body = state(1, "l", "x");
    let mut stream = connect(address);
    let head = format!(
        "POST /v1/stacks/a/workspaces/default/state HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body[..10]).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(TcpStream::connect(address).is_err(), "nobody new comes in");
    stream.write_all(&body[10..]).unwrap();
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    });
    let text = text.await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    running.ended.await.unwrap().unwrap();
}

//! An axum route that does nothing: what the machine, wrk and axum themselves allow.

use axum::Router;
use axum::routing::get;

/// Serves it for as long as this process lives; its URL.
pub fn start() -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a free port");
    let address = listener.local_addr().expect("it has an address");
    std::thread::spawn(move || {
        let app = Router::new().route("/", get(|| async { "ok" }));
        runtime
            .block_on(axum::serve(listener, app).into_future())
            .expect("it serves");
    });
    format!("http://{address}")
}

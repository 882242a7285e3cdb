//! Connections: accepted up to a limit, dropped when their headers do not come, and finished before the process ends.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::app;
use crate::service::Service;

/// How long requests may take to finish once the service is asked to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(20);

/// Serves until `stop` is done; then lets what is under way finish. Rollbacks go on in their threads: see
/// [`Service::wait_for_workers`].
///
/// # Errors
/// The listener's own; those of single connections are theirs alone.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let router = app::router(service.clone());
    let limits = service.limits;
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Too many open files, a connection that is gone already: not the end of the service.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        // One that finds no place is closed at once, rather than kept waiting.
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let connection = connection(stream, router.clone(), limits.header_time, limits.headers);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(LAST_REQUESTS, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
    Ok(())
}

/// Hyper's header timeout is off without a timer.
fn connection(
    stream: tokio::net::TcpStream,
    router: Router,
    header_time: Duration,
    headers: usize,
) -> http1::Connection<TokioIo<tokio::net::TcpStream>, TowerToHyperService<Router>> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_buf_size(headers.max(8192))
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}

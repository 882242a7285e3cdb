//! Connections: accepted up to a limit, dropped when their headers do not come, and finished before the process ends.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::app;
use crate::service::{Limits, Service};
use crate::tls::Tls;

/// How long requests may take to finish once the service is asked to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(20);

/// Serves until `stop` is done; then lets what is under way finish. Rollbacks go on in their threads: see
/// [`Service::wait_for_workers`]. With `tls` it speaks nothing else.
///
/// # Errors
/// The listener's own; those of single connections are theirs alone.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    tls: Option<Arc<Tls>>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let router = app::router(service.clone());
    let limits = service.limits;
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let following = tls.clone().map(|tls| tokio::spawn(tls.follow()));
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
        let (router, tls) = (router.clone(), tls.clone());
        // Watched before it has shaken hands: the end of the service waits for those, too.
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            match tls {
                None => connection(stream, router, limits, watcher).await,
                Some(tls) => encrypted(stream, &tls, router, limits, watcher).await,
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(LAST_REQUESTS, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
    if let Some(following) = following {
        following.abort();
    }
    Ok(())
}

/// Shakes hands in the time that headers have, and serves what is said then.
async fn encrypted(stream: TcpStream, tls: &Tls, router: Router, limits: Limits, watcher: Watcher) {
    match tokio::time::timeout(limits.header_time, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => connection(stream, router, limits, watcher).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection has not shaken hands"),
        Err(_) => tracing::debug!("a connection took too long to shake hands"),
    }
}

/// Hyper's header timeout is off without a timer.
async fn connection<S>(stream: S, router: Router, limits: Limits, watcher: Watcher)
where
    TokioIo<S>: Read + Write + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.headers.max(8192))
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended");
    }
}

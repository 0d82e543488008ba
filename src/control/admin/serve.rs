//! The connections of the admin page: accepted, bounded in number and time, and closed with the process.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connections::{Connection, Connections, Registration};
use super::deadline::{DeadlineStream, Deadlines};
use crate::control::resources;
use crate::engine::shared::Shared;

/// Time for open requests to finish once the page stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// Pause after a failed accept. The usual cause, no free descriptor, lasts a while.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);
/// Largest head of a request, and read-ahead, in bytes: many times what a browser sends.
const LARGEST_HEAD: usize = 32 * 1024;

/// Serves `router` until cancelled. An error of a connection ends only that one. Requests carry their [`Connection`].
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    shared: &Shared,
    cancel: &CancellationToken,
) {
    let most = resources::max_admin_connections(&shared.config);
    let deadlines = Deadlines::from(&shared.config.admin);
    let connections = Arc::new(Connections::default());
    // Closes all connections when this future is dropped.
    let mut open = JoinSet::new();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    while open.try_join_next().is_some() {}
                    while open.len() >= most {
                        connections.close_one();
                        open.join_next().await;
                    }
                    let registration = connections.register(peer.ip().to_canonical());
                    let stopped = cancel.clone();
                    open.spawn(serve_one(
                        stream,
                        registration,
                        deadlines,
                        router.clone(),
                        stopped,
                    ));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if shared.record_failed_accept() {
                        tracing::warn!(%error, "accept failed: the admin page waits until it works again");
                    }
                    tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                }
            }
        }
    };
    cancel.run_until_cancelled(accepting).await;
    // A connection that never finishes its request must not delay the end of the process.
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, async {
        while open.join_next().await.is_some() {}
    })
    .await;
}

/// Serves one connection until it or the page ends.
async fn serve_one(
    stream: TcpStream,
    registration: Registration,
    deadlines: Deadlines,
    router: Router,
    stopped: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let connection = &registration.connection;
    let stream = TokioIo::new(DeadlineStream::new(stream, connection.clone(), deadlines));
    let router = TowerToHyperService::new(router);
    let respond = service_fn(|request| respond(&router, connection, request));
    let http = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        // The deadlines of the stream cover this too.
        .header_read_timeout(None)
        .half_close(false)
        .serve_connection(stream, respond);
    tokio::pin!(http);
    tokio::select! {
        () = connection.close.cancelled() => return,
        _ = http.as_mut() => return,
        () = stopped.cancelled() => http.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        () = connection.close.cancelled() => {}
        _ = http => {}
    }
}

async fn respond(
    router: &TowerToHyperService<Router>,
    connection: &Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    use hyper::service::Service;
    request.extensions_mut().insert(connection.clone());
    router.call(request.map(axum::body::Body::new)).await
}

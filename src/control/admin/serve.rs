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

use super::guests::{Guest, Guests, Stay};
use super::pace::{Deadlines, Paced};
use crate::control::resources;
use crate::engine::shared::Shared;

/// How long open requests may take to finish once the page is told to stop.
const FAREWELL: Duration = Duration::from_secs(1);
/// Pause after a failed accept. The usual cause, no free descriptor, lasts a while.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);
/// Largest head of a request, and read-ahead, in bytes: many times what a browser sends.
const LARGEST_HEAD: usize = 32 * 1024;

/// Serves `router` until cancelled. Errors of single connections end those connections only. Requests carry the [`Guest`]
/// that they came from.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    shared: &Shared,
    cancel: &CancellationToken,
) {
    let most = resources::max_admin_connections(&shared.config);
    let deadlines = Deadlines::from(&shared.config.admin);
    let guests = Arc::new(Guests::default());
    // Closes all connections when this future is dropped.
    let mut open = JoinSet::new();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    while open.try_join_next().is_some() {}
                    while open.len() >= most {
                        guests.send_one_away();
                        open.join_next().await;
                    }
                    let stay = guests.arrive(peer.ip().to_canonical());
                    let stopped = cancel.clone();
                    open.spawn(attend(stream, stay, deadlines, router.clone(), stopped));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if shared.accept_fails_anew() {
                        tracing::warn!(%error, "accept failed: the admin page waits until it works again");
                    }
                    tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                }
            }
        }
    };
    cancel.run_until_cancelled(accepting).await;
    // A connection that never finishes its request must not delay the end of the process.
    let _ = tokio::time::timeout(FAREWELL, async {
        while open.join_next().await.is_some() {}
    })
    .await;
}

/// Serves one connection until it or the page ends.
async fn attend(
    stream: TcpStream,
    stay: Stay,
    deadlines: Deadlines,
    router: Router,
    stopped: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let guest = &stay.guest;
    let stream = TokioIo::new(Paced::new(stream, guest.clone(), deadlines));
    let router = TowerToHyperService::new(router);
    let answer = service_fn(|request| answer(&router, guest, request));
    let connection = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        // The deadlines of the stream cover this too.
        .header_read_timeout(None)
        .half_close(false)
        .serve_connection(stream, answer);
    tokio::pin!(connection);
    tokio::select! {
        () = guest.leave.cancelled() => return,
        _ = connection.as_mut() => return,
        () = stopped.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        () = guest.leave.cancelled() => {}
        _ = connection => {}
    }
}

async fn answer(
    router: &TowerToHyperService<Router>,
    guest: &Arc<Guest>,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    use hyper::service::Service;
    request.extensions_mut().insert(guest.clone());
    router.call(request.map(axum::body::Body::new)).await
}

//! The page for operators: `/metrics`, `/healthz` and `/readyz` on the admin address, served by the control thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::process::Process;

mod metrics;

/// Serves the page until cancelled.
pub async fn serve(listener: TcpListener, process: Arc<Process>, cancel: CancellationToken) {
    let page = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(show_readiness))
        .with_state(process);
    let served = axum::serve(listener, page)
        .with_graceful_shutdown(cancel.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the admin page has ended");
    }
}

async fn show_metrics(State(process): State<Arc<Process>>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, content_type)],
        metrics::text(&process),
    )
}

/// Ready: a topology is known and no drain has begun.
async fn show_readiness(State(process): State<Arc<Process>>) -> (StatusCode, &'static str) {
    if process.is_draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if process.topology.borrow().is_empty() {
        (StatusCode::SERVICE_UNAVAILABLE, "no topology yet\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

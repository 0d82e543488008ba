//! The admin page: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever starts and stops slotmux. Lives on
//! the control thread and only reads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::total;
use crate::process::Process;
use crate::sabotage::sabotage;

use readiness::{Known, readiness};

mod metrics;
pub mod namespaces;
mod readiness;

/// How long open requests may take to end once the page is told to stop.
const FAREWELL: Duration = Duration::from_secs(1);

/// The text form of OpenMetrics, which Prometheus asks for first.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the requests of the page read.
#[derive(Clone)]
struct Page {
    process: Arc<Process>,
    registry: Arc<Registry>,
}

/// Serves the page until cancelled. Errors of single connections end those connections only.
pub async fn serve(listener: TcpListener, process: Arc<Process>, cancel: CancellationToken) {
    sabotage("admin.serve");
    let router = router(process);
    let stopped = cancel.clone().cancelled_owned();
    let serving = async {
        axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .await
    };
    // A connection that never ends its request must not hold up the end of the process.
    let cut_off = async {
        cancel.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        ended = serving => report(ended),
        () = cut_off => {}
    }
}

fn report(ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the admin page has ended");
    }
}

fn router(process: Arc<Process>) -> Router {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics::Numbers::new(process.clone())));
    let page = Page {
        process,
        registry: Arc::new(registry),
    };
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(show_readiness))
        .layer(from_fn_with_state(page.clone(), contained))
        .with_state(page)
}

/// A panic costs the request that it came with.
async fn contained(State(page): State<Page>, request: Request, next: Next) -> Response {
    let answering = page
        .process
        .contained("a request of the admin page", next.run(request));
    let answer = answering.await;
    answer.unwrap_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn show_metrics(State(page): State<Page>) -> Response {
    sabotage("admin.metrics");
    let mut text = String::new();
    match encode(&mut text, &page.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Says whether the process is ready. The listeners are bound before this page is.
async fn show_readiness(State(page): State<Page>) -> (StatusCode, String) {
    let process = &page.process;
    let topology = process.topology.borrow().clone();
    let primaries = topology.shards.iter();
    let known = Known {
        is_draining: process.is_draining.load(Ordering::Relaxed),
        primaries: primaries.map(|shard| shard.primary.addr.clone()).collect(),
        outages: process.outages.now(),
        is_connected: total(process.stats.iter().map(|stats| &**stats), |stats| {
            &stats.upstream_connections
        }) > 0,
        trouble: process.refresh.trouble(),
    };
    let (is_ready, said) = readiness(&known);
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, said)
}

#[cfg(test)]
mod tests;

//! The admin page: `/metrics` for Prometheus, `/healthz` and `/readyz` for supervisors. It runs on
//! the control thread and only reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::engine::sabotage::sabotage;
use crate::engine::shared::Shared;
use crate::engine::stats::counters::total;

mod connections;
mod deadline;
mod exposition;
mod hosts;
mod metrics;
pub mod namespaces;
mod pages;
mod readiness;
mod serve;

use connections::Connection;
use exposition::Form;
use pages::Pages;
use readiness::{Facts, readiness};

/// State that all requests share.
#[derive(Clone)]
struct AdminState {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    pages: Pages,
}

/// Serves the page until cancelled.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, cancel: CancellationToken) {
    sabotage("admin.serve");
    serve::serve(listener, router(shared.clone()), &shared, &cancel).await;
}

fn router(shared: Arc<Shared>) -> Router {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics::Numbers::new(shared.clone())));
    let state = AdminState {
        shared,
        registry: Arc::new(registry),
        pages: Pages::default(),
    };
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(show_readiness))
        .layer(from_fn_with_state(state.clone(), check_host))
        .layer(from_fn_with_state(state.clone(), contained))
        .with_state(state)
}

/// A panic costs the request that it came with.
async fn contained(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let responding = state
        .shared
        .contained("a request of the admin page", next.run(request));
    let response = responding.await;
    response.unwrap_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Rejects requests whose host is not one of the page's names.
async fn check_host(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let own = &state.shared.config.admin.hosts;
    match hosts::check(request.version(), request.uri(), request.headers(), own) {
        Ok(()) => next.run(request).await,
        Err(error) => error.response().into_response(),
    }
}

async fn show_metrics(
    State(state): State<AdminState>,
    connection: Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Response {
    sabotage("admin.metrics");
    let form = Form::wanted(&headers);
    let make = || {
        let mut text = String::new();
        encode(&mut text, &state.registry).map(|()| form.of(text))
    };
    match state.pages.page(form, &connection.close, make).await {
        Some(Ok(text)) => {
            let head = [
                (header::CONTENT_TYPE, form.content_type()),
                (header::VARY, "accept"),
            ];
            (head, text).into_response()
        }
        Some(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        None => {
            let busy = "too many slow readers of this page: try again\n";
            (StatusCode::SERVICE_UNAVAILABLE, busy).into_response()
        }
    }
}

/// Readiness of the process. The listeners are bound before this page is.
async fn show_readiness(State(state): State<AdminState>) -> (StatusCode, String) {
    let shared = &state.shared;
    let topology = shared.topology.borrow().clone();
    let primaries = topology.shards.iter();
    let facts = Facts {
        is_draining: shared.is_draining.load(Ordering::Relaxed),
        primaries: primaries.map(|shard| shard.primary.addr.clone()).collect(),
        is_adopted: shared.all_workers_have_topology(),
        outages: shared.outages.now(),
        is_connected: total(shared.stats.iter().map(|stats| &**stats), |stats| {
            &stats.upstream_connections
        }) > 0,
        trouble: shared.refresh.trouble(),
    };
    let (is_ready, report) = readiness(&facts);
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, report)
}

#[cfg(test)]
mod tests;

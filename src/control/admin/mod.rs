//! The admin page: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever starts and stops slotmux. Lives on
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

mod exposition;
mod guests;
mod hosts;
mod metrics;
pub mod namespaces;
mod pace;
mod pages;
mod readiness;
mod serve;

use exposition::Form;
use guests::Guest;
use pages::Pages;
use readiness::{Known, readiness};

/// What the requests of the page read.
#[derive(Clone)]
struct Page {
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
    let page = Page {
        shared,
        registry: Arc::new(registry),
        pages: Pages::default(),
    };
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(show_readiness))
        .layer(from_fn_with_state(page.clone(), called_by_its_name))
        .layer(from_fn_with_state(page.clone(), contained))
        .with_state(page)
}

/// A panic costs the request that it came with.
async fn contained(State(page): State<Page>, request: Request, next: Next) -> Response {
    let answering = page
        .shared
        .contained("a request of the admin page", next.run(request));
    let answer = answering.await;
    answer.unwrap_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Rejects requests whose host is not one of the page's names.
async fn called_by_its_name(State(page): State<Page>, request: Request, next: Next) -> Response {
    let own = &page.shared.config.admin.hosts;
    match hosts::check(request.version(), request.uri(), request.headers(), own) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.answer().into_response(),
    }
}

async fn show_metrics(
    State(page): State<Page>,
    guest: Extension<Arc<Guest>>,
    headers: HeaderMap,
) -> Response {
    sabotage("admin.metrics");
    let form = Form::wanted(&headers);
    let make = || {
        let mut text = String::new();
        encode(&mut text, &page.registry).map(|()| form.of(text))
    };
    match page.pages.page(form, &guest.leave, make).await {
        Some(Ok(text)) => {
            let head = [
                (header::CONTENT_TYPE, form.content_type()),
                (header::VARY, "accept"),
            ];
            (head, text).into_response()
        }
        Some(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        None => {
            let busy = "other readers of this page take their time: try again\n";
            (StatusCode::SERVICE_UNAVAILABLE, busy).into_response()
        }
    }
}

/// Readiness of the process. The listeners are bound before this page is.
async fn show_readiness(State(page): State<Page>) -> (StatusCode, String) {
    let shared = &page.shared;
    let topology = shared.topology.borrow().clone();
    let primaries = topology.shards.iter();
    let known = Known {
        is_draining: shared.is_draining.load(Ordering::Relaxed),
        primaries: primaries.map(|shard| shard.primary.addr.clone()).collect(),
        outages: shared.outages.now(),
        is_connected: total(shared.stats.iter().map(|stats| &**stats), |stats| {
            &stats.upstream_connections
        }) > 0,
        trouble: shared.refresh.trouble(),
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

//! All paths, by position, and the steps around every handler: admission, token, tenant, panic, figures.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::{MethodFilter, MethodRouter, on};
use base::{Error, Kind, Result};
use futures_util::FutureExt;
use wire::grpc::method;

use crate::app::{App, Call, mark};
use crate::status::{self, Counted, Dialect};
use crate::{admin, agents, auth, grpc, loki, otlp, prometheus, tempo};

/// What an adapter's handler answers: an error is shaped by the dialect of the path.
pub(crate) type Answer = Result<Response<Body>>;

const READ: MethodFilter = MethodFilter::GET.or(MethodFilter::POST);

/// Which paths a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// All.
    All,
    /// What senders of OTLP know: a port for them opens nothing else.
    Otlp,
}

/// The table of paths.
pub(crate) fn router(app: Arc<App>, paths: Paths) -> Router {
    let routes = match paths {
        Paths::All => otlp_routes().merge(other_routes()),
        Paths::Otlp => otlp_routes(),
    };
    routes
        .route("/ready", h(MethodFilter::GET, admin::ready))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_way)
        .layer(axum::middleware::from_fn_with_state(app.clone(), around))
        .with_state(app)
}

fn otlp_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/logs", h(MethodFilter::POST, otlp::logs))
        .route("/v1/traces", h(MethodFilter::POST, otlp::traces))
        .route("/v1/metrics", h(MethodFilter::POST, otlp::metrics))
        .route(method::LOGS, h(MethodFilter::POST, grpc::logs))
        .route(method::TRACES, h(MethodFilter::POST, grpc::traces))
        .route(method::METRICS, h(MethodFilter::POST, grpc::metrics))
}

fn other_routes() -> Router<Arc<App>> {
    Router::new()
        .route(method::LOKI, h(MethodFilter::POST, grpc::loki))
        .route("/loki/api/v1/push", h(MethodFilter::POST, loki::push))
        .route("/loki/api/v1/query", h(READ, loki::query))
        .route("/loki/api/v1/query_range", h(READ, loki::query_range))
        .route("/loki/api/v1/labels", h(READ, loki::labels))
        .route("/loki/api/v1/label", h(READ, loki::labels))
        .route("/loki/api/v1/label/{name}/values", h(READ, loki::label_values))
        .route("/loki/api/v1/series", h(READ, loki::series))
        .route("/loki/api/v1/index/stats", h(READ, loki::explore::index_stats))
        .route("/loki/api/v1/index/volume", h(READ, loki::explore::volume))
        .route("/loki/api/v1/index/volume_range", h(READ, loki::explore::volume_range))
        .route("/loki/api/v1/patterns", h(READ, loki::explore::patterns))
        .route("/loki/api/v1/detected_labels", h(READ, loki::explore::detected_labels))
        .route("/loki/api/v1/detected_fields", h(READ, loki::explore::detected_fields))
        .route("/loki/api/v1/detected_field/{name}/values", h(READ, loki::explore::detected_field_values))
        .route("/loki/api/v1/format_query", h(READ, loki::explore::format_query))
        .route("/loki/api/v1/drilldown-limits", h(MethodFilter::GET, loki::explore::drilldown_limits))
        .route("/loki/api/v1/tail", h(MethodFilter::GET, loki::tail::tail))
        .route("/loki/api/v2alpha/tail", h(MethodFilter::GET, loki::tail::tail))
        .route(
            "/loki/api/v1/delete",
            h(MethodFilter::POST.or(MethodFilter::PUT), loki::delete::order)
                .merge(h(MethodFilter::GET, loki::delete::list))
                .merge(h(MethodFilter::DELETE, loki::delete::cancel)),
        )
        .route("/loki/api/v1/status/buildinfo", h(MethodFilter::GET, loki::buildinfo))
        .route("/otlp/v1/logs", h(MethodFilter::POST, otlp::logs_of_loki))
        .merge(prometheus::routes())
        .route("/api/traces/{id}", h(MethodFilter::GET, tempo::trace_v1))
        .route("/api/v2/traces/{id}", h(MethodFilter::GET, tempo::trace_v2))
        .route("/api/echo", h(MethodFilter::GET, tempo::echo))
        .route("/metrics", h(MethodFilter::GET, admin::metrics))
        .route("/flush", h(MethodFilter::POST, admin::flush))
        .route("/api/v1/ledger", h(MethodFilter::GET, admin::ledger))
        .route("/api/v1/agents", h(MethodFilter::POST, agents::report).merge(h(MethodFilter::GET, agents::list)))
        .route("/api/v1/storage", h(MethodFilter::GET, admin::storage))
        .route("/api/v1/storage/move", h(MethodFilter::POST, admin::move_storage))
        .route("/api/v1/cluster", h(MethodFilter::GET, admin::cluster))
        .route("/api/v1/cluster/forget", h(MethodFilter::POST, admin::forget))
        .route("/api/v1/cluster/leave", h(MethodFilter::POST, admin::leave))
}

/// A handler of ours as a route.
pub(crate) fn h<F, Fut>(methods: MethodFilter, handler: F) -> MethodRouter<Arc<App>>
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    on(methods, async move |State(app): State<Arc<App>>, path: MatchedPath, request: Request| {
        let dialect = status::dialect(request.uri().path(), request.headers());
        let failed = |e| failed(dialect, path.as_str(), &e);
        match Call::new(app, path.as_str().to_owned(), request) {
            Ok(call) => {
                let missing = call.missing.clone();
                let mut r = handler(call).await.unwrap_or_else(failed);
                mark(&mut r, &missing);
                r
            }
            Err(e) => failed(e),
        }
    })
}

fn failed(dialect: Dialect, route: &str, e: &Error) -> Response<Body> {
    if matches!(e.kind(), Kind::Internal | Kind::Corrupt) {
        tracing::error!(route, error = %e, "request failed");
    } else {
        tracing::debug!(route, kind = ?e.kind(), error = %e, "request refused");
    }
    status::error(dialect, e)
}

async fn nothing_here(request: Request) -> Response<Body> {
    let dialect = status::dialect(request.uri().path(), request.headers());
    status::refuse(dialect, StatusCode::NOT_FOUND, "nothing answers at this path")
}

async fn not_this_way(request: Request) -> Response<Body> {
    let dialect = status::dialect(request.uri().path(), request.headers());
    status::refuse(dialect, StatusCode::METHOD_NOT_ALLOWED, &format!("this path does not take {}", request.method()))
}

/// Admission, token, panic and figures, around every handler.
async fn around(State(app): State<Arc<App>>, request: Request, next: axum::middleware::Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let dialect = status::dialect(request.uri().path(), request.headers());
    let mut observed = Observed { app: &app, route: &route, started: Instant::now(), status: 499 };
    let response = match admit(&app, &route, &request) {
        Err(e) => failed(dialect, &route, &e),
        Ok(()) => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            app.stats.panics.fetch_add(1, Ordering::Relaxed);
            failed(dialect, &route, &Error::internal("a bug of ours ended this request; it is in the server's log"))
        }),
    };
    observed.status = response.extensions().get::<Counted>().map_or(response.status(), |c| c.0).as_u16();
    response
}

fn admit(app: &App, route: &str, request: &Request) -> Result<()> {
    if route == "/ready" {
        return Ok(());
    }
    if app.is_stopping() {
        return Err(Error::unavailable("this server is shutting down"));
    }
    auth::check(app.settings.token.as_ref(), request.headers()).inspect_err(|_| {
        app.stats.unauthenticated.fetch_add(1, Ordering::Relaxed);
    })
}

/// Counts a request when it ends, also when it ends by being dropped.
struct Observed<'a> {
    app: &'a App,
    route: &'a str,
    started: Instant,
    status: u16,
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        self.app.stats.requests.add(&[self.route, &self.status.to_string()], 1);
        self.app.stats.seconds.observe(&[self.route], self.started.elapsed().as_secs_f64());
    }
}

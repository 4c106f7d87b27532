//! `upload-server`: serves until it is told to end.

use std::{env, net::SocketAddr, num::NonZero, path::Path, process::ExitCode, sync::Arc, thread};

use anyhow::Context;
use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio_util::sync::CancellationToken;
use upload_server::{
    Prometheus,
    config::{Config, Server},
    is_local, raise_open_files, terminated,
};

/// Threads for calls of the file system that block. The file writer bounds how many it takes of them, by what
/// they do, to 44 and a sweep: so a disk that hangs leaves some to everything else.
const BLOCKING_THREADS_MAX: usize = 56;

/// What is served.
pub(crate) enum What<'a> {
    /// What the file says, if there is one, and the environment.
    Configured(Option<&'a Path>),
    /// The demo page, whatever they say.
    Demo,
}

/// Reads the configuration and serves.
pub(crate) fn run(what: What<'_>, listen: Option<SocketAddr>) -> anyhow::Result<ExitCode> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX);
    // That variable is Tokio's.
    if env::var_os("TOKIO_WORKER_THREADS").is_none() {
        runtime.worker_threads(workers());
    }
    let runtime = runtime.build().context("cannot start the runtime")?;
    let served = runtime.block_on(run_inside(what, listen));
    // Dropped, it would wait for every call of the file system, and a disk may hang for as long as
    // it likes. What was announced as durable is; the rest counts as lost in a crash.
    runtime.shutdown_background();
    served
}

/// Returns one thread more than there are processors: the file writer leaves one without a call that may not return,
/// and no processor is to wait for that.
fn workers() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    processors.saturating_add(1)
}

async fn run_inside(what: What<'_>, listen: Option<SocketAddr>) -> anyhow::Result<ExitCode> {
    // From here on a signal ends the server in order, however early it comes.
    let told_to_end = terminated();
    if let Err(error) = raise_open_files() {
        tracing::warn!(%error, "the number of open files stays as it is");
    }
    let mut config = match what {
        What::Configured(file) => Config::load(file)?,
        What::Demo => Config::demo(),
    };
    if let Some(address) = listen {
        config.listen_on(address)?;
    }
    let inherited = config.inherit()?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let prometheus = Prometheus::install()?;
    tokio::spawn(prometheus.clone().keep_up());
    let server = Arc::new(config.open().await?);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %config.data_dir.display(),
        slots = ?config.slots.keys().collect::<Vec<_>>(),
        "starting"
    );

    let mut app = Router::new()
        .nest("/uploads", server.router())
        .merge(server.uploads.webhook_router());
    if config.has_demo() {
        app = app.merge(server.uploads.demo_router(config.demo_slots()));
    }
    let admin =
        server
            .uploads
            .guard_hosts(admin(prometheus, config.admin_listen.is_none(), &server));
    let listeners = config.bind(inherited).await?;
    let stop = CancellationToken::new();
    let mut serving = tokio::task::JoinSet::new();
    match listeners.admin {
        None => app = app.merge(admin),
        Some((bound, text)) => {
            println!("admin on {text}");
            let (server, stop) = (Arc::clone(&server), stop.clone());
            serving.spawn(async move { server.serve_plain(bound, admin, stop).await });
        }
    }
    for (bound, text) in listeners.open {
        println!("listening on {text}");
        let (server, app, stop) = (Arc::clone(&server), app.clone(), stop.clone());
        serving.spawn(async move { server.serve(bound, app, stop).await });
    }
    tokio::select! {
        signal = told_to_end => signal.context("cannot listen for signals")?,
        Some(ended) = serving.join_next() => ended.context("the HTTP server ended")?,
        () = server.keep_certificates() => {}
        () = server.keep_gauges() => {}
    }
    tracing::info!("draining");
    stop.cancel();
    // Listeners end once the requests under way are answered, in bounded time.
    let (at_rest, _) = tokio::join!(server.shutdown(), serving.join_all());
    tracing::info!(at_rest, "stopped");
    Ok(ExitCode::SUCCESS)
}

/// Returns `/healthz`, `/readyz` and `/metrics`; the latter, where it `is_public`, for this machine only.
fn admin(prometheus: Prometheus, is_public: bool, server: &Arc<Server>) -> Router {
    let server = Arc::clone(server);
    let admin = server.uploads.admin_router(is_public);
    let ready = async move || match server.is_ready().await {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    let text = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    let metrics = async move |request: Request| {
        let (parts, _) = request.into_parts();
        if is_public && !is_local(&parts) {
            return StatusCode::NOT_FOUND.into_response();
        }
        (text, prometheus.render()).into_response()
    };
    Router::new()
        .merge(admin)
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

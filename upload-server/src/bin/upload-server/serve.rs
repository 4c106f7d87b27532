//! `upload-server`: serves until it is told to end.

use std::{net::SocketAddr, path::Path, process::ExitCode};

use anyhow::Context;
use axum::{Router, http::header, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use upload_server::{Prometheus, config::Config, raise_open_files, serve, terminated};

/// Threads for calls of the file system that block; each has a stack and a share of the allocator, and
/// all of them compete with those that serve sockets when many uploads begin or end at once.
const BLOCKING_THREADS_MAX: usize = 16;

/// Reads the configuration and serves.
pub(crate) fn run(file: Option<&Path>, listen: Option<SocketAddr>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(run_inside(file, listen));
    // Dropped, it would wait for every call of the file system, and a disk may hang for as long as
    // it likes. What was announced as durable is; the rest counts as lost in a crash.
    runtime.shutdown_background();
    served
}

async fn run_inside(file: Option<&Path>, listen: Option<SocketAddr>) -> anyhow::Result<ExitCode> {
    if let Err(error) = raise_open_files() {
        tracing::warn!(%error, "the number of open files stays as it is");
    }
    let mut config = Config::load(file)?;
    config.listen = listen.unwrap_or(config.listen);
    let prometheus = Prometheus::install()?;
    tokio::spawn(prometheus.clone().keep_up());
    let server = config.open().await?;

    let mut app = Router::new()
        .nest("/uploads", server.uploads.router())
        .merge(server.uploads.webhook_router());
    if config.has_demo() {
        app = app.merge(server.uploads.demo_router());
    }
    let admin = admin(prometheus);
    let stop = CancellationToken::new();
    let mut serving = tokio::task::JoinSet::new();
    let limits = config.limits();
    match config.admin_listen {
        None => app = app.merge(admin),
        Some(address) => {
            let listener = bind(address).await?;
            println!("admin on http://{}", listener.local_addr()?);
            let (limits, stop) = (limits.clone(), stop.clone());
            serving.spawn(async move { serve(listener, admin, &limits, stop).await });
        }
    }
    let listener = bind(config.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    {
        let (limits, stop) = (limits.clone(), stop.clone());
        serving.spawn(async move { serve(listener, app, &limits, stop).await });
    }

    tokio::select! {
        signal = terminated() => signal.context("cannot listen for signals")?,
        Some(ended) = serving.join_next() => ended?.context("the HTTP server ended")?,
    }
    tracing::info!("draining");
    stop.cancel();
    let at_rest = server.shutdown().await;
    serving.abort_all();
    tracing::info!(at_rest, "stopped");
    Ok(ExitCode::SUCCESS)
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}"))
}

/// Returns `/healthz` and `/metrics`.
fn admin(prometheus: Prometheus) -> Router {
    let text = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    let metrics = async move || (text, prometheus.render());
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(metrics))
}

//! The whole server with an allocator that counts: `GET /allocations` answers the count so far.

use std::path::PathBuf;

use anyhow::Result;
use axum::{Router, routing::get};
use clap::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::net::TcpListener;
use upload_server::{SlotOptions, Uploads};
use upload_writers::DiscardWriterFactory;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// A server of the slots `discard` and `file`.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long)]
    listen: String,
    /// Where files go
    #[arg(long)]
    folder: PathBuf,
    /// Bytes of a chunk
    #[arg(long, default_value_t = 65536)]
    chunk: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let slot = || {
        SlotOptions::new()
            .max_file_size(1 << 50)
            .chunk_size(args.chunk)
    };
    let uploads = Uploads::builder()
        .data_dir(&args.folder)
        .allow_upload("discard", slot().writer(DiscardWriterFactory))
        .allow_upload("file", slot())
        .build()?;
    let count = async || {
        let stats = ALLOCATOR.stats();
        (stats.allocations + stats.reallocations).to_string()
    };
    let app = Router::new()
        .nest("/uploads", uploads.router())
        .route("/allocations", get(count));
    let listener = TcpListener::bind(&args.listen).await?;
    axum::serve(listener, app).await?;
    Ok(())
}

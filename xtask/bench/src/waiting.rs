//! An application of the library over the embedded store, whose finished files are its own at once or wait for it:
//! what the record of a waiting file costs.

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;
use axum::Router;
use clap::Parser;
use tokio::net::TcpListener;
use upload_server::{
    Limits, RateLimits, SessionLimits, SlotOptions, Uploads,
    stores::{RedbDurability, RedbStore},
};

/// Uploads and records that are out of the way of any load.
const MANY: u32 = 1_000_000;

/// An application that takes nothing.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long)]
    listen: String,
    /// Where files and records go
    #[arg(long)]
    data: PathBuf,
    /// Keep a record of each finished file until a handler takes it
    #[arg(long)]
    waits: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let store = RedbStore::open(args.data.join(".state"), RedbDurability::Process).await?;
    let limits = Limits {
        session: SessionLimits {
            max_uploads_per_owner: MANY,
            max_waiting_per_owner: MANY,
            ..SessionLimits::default()
        },
        rates: RateLimits {
            registrations_per_owner: MANY,
            ..RateLimits::default()
        },
        ..Limits::default()
    };
    let slot = SlotOptions::new()
        .max_entries(MANY)
        .consume_on_complete(!args.waits);
    let uploads = Uploads::builder()
        .data_dir(args.data)
        .store(Arc::new(store))
        .limits(limits)
        .require_origin(false)
        .allow_upload("file", slot)
        .build()?;
    let app = Router::new().nest("/uploads", uploads.router());
    let listener = TcpListener::bind(&args.listen).await?;
    Ok(axum::serve(listener, app).await?)
}

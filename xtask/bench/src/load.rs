//! The load generator: uploads over many connections at once, from one thread, as cheaply as it can.
//!
//! Data and masks are prepared once; a chunk costs the patching of a few header bytes and a share of a
//! vectored write.
//! It prints `ready` when every upload is registered, begins at a line on its input, and ends with one line
//! of JSON.

#[path = "load/connection.rs"]
mod connection;
#[path = "load/frames.rs"]
mod frames;

use std::{
    io::{Write, stdin, stdout},
    rc::Rc,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::json;
use tokio::task::LocalSet;

use connection::Connection;
use frames::Template;

/// Uploads as fast as the server takes it.
#[derive(Parser)]
pub(crate) struct Args {
    /// Address of the server
    #[arg(long)]
    address: String,
    /// Path of its socket
    #[arg(long, default_value = "/uploads/ws")]
    path: String,
    /// Slot to upload to
    #[arg(long, default_value = "discard")]
    slot: String,
    /// Connections, each with one upload
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Bytes of each upload
    #[arg(long)]
    bytes: u64,
    /// Bytes of a chunk
    #[arg(long, default_value_t = 65536)]
    chunk: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    if args.chunk == 0 || args.connections == 0 {
        bail!("a load needs chunks and connections");
    }
    let template = Rc::new(Template::new(args.chunk, args.bytes));
    let mut connections = Vec::new();
    for number in 0..args.connections {
        let opened = Connection::open(&args, number, Rc::clone(&template)).await;
        connections.push(opened.with_context(|| format!("connection {number}"))?);
    }
    println!("ready");
    stdout().flush()?;
    stdin().read_line(&mut String::new())?;

    let begun = Instant::now();
    let local = LocalSet::new();
    let uploads: Vec<_> = connections
        .into_iter()
        .map(|connection| local.spawn_local(connection.upload()))
        .collect();
    local.await;
    let seconds = begun.elapsed().as_secs_f64();
    let mut stalls = 0;
    for upload in uploads {
        stalls += upload.await??;
    }
    let bytes = args.bytes * u64::from(args.connections);
    println!(
        "{}",
        json!({"bytes": bytes, "seconds": seconds, "stalls": stalls})
    );
    Ok(())
}

//! The load generator: uploads over many connections at once, from one thread, as cheaply as it can.
//!
//! Data and masks are prepared once; a chunk costs the patching of a few header bytes and a share of a
//! vectored write.
//! It prints `ready` when every upload is registered, begins at a line on its input, and ends with one line
//! of JSON.

use std::{
    io::{Write, stdin, stdout},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::json;
use tokio::task::LocalSet;
use upload_bench::{
    connection::Connection, frames::Template, limits::raise_open_files, link::Link, many::Many,
    pipeline::Pipeline,
};

/// Uploads as fast as the server takes it.
#[derive(Clone, Parser)]
struct Args {
    /// Address of the server
    #[arg(long)]
    address: String,
    /// Slot to upload to
    #[arg(long, default_value = "discard")]
    slot: String,
    /// Connections
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Uploads of each connection at a time
    #[arg(long, default_value_t = 1)]
    uploads: u32,
    /// Uploads of each connection, one after the other
    #[arg(long, default_value_t = 1)]
    files: u32,
    /// How many of those files are in flight at a time, each registered without waiting for another; 0: each
    /// file waits for the one before
    #[arg(long, default_value_t = 0)]
    in_flight: usize,
    /// Bytes of each upload
    #[arg(long)]
    bytes: u64,
    /// Bytes of a chunk
    #[arg(long, default_value_t = 65536)]
    chunk: usize,
    /// Milliseconds of a round trip that the link to the server adds
    #[arg(long, default_value_t = 0)]
    round_trip_ms: u64,
    /// One segment in this many stalls the link; 0 for none
    #[arg(long, default_value_t = 0)]
    stall_one_in: u32,
    /// Milliseconds of a stall
    #[arg(long, default_value_t = 200)]
    stall_ms: u64,
    /// Get ready only once the first chunk of every upload was received
    #[arg(long)]
    begun: bool,
    /// Cut every connection half way and resume, and tell how long that took
    #[arg(long)]
    cut: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    if args.chunk == 0 || args.connections == 0 || args.files == 0 || args.uploads == 0 {
        bail!("a load needs chunks and connections");
    }
    if args.uploads > 1 && (args.files > 1 || args.cut) {
        bail!("uploads at a time are neither cut nor followed by others");
    }
    if args.in_flight > 0 && (args.uploads > 1 || args.cut || args.bytes == 0) {
        bail!("files in flight are not empty, not cut, and not more than that at a time");
    }
    raise_open_files()?;
    let mut address = args.address.clone();
    if args.round_trip_ms > 0 || args.stall_one_in > 0 {
        let link = Link {
            delay: Duration::from_millis(args.round_trip_ms) / 2,
            stall_one_in: args.stall_one_in,
            stall: Duration::from_millis(args.stall_ms),
        };
        address = link.open(address)?.to_string();
    }
    let template = Rc::new(Template::new(args.chunk, args.bytes));
    let mut peers = Vec::new();
    for number in 0..args.connections {
        let opened = Peer::open(&address, &args, number, Rc::clone(&template)).await;
        peers.push(opened.with_context(|| format!("connection {number}"))?);
    }
    println!("ready");
    stdout().flush()?;
    stdin().read_line(&mut String::new())?;

    let begun = Instant::now();
    let local = LocalSet::new();
    let uploads: Vec<_> = peers
        .into_iter()
        .zip(0..)
        .map(|(peer, number)| {
            local.spawn_local(uploads(peer, number, address.clone(), args.clone()))
        })
        .collect();
    local.await;
    let seconds = begun.elapsed().as_secs_f64();
    let (mut stalls, mut resume_ms, mut receipt_ms) = (0, Vec::new(), Vec::new());
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    for upload in uploads {
        let done = upload.await??;
        stalls += done.stalls;
        resume_ms.extend(done.resumed.map(ms));
        receipt_ms.extend(done.receipts.into_iter().map(ms));
    }
    receipt_ms.sort_by(f64::total_cmp);
    let receipt_ms = receipt_ms.get(receipt_ms.len() / 2);
    let files = u64::from(args.connections) * u64::from(args.files) * u64::from(args.uploads);
    let bytes = args.bytes * files;
    println!(
        "{}",
        json!({
            "bytes": bytes, "seconds": seconds, "stalls": stalls, "resume_ms": resume_ms,
            "receipt_ms": receipt_ms,
        })
    );
    Ok(())
}

/// A connection, and how many uploads it carries at a time.
enum Peer {
    One(Connection),
    Many(Many),
    Pipeline(Pipeline),
}

/// What the uploads of one connection gave.
#[derive(Default)]
struct Done {
    /// How often there was no credit.
    stalls: u64,
    /// How long it took from connecting anew until more bytes were accepted.
    resumed: Option<Duration>,
    /// How long each file took, where many are in flight at a time.
    receipts: Vec<Duration>,
}

impl Peer {
    /// Connects, and registers what is uploaded first.
    async fn open(address: &str, args: &Args, number: u32, template: Rc<Template>) -> Result<Self> {
        if args.uploads > 1 {
            let numbers = (number * args.uploads, args.uploads);
            let mut many = Many::open(address, None, numbers, template).await?;
            many.register(&args.slot).await?;
            if args.begun {
                many.begin().await?;
            }
            return Ok(Self::Many(many));
        }
        if args.in_flight > 0 {
            let pipeline = Pipeline::open(address, &args.slot, template).await?;
            return Ok(Self::Pipeline(pipeline));
        }
        let mut connection = Connection::open(address, None, template).await?;
        connection.register(&args.slot, number).await?;
        Ok(Self::One(connection))
    }
}

/// Uploads, the first of which is registered; with `cut`, tells how long it took from connecting anew until
/// more bytes of that were accepted.
async fn uploads(peer: Peer, number: u32, address: String, args: Args) -> Result<Done> {
    let mut done = Done::default();
    let mut connection = match peer {
        Peer::One(connection) => connection,
        Peer::Many(mut many) => {
            done.stalls = many.upload().await?;
            return Ok(done);
        }
        Peer::Pipeline(mut pipeline) => {
            let numbers = (0..args.files).map(|file| number + file * args.connections);
            done.receipts = pipeline.upload(numbers, args.in_flight).await?;
            return Ok(done);
        }
    };
    if args.cut {
        connection.send_to(connection.size() / 2).await?;
        let begun = Instant::now();
        connection = connection.resume(&address).await?;
        let from = connection.offset();
        // A quarter of the window is acknowledged at once.
        let end = (from + (1 << 20) + (1 << 16)).min(connection.size());
        connection.send_to(end).await?;
        connection.until_received_past(from).await?;
        done.resumed = Some(begun.elapsed());
    }
    done.stalls = connection.upload().await?;
    for file in 1..args.files {
        let number = number + file * args.connections;
        connection.register(&args.slot, number).await?;
        done.stalls += connection.upload().await?;
    }
    Ok(done)
}

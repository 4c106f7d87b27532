//! What one chunk costs between the socket and the writer: decoding, the core, its answers; in time and in
//! allocations.

use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use clap::Parser;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use upload_core::{
    CheckpointChange, Door, Holder, Notice, Now, Order, Output, OwnerTally, Question, Session,
    SessionConfig, SessionLimits, SlotRules, Verdict, WriterEvent,
};
use upload_proto::{ClientMessage, Frame, ServerMessage, UploadRef};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// The upload of all frames.
const UPLOAD: &str = "00000001-0000-4001-8002-030405060708";
/// Bytes of the declared file; more than any run sends.
const SIZE: u64 = 1 << 43;
/// Bytes of frames that are ready at a time; they are in no cache when they are used.
const BATCH_BYTES: usize = 16 << 20;
/// Most frames of a batch.
const BATCH_FRAMES_MAX: usize = 1024;

/// Measures codec and core by themselves.
#[derive(Parser)]
struct Args {
    /// Bytes of a chunk
    #[arg(long, default_value_t = 65536)]
    chunk: usize,
    /// Chunks in all
    #[arg(long, default_value_t = 20_000)]
    chunks: u32,
    /// Leave the checksum out
    #[arg(long)]
    no_checksum: bool,
}

/// One step of the way.
#[derive(Default)]
struct Step {
    time: Duration,
    allocations: usize,
}

impl Step {
    /// Does the work and counts it.
    fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let region = Region::new(ALLOCATOR);
        let begun = Instant::now();
        let result = work();
        self.time += begun.elapsed();
        let change = region.change();
        self.allocations += change.allocations + change.reallocations;
        result
    }

    fn json(&self, chunks: u32) -> Value {
        json!({
            "ns_per_chunk": self.time.as_nanos() as f64 / f64::from(chunks),
            "allocations_per_chunk": self.allocations as f64 / f64::from(chunks),
        })
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.chunk == 0 {
        bail!("a chunk needs bytes");
    }
    let upload: UploadRef = UPLOAD.parse().ok().context("a canonical ref")?;
    let mut session = session(args.chunk, !args.no_checksum)?;
    register(&mut session)?;

    let (mut decode, mut core, mut encode) = (Step::default(), Step::default(), Step::default());
    let mut messages = Vec::with_capacity(BATCH_FRAMES_MAX * 2);
    let mut received = 0;
    let (mut index, mut warm) = (0_u32, 1);
    while index < args.chunks {
        let count = (BATCH_BYTES / args.chunk).clamp(1, BATCH_FRAMES_MAX);
        let raw: Vec<Bytes> = (index..)
            .take(count)
            .map(|index| raw_chunk(upload, index, args.chunk))
            .collect();
        let mut frames = Vec::with_capacity(count);
        decode.measure(|| frames.extend(raw.into_iter().map(Frame::decode)));
        core.measure(|| {
            for frame in frames.drain(..) {
                session.handle_frame(frame, now());
                drain(&mut session, &mut received, &mut messages);
            }
        });
        let told = encode.measure(|| {
            let texts = messages
                .drain(..)
                .map(|message: ServerMessage| message.to_json());
            texts.map(|text| black_box(text).len()).sum::<usize>()
        });
        black_box(told);
        index = index.saturating_add(u32::try_from(count)?);
        if warm > 0 {
            // The first batch opens the writer and grows the queues; the steady state begins after it.
            warm -= 1;
            index = index.max(1);
            (decode, core, encode) = Default::default();
        }
    }
    if received != u64::from(index) * args.chunk as u64 {
        bail!("the core took {received} bytes of {index} chunks");
    }
    let count = u32::try_from((BATCH_BYTES / args.chunk).clamp(1, BATCH_FRAMES_MAX))?;
    let chunks = index.saturating_sub(count);
    println!(
        "{}",
        json!({
            "chunk_bytes": args.chunk,
            "checksum": !args.no_checksum,
            "chunks": chunks,
            "decode": decode.json(chunks),
            "core": core.json(chunks),
            "encode": encode.json(chunks),
        })
    );
    Ok(())
}

fn session(chunk: usize, checksum: bool) -> Result<Session> {
    let mut rules = SlotRules::new("slot");
    rules.max_file_size = SIZE;
    rules.chunk_size = u32::try_from(chunk)?;
    let config = SessionConfig {
        slots: BTreeMap::from([("slot".to_owned(), Arc::new(rules))]),
        plain: false,
        holder: Holder {
            boot: "bench".to_owned(),
            session: 1,
        },
        tally: Arc::new(OwnerTally::default()),
        limits: SessionLimits::default(),
        checksum,
        announces: false,
    };
    Ok(Session::new(config, now()))
}

fn register(session: &mut Session) -> Result<()> {
    let register = json!({
        "type": "upload_register", "upload_name": "slot", "ref": UPLOAD, "client_name": "a.bin",
        "client_type": "application/octet-stream", "client_size": SIZE,
    });
    session.handle_message(ClientMessage::parse(&register.to_string()), now());
    let mut is_registered = false;
    while let Some(output) = session.poll_output() {
        if let Output::Neighbour(entry, Notice::Reserve(_)) = output {
            session.handle_reserved(entry, true, now());
        }
        is_registered |= matches!(output, Output::Send(ServerMessage::Registered(_)));
    }
    if !is_registered {
        bail!("the core refused the registration");
    }
    Ok(())
}

/// Does what a host does with a writer that is always done at once.
fn drain(session: &mut Session, received: &mut u64, messages: &mut Vec<ServerMessage>) {
    while let Some(output) = session.poll_output() {
        match output {
            Output::Send(message) => messages.push(message),
            Output::App(Question::Inspect { entry, .. }) => {
                session.handle_verdict(entry, Verdict::Accept, now());
            }
            Output::Writer(entry, Order::Open) => {
                let opened = WriterEvent::Opened { checkpoint: None };
                session.handle_writer(entry, opened, now());
            }
            Output::Writer(entry, Order::Write(data)) => {
                *received += data.len() as u64;
                let wrote = WriterEvent::Wrote {
                    received: *received,
                    durable: *received,
                    buffered: 0,
                    checkpoint: CheckpointChange::Same,
                };
                session.handle_writer(entry, wrote, now());
            }
            _ => {}
        }
    }
}

fn raw_chunk(upload: UploadRef, index: u32, len: usize) -> Bytes {
    let header = upload_proto::chunk_header(upload, index);
    let mut raw = BytesMut::with_capacity(header.len() + len);
    raw.extend_from_slice(&header);
    raw.resize(header.len() + len, index as u8);
    raw.freeze()
}

fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant: Instant::now(),
        unix_ms: since.map_or(0, |since| since.as_millis() as u64),
    }
}

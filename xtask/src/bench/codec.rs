//! `cargo xtask bench codec`: time per frame in codec and core, and allocations per chunk in the whole server.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{
    bars::Bar,
    process::{Server, free_address},
    report::median,
    rounds::Common,
    subject::{Bed, Sink, Subject},
};
use crate::run::output_of;

/// Chunks of the two uploads whose difference is the steady state.
const COUNTED_CHUNKS: [u64; 2] = [4_000, 20_000];

/// What to measure.
#[derive(Args)]
pub(crate) struct Codec {
    #[command(flatten)]
    common: Common,
    /// Bytes of a chunk
    #[arg(long, value_delimiter = ',', default_values_t = [4096, 65536, 1 << 20])]
    chunk: Vec<u32>,
}

impl Codec {
    /// Runs everything, prints figures and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let bed = Bed::make(&[Subject::Bare], "copy", &self.common)?;
        let (mut figures, mut bars, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in &self.chunk {
            for checksum in [true, false] {
                let runs: Vec<Value> = (0..self.common.rounds)
                    .map(|_| core(&bed, *chunk, checksum))
                    .collect::<Result<_>>()?;
                let of = |step: &str, figure: &str| {
                    median(runs.iter().filter_map(|run| run[step][figure].as_f64()))
                };
                let name = format!(
                    "{} KiB{}",
                    chunk >> 10,
                    if checksum { "" } else { ", without CRC" }
                );
                let steps = ["decode", "core", "encode"];
                let times = steps.map(|step| of(step, "ns_per_chunk"));
                let allocations = steps.map(|step| of(step, "allocations_per_chunk"));
                println!(
                    "{name}: decode {:.0} ns, core {:.0} ns, encode {:.0} ns; allocations {:.3}, {:.3}, {:.3}",
                    times[0], times[1], times[2], allocations[0], allocations[1], allocations[2]
                );
                let bar = |(step, time): (&str, f64)| (step.to_owned(), time);
                groups.push((name, steps.into_iter().zip(times).map(bar).collect()));
                figures.push(json!({
                    "chunk_bytes": chunk, "checksum": checksum, "ns": times, "allocations": allocations,
                }));
            }
        }
        let mut counted = Vec::new();
        for chunk in &self.chunk {
            for sink in [Sink::Discard, Sink::File] {
                let per_chunk = allocations(&bed, &bed.program("counted"), *chunk, sink)?;
                println!(
                    "{sink}, {} KiB: {per_chunk:.2} allocations per chunk in the server",
                    chunk >> 10
                );
                if *chunk == 65536 {
                    let what =
                        format!("{sink}, chunks of 64 KiB: allocations per chunk in the server");
                    bars.push(Bar::at_most(3.0, what, per_chunk));
                }
                counted.push(json!({"chunk_bytes": chunk, "sink": sink.to_string(), "allocations": per_chunk}));
            }
        }
        println!();
        let figures = json!({"steps": figures, "server": counted});
        let title = "Time per chunk in codec and core, in ns".to_owned();
        let charts = vec![("codec", title, groups)];
        self.common.keep(&bed, "codec", figures, &bars, charts)
    }
}

fn core(bed: &Bed, chunk: u32, checksum: bool) -> Result<Value> {
    let mut command = Command::new(bed.program("core"));
    let chunks = ((1_u64 << 30) / u64::from(chunk.max(1))).clamp(1_000, 200_000);
    command
        .args(["--chunk", &chunk.to_string()])
        .args(["--chunks", &chunks.to_string()])
        .args((!checksum).then_some("--no-checksum"));
    Ok(serde_json::from_str(&output_of(&mut command)?)?)
}

/// Returns how often the whole server, built as `counted`, allocates for one chunk more.
pub(super) fn allocations(bed: &Bed, counted: &Path, chunk: u32, sink: Sink) -> Result<f64> {
    let address = free_address()?;
    let mut command = Command::new(counted);
    command
        .args(["--listen", &address, "--chunk", &chunk.to_string()])
        .arg("--folder")
        .arg(bed.folder().join("data"));
    let log = bed.folder().join("counted.log");
    let server = Server::start(&mut command, address, &log)?;
    let mut counts = [0; 2];
    // Small chunks are many, large ones would be much data.
    let scale = (u64::from(chunk) >> 16).max(1);
    let chunks = COUNTED_CHUNKS.map(|chunks| chunks / scale);
    for (count, chunks) in counts.iter_mut().zip(chunks) {
        let before = allocated(&server)?;
        upload(bed, &server, sink, chunk, chunks)?;
        *count = allocated(&server)? - before;
    }
    drop(server);
    bed.clean();
    Ok((counts[1] - counts[0]) as f64 / (chunks[1] - chunks[0]) as f64)
}

fn upload(bed: &Bed, server: &Server, sink: Sink, chunk: u32, chunks: u64) -> Result<()> {
    let mut generator = Command::new(bed.program("load"))
        .args(["--address", &server.address, "--slot", &sink.to_string()])
        .args(["--bytes", &(chunks * u64::from(chunk)).to_string()])
        .args(["--chunk", &chunk.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    generator
        .stdin
        .take()
        .context("piped")?
        .write_all(b"begin\n")?;
    let status = generator.wait()?;
    if !status.success() {
        bail!("the load generator failed: {status}");
    }
    Ok(())
}

fn allocated(server: &Server) -> Result<i64> {
    let mut stream = TcpStream::connect(&server.address)?;
    let host = &server.address;
    write!(
        stream,
        "GET /allocations HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let count = answer.lines().last().context("an empty answer")?;
    count.trim().parse().context("a strange count")
}

//! `cargo xtask bench latency`: how soon a small upload is done, alone and beside others at full speed.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{
    bars::Bar,
    process::Server,
    report::median,
    rounds::Common,
    subject::{Bed, Load, Sink, Subject},
};

/// What to measure.
#[derive(Args)]
pub(crate) struct Latency {
    #[command(flatten)]
    common: Common,
    /// Uploads at full speed beside the small ones
    #[arg(long, default_value_t = 8)]
    beside: u32,
    /// Small uploads, one after the other
    #[arg(long, default_value_t = 200)]
    uploads: u32,
    /// Bytes of a small upload
    #[arg(long, default_value_t = 65536)]
    bytes: u64,
}

#[derive(Deserialize)]
struct Times {
    milliseconds: Vec<f64>,
}

/// Middle and 99th percentile of each round.
#[derive(Default)]
struct Spread {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Spread {
    fn add(&mut self, mut times: Vec<f64>) {
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times.get((times.len() * part / 100).min(times.len() - 1));
        self.p50.extend(at(50));
        self.p99.extend(at(99));
    }

    fn medians(&self) -> [f64; 2] {
        [&self.p50, &self.p99].map(|values| median(values.iter().copied()))
    }
}

impl Latency {
    /// Runs everything, prints figures and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let bed = Bed::make(&[Subject::Server], "copy", &self.common)?;
        // Where the small uploads go: a receipt for a file also waits for the disk.
        let probes = [Sink::Discard, Sink::File];
        let mut spreads: [[Spread; 2]; 2] = Default::default();
        for round in 1..=self.common.rounds {
            eprintln!("round {round} of {}", self.common.rounds);
            for (probe, spreads) in probes.into_iter().zip(&mut spreads) {
                for (beside, spread) in [0, self.beside].into_iter().zip(spreads) {
                    spread.add(self.round(&bed, probe, beside)?);
                }
            }
        }
        let mut groups = Vec::new();
        let mut bars = Vec::new();
        let mut figures = Vec::new();
        for (probe, spreads) in probes.into_iter().zip(&spreads) {
            for (beside, spread) in [0, self.beside].into_iter().zip(spreads) {
                let [p50, p99] = spread.medians();
                let name = format!("small upload to {probe}, beside {beside} to files");
                println!("{name}: p50 {p50:.2} ms, p99 {p99:.2} ms");
                figures.push(json!({"probe": probe.to_string(), "beside": beside, "p50_ms": p50, "p99_ms": p99}));
                if beside > 0 {
                    bars.push(Bar::at_most(25.0, format!("{name}: p99 in ms"), p99));
                }
                groups.push((name, vec![("p50".to_owned(), p50), ("p99".to_owned(), p99)]));
            }
        }
        println!();
        let figures = json!({"bytes": self.bytes, "latencies": figures});
        let charts = vec![(
            "latency",
            "From the first byte of a small upload to its receipt, in ms".to_owned(),
            groups,
        )];
        self.common.keep(&bed, "latency", figures, &bars, charts)
    }

    fn round(&self, bed: &Bed, probe: Sink, beside: u32) -> Result<Vec<f64>> {
        // More than is sent while the small uploads run; what is left is dropped with the server.
        let load = Load {
            connections: beside,
            bytes: 4 << 30,
            ..Load::default()
        };
        let server = bed.start(Subject::Server, Sink::File, load)?;
        let mut generator = if beside > 0 {
            Some(begin(bed, &server, load)?)
        } else {
            None
        };
        let times = self.probe(bed, &server, probe);
        drop(server);
        if let Some(generator) = &mut generator {
            let _ = generator.kill();
            generator.wait()?;
        }
        bed.clean();
        times
    }

    fn probe(&self, bed: &Bed, server: &Server, probe: Sink) -> Result<Vec<f64>> {
        let output = Command::new(bed.program("probe"))
            .args([
                "--address",
                &server.address,
                "--slot",
                &probe.to_string(),
                "latency",
            ])
            .args(["--bytes", &self.bytes.to_string()])
            .args(["--uploads", &self.uploads.to_string()])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start the probe")?;
        if !output.status.success() {
            bail!("the probe failed: {}", output.status);
        }
        let times: Times = serde_json::from_slice(&output.stdout)?;
        if times.milliseconds.is_empty() {
            bail!("the probe uploaded nothing");
        }
        Ok(times.milliseconds)
    }
}

/// Starts uploads to files that go on until they are killed.
fn begin(bed: &Bed, server: &Server, load: Load) -> Result<std::process::Child> {
    let mut generator = Command::new(bed.program("load"))
        .args(["--address", &server.address, "--slot", "file"])
        .args(["--connections", &load.connections.to_string()])
        .args(["--bytes", &load.bytes.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the load generator")?;
    let mut lines = BufReader::new(generator.stdout.take().context("piped")?).lines();
    if lines.next().transpose()?.as_deref() != Some("ready") {
        bail!("the load generator did not get ready");
    }
    let mut input = generator.stdin.take().context("piped")?;
    input.write_all(b"begin\n")?;
    Ok(generator)
}

//! `cargo xtask bench restart`: a server that was killed with many running resumable uploads, and their way back.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{
    bars::Bar,
    report::median,
    rounds::Common,
    subject::{Bed, Load, Sink, Subject},
};

/// Milliseconds from the start of the process to the first upload that goes on.
const FIRST_MS_MAX: f64 = 1_000.0;
/// Milliseconds to the last, for each thousand of them.
const LAST_MS_PER_THOUSAND_MAX: f64 = 1_000.0;
/// KiB of each upload that continued, without its window.
const KIB_MAX: f64 = 8.0;
/// How long records may be on their way to the store.
const SAVED_WITHIN: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    common: Common,
    /// Connections
    #[arg(long, default_value_t = 100)]
    connections: u32,
    /// Uploads of each connection
    #[arg(long, default_value_t = 100)]
    uploads: u32,
}

/// When they went on, counted from the start of the process.
#[derive(Deserialize)]
struct Times {
    accepted_ms: f64,
    first_ms: f64,
    last_ms: f64,
}

/// One round.
struct Run {
    times: Times,
    kib_each: f64,
    peak_mib: f64,
}

impl Restart {
    /// Runs everything, prints figures and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let bed = Bed::make(&[Subject::Embedded], "copy", &self.common)?;
        let mut runs = Vec::new();
        for round in 1..=self.common.rounds {
            eprintln!("round {round} of {}", self.common.rounds);
            runs.push(self.round(&bed)?);
        }
        let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
        let (first, last) = (of(|run| run.times.first_ms), of(|run| run.times.last_ms));
        let (accepted, kib) = (of(|run| run.times.accepted_ms), of(|run| run.kib_each));
        let (all, peak) = (self.connections * self.uploads, of(|run| run.peak_mib));
        println!(
            "{all} uploads after a kill: a connection after {accepted:.0} ms, the first goes on after {first:.0} ms, \
             the last after {last:.0} ms; {kib:.1} KiB each, {peak:.0} MiB at most\n"
        );
        let last_max = LAST_MS_PER_THOUSAND_MAX * f64::from(all) / 1e3;
        let bars = [
            Bar::at_most(
                FIRST_MS_MAX,
                "from the start to the first resume: ms",
                first,
            ),
            Bar::at_most(last_max, format!("to the last of {all}: ms"), last),
            Bar::at_most(KIB_MAX, "memory of an upload that went on: KiB", kib),
        ];
        let figures = json!({
            "uploads": all, "connections": self.connections, "accepted_ms": accepted,
            "first_ms": first, "last_ms": last, "kib_each": kib, "peak_mib": peak,
        });
        self.common
            .keep(&bed, "restart", figures, &bars, Vec::new())
    }

    fn round(&self, bed: &Bed) -> Result<Run> {
        let load = Load {
            bytes: 1 << 20,
            ..Load::default()
        };
        let server = bed.start(Subject::Embedded, Sink::File, load)?;
        let mut probe = Command::new(bed.program("probe"))
            .args(["--address", &server.address, "--slot", "file", "restart"])
            .args(["--connections", &self.connections.to_string()])
            .args(["--uploads", &self.uploads.to_string()])
            .args(["--bytes", &load.bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the probe")?;
        let mut lines = BufReader::new(probe.stdout.take().context("piped")?).lines();
        let mut input = probe.stdin.take().context("piped")?;
        let mut next =
            || -> Result<String> { lines.next().transpose()?.context("the probe has ended") };
        if next()? != "half way" {
            bail!("the uploads did not get half way");
        }
        std::thread::sleep(SAVED_WITHIN);
        // It is killed, so nothing is put in order first.
        let address = server.address.clone();
        drop(server);
        input.write_all(b"started\n")?;
        let server = bed.start_again(Subject::Embedded, Sink::File, load, address)?;
        let before = server.rss_kib()? as f64;
        let times: Times = serde_json::from_str(&next()?)?;
        let after = server.rss_kib()? as f64;
        let peak_mib = server.peak_rss_kib()? as f64 / 1024.0;
        input.write_all(b"seen\n")?;
        probe.wait()?;
        drop(server);
        bed.clean();
        Ok(Run {
            times,
            kib_each: (after - before) / f64::from(self.connections * self.uploads),
            peak_mib,
        })
    }
}

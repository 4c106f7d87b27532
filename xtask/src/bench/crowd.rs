//! `cargo xtask bench idle`: what a connection holds that does nothing, one that uploads, and one that did.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use super::{
    bars::Bar,
    process::crowded,
    report::median,
    rounds::Common,
    subject::{Bed, Load, PING_SECONDS, Sink, Subject},
};

/// What to measure.
#[derive(Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    common: Common,
    /// Connections
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    /// How many of them upload
    #[arg(long, default_value_t = 1_000)]
    active: u32,
}

/// What one connection held, in KiB, in each phase.
struct Held {
    idle: f64,
    active: f64,
    idle_again: f64,
}

impl Idle {
    /// Runs everything, prints figures and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let bed = Bed::make(&[Subject::Server], "copy", &self.common)?;
        let mut runs = Vec::new();
        for round in 1..=self.common.rounds {
            eprintln!("round {round} of {}", self.common.rounds);
            runs.push(self.round(&bed)?);
        }
        let of = |figure: fn(&Held) -> f64| median(runs.iter().map(figure));
        let (idle, active) = (of(|held| held.idle), of(|held| held.active));
        let idle_again = of(|held| held.idle_again);
        println!(
            "{} connections: {idle:.1} KiB each; {} of them half way in an upload: {active:.1} KiB more each; \
             idle again: {idle_again:.1} KiB more each than before\n",
            self.connections, self.active
        );
        let bars = [
            Bar::at_most(12.0, "idle connection: KiB", idle),
            Bar::at_most(12.0, "idle after an upload: KiB", idle + idle_again),
        ];
        let figures = json!({
            "connections": self.connections, "active": self.active,
            "idle_kib": idle, "active_kib_more": active, "idle_again_kib_more": idle_again,
        });
        let bar = |name: &str, value| (name.to_owned(), vec![("server".to_owned(), value)]);
        let charts = vec![(
            "idle-memory",
            "Memory of a connection, in KiB".to_owned(),
            vec![
                bar("idle", idle),
                bar("half way in an upload", idle + active),
                bar("idle after an upload", idle + idle_again),
            ],
        )];
        self.common.keep(&bed, "idle", figures, &bars, charts)
    }

    fn round(&self, bed: &Bed) -> Result<Held> {
        let server = bed.start(Subject::Server, Sink::Discard, Load::default())?;
        // What a first connection brings about once must not count.
        let gather = |connections, active| {
            let program = bed.program("probe");
            Crowd::gather(
                &program,
                &server.address,
                "discard",
                connections,
                active,
                2 << 20,
            )
        };
        drop(gather(1, 0)?);
        settle();
        let before = server.rss_kib()? as f64;
        let mut crowd = gather(self.connections, self.active)?;
        settle();
        let idle = server.rss_kib()? as f64;
        crowd.go("half way")?;
        settle();
        let active = server.rss_kib()? as f64;
        crowd.go("done")?;
        // Two pings: the first finds that something came, the second that nothing did since.
        sleep(Duration::from_secs(2 * PING_SECONDS));
        settle();
        let idle_again = server.rss_kib()? as f64;
        drop(crowd);
        bed.clean();
        let uploading = f64::from(self.active.max(1));
        Ok(Held {
            idle: (idle - before) / f64::from(self.connections.max(1)),
            active: (active - idle) / uploading,
            idle_again: (idle_again - idle) / uploading,
        })
    }
}

/// Waits until what was going on is over.
fn settle() {
    sleep(Duration::from_secs(1));
}

/// The connections, held by another process.
pub(crate) struct Crowd {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Crowd {
    /// Connects all of them; `program` is `upload-bench-probe`.
    ///
    /// # Errors
    ///
    /// One is refused.
    pub(crate) fn gather(
        program: &Path,
        address: &str,
        slot: &str,
        connections: u32,
        active: u32,
        bytes: u64,
    ) -> Result<Self> {
        let mut command: Command = crowded(program);
        command
            .args(["--address", address, "--slot", slot, "crowd"])
            .args(["--connections", &connections.to_string()])
            .args(["--active", &active.to_string()])
            .args(["--bytes", &bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the crowd")?;
        let mut crowd = Self {
            input: child.stdin.take().context("piped")?,
            lines: BufReader::new(child.stdout.take().context("piped")?).lines(),
            child,
        };
        crowd.expect("idle")?;
        Ok(crowd)
    }

    /// Begins the next phase and waits until it is reached.
    ///
    /// # Errors
    ///
    /// It is not reached.
    pub(crate) fn go(&mut self, phase: &str) -> Result<()> {
        self.input.write_all(b"go\n")?;
        self.expect(phase)
    }

    fn expect(&mut self, phase: &str) -> Result<()> {
        let line = self.lines.next().transpose()?;
        if line.as_deref() != Some(phase) {
            bail!("the crowd did not get to \"{phase}\"");
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! `cargo xtask bench links`: a large file over a long link that stalls or loses segments.
//!
//! Client and server are in network namespaces of their own, so both have the kernel's real TCP. Between them is a
//! link in user space: two TUN devices, whose packets a program carries with delay, rate, a bounded queue and losses
//! by a seed. Each run has a separate link, and each seed is given to all that are compared.

mod namespaces;

use std::fmt;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use self::namespaces::{Condition, Net};
use super::{
    bars::Bar,
    driving::Generator,
    report::median,
    rounds::{Common, Groups},
    subject::{Bed, Load, Subject},
};

/// What the socket gets of a plain TCP stream over the same link.
const OF_PLAIN: f64 = 0.95;
/// Bytes of a chunk that is answered before the next: LiveView's.
const CHUNK_BYTES: u64 = 64_000;
/// Bytes of a PATCH of Uppy, where it cuts files.
const PATCH_BYTES: u64 = 5 << 20;
/// Chunks that are sent one by one: enough to know how long each takes.
const CHUNKS: u64 = 32;

/// What to measure.
#[derive(Args)]
pub(crate) struct Links {
    #[command(flatten)]
    common: Common,
    /// Milliseconds of a round trip
    #[arg(long, default_value_t = 100)]
    round_trip_ms: u64,
    /// Megabits a second
    #[arg(long, default_value_t = 1000)]
    mbit: u64,
    /// MiB of the upload
    #[arg(long, default_value_t = 512)]
    mib: u64,
    /// MiB that sockets may buffer, in both namespaces
    #[arg(long, default_value_t = 128)]
    socket_mib: u64,
    /// The congestion control of all; the system's by default
    #[arg(long)]
    congestion: Option<String>,
    /// What the link does besides: all of them by default
    #[arg(long, value_delimiter = ',')]
    conditions: Vec<Condition>,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// A plain TCP stream, which is dropped where it arrives.
    Plain,
    /// The socket.
    Socket,
    /// tus, the file in one PATCH.
    Tus,
    /// tus, one PATCH of 5 MiB after the other.
    Patches,
    /// Chunks, each of which is answered before the next is sent.
    Chunks,
}

const SENDERS: [Sender; 5] = [
    Sender::Plain,
    Sender::Socket,
    Sender::Tus,
    Sender::Patches,
    Sender::Chunks,
];

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plain => "plain TCP",
            Self::Socket => "socket",
            Self::Tus => "tus, one PATCH",
            Self::Patches => "tus, PATCHes of 5 MiB",
            Self::Chunks => "a chunk at a time",
        })
    }
}

/// The speeds of all senders under one condition, in MiB/s, by seed.
struct Row {
    condition: Condition,
    speeds: [Vec<f64>; SENDERS.len()],
}

impl Row {
    fn speed(&self, sender: Sender) -> f64 {
        median(self.of(sender).iter().copied())
    }

    fn of(&self, sender: Sender) -> &[f64] {
        let found = SENDERS
            .iter()
            .zip(&self.speeds)
            .find(|(it, _)| **it == sender);
        found.map_or(&[], |(_, speeds)| speeds)
    }

    /// Returns the middle of what the socket gets of a plain stream, each with the same seed.
    fn ratio(&self) -> f64 {
        let pairs = self.of(Sender::Socket).iter().zip(self.of(Sender::Plain));
        median(pairs.map(|(socket, plain)| socket / plain))
    }
}

impl Links {
    /// Runs everything, prints table and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// It does not run as root, something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let bed = Bed::make(&[Subject::Server], "copy", &self.common)?;
        let conditions = match &self.conditions[..] {
            [] => Condition::ALL,
            chosen => chosen,
        };
        let row = |condition: &Condition| Row {
            condition: *condition,
            speeds: Default::default(),
        };
        let mut rows: Vec<_> = conditions.iter().map(row).collect();
        for seed in 1..=self.common.rounds {
            eprintln!("seed {seed} of {}", self.common.rounds);
            for row in &mut rows {
                for (sender, speeds) in SENDERS.into_iter().zip(&mut row.speeds) {
                    let speed = self.send(&bed, row.condition, sender, seed);
                    speeds.push(speed.with_context(|| format!("{sender}, {}", row.condition))?);
                }
            }
        }
        self.report(&bed, &rows)
    }

    fn report(&self, bed: &Bed, rows: &[Row]) -> Result<()> {
        let (mut bars, mut figures): (Vec<_>, Vec<_>) = Default::default();
        let mut groups: Groups = Vec::new();
        println!(
            "{} ms, {} Mbit/s ({:.1} MiB/s), socket buffers of {} MiB, {}",
            self.round_trip_ms,
            self.mbit,
            self.mbit as f64 * 1e6 / 8.0 / f64::from(1 << 20),
            self.socket_mib,
            self.congestion
                .as_deref()
                .unwrap_or("the system's congestion control"),
        );
        println!(
            "{:<26}{:<24}{:>8}{:>12}",
            "link", "sender", "MiB/s", "over plain"
        );
        for row in rows {
            let plain = row.speed(Sender::Plain);
            let mut group = Vec::new();
            for sender in SENDERS {
                let speed = row.speed(sender);
                println!(
                    "{:<26}{sender:<24}{speed:>8.2}{:>12.3}",
                    row.condition.to_string(),
                    speed / plain
                );
                group.push((sender.to_string(), speed));
                figures.push(json!({
                    "link": row.condition.to_string(), "sender": sender.to_string(),
                    "mib_per_second": speed, "by_seed": row.of(sender),
                }));
            }
            let what = format!("{}: socket over plain TCP, median of seeds", row.condition);
            bars.push(Bar::at_least(OF_PLAIN, what, row.ratio()));
            groups.push((row.condition.to_string(), group));
        }
        println!();
        let figures = json!({
            "round_trip_ms": self.round_trip_ms, "mbit": self.mbit, "socket_mib": self.socket_mib,
            "congestion": self.congestion, "rows": figures,
        });
        let title = format!(
            "One file over {} Mbit/s and {} ms, in MiB/s",
            self.mbit, self.round_trip_ms
        );
        self.common
            .keep(bed, "links", figures, &bars, vec![("links", title, groups)])
    }

    /// Sends one file over a separate link; returns MiB a second.
    fn send(&self, bed: &Bed, condition: Condition, sender: Sender, seed: u32) -> Result<f64> {
        let net = Net::open(bed, self, condition, seed)?;
        let bytes = self.bytes(condition, sender);
        let (address, size) = (net.address(), bytes.to_string());
        let mut receiver = net.receiver(
            bed,
            sender,
            Load {
                bytes,
                ..Load::default()
            },
        )?;
        let mut command = match sender {
            Sender::Plain | Sender::Chunks => {
                let mut command = net.near(&bed.program("plain"));
                command.args(["send", "--address", &address]);
                command
            }
            Sender::Socket => {
                let mut command = net.near(&bed.program("load"));
                command.args(["--address", &address, "--slot", "discard"]);
                command
            }
            Sender::Tus | Sender::Patches => {
                let mut command = net.near(&bed.program("http-load"));
                command.args(["--address", &address, "--slot", "discard", "--door", "tus"]);
                command
            }
        };
        command.args(["--bytes", &size]);
        match sender {
            Sender::Patches => command.args(["--piece", &PATCH_BYTES.min(bytes).to_string()]),
            Sender::Chunks => command.args(["--chunk", &CHUNK_BYTES.to_string()]),
            Sender::Plain | Sender::Socket | Sender::Tus => &mut command,
        };
        let mut generator = Generator::of(&mut command)?;
        generator.begin()?;
        let report = generator.report()?;
        receiver.stop();
        bed.clean();
        Ok(report.bytes as f64 / f64::from(1 << 20) / report.seconds)
    }

    /// Where segments are lost, most congestion controls take minutes for what a clean link carries in seconds; and
    /// who waits for each answer is as slow at the first chunk as at the last.
    fn bytes(&self, condition: Condition, sender: Sender) -> u64 {
        let whole = self.mib << 20;
        let whole = match condition {
            Condition::Clean | Condition::Stalls => whole,
            Condition::Losses | Condition::Both if self.is_slowed_by_losses() => whole / 64,
            Condition::Losses | Condition::Both => whole,
        };
        match sender {
            Sender::Plain | Sender::Socket | Sender::Tus => whole,
            Sender::Patches => (whole / 4).max(PATCH_BYTES),
            Sender::Chunks => CHUNKS * CHUNK_BYTES,
        }
    }

    /// A queue of one round trip at full rate, as routers are built with.
    fn queue_bytes(&self) -> u64 {
        self.mbit * 1_000_000 / 8 * self.round_trip_ms / 1000
    }

    /// BBR looks at rates, all others at losses.
    fn is_slowed_by_losses(&self) -> bool {
        let congestion = self.congestion.clone();
        congestion.or_else(namespaces::congestion).as_deref() != Some("bbr")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_the_same_seed_are_compared() {
        let mut row = Row {
            condition: Condition::Clean,
            speeds: Default::default(),
        };
        row.speeds[0] = vec![1.0, 10.0, 100.0];
        row.speeds[1] = vec![2.0, 9.0, 100.0];
        assert_eq!(row.ratio(), 1.0);
        assert_eq!(row.speed(Sender::Socket), 9.0);
        assert!(row.of(Sender::Tus).is_empty());
    }
}

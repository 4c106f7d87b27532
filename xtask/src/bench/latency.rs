//! `cargo xtask bench latency`: how soon a small upload is done, alone and next to others at full speed.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{
    bars::Bar,
    machine, next_to,
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
    /// Uploads at full speed next to the small ones
    #[arg(long, default_value_t = 8)]
    beside: u32,
    /// Small uploads, one after the other
    #[arg(long, default_value_t = 200)]
    uploads: u32,
    /// Bytes of a small upload
    #[arg(long, default_value_t = 65536)]
    bytes: u64,
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
        let at =
            |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
        self.p50.extend(at(50));
        self.p99.extend(at(99));
    }

    fn medians(&self) -> [f64; 2] {
        [&self.p50, &self.p99].map(|values| median(values.iter().copied()))
    }
}

/// Who receives, where small uploads go, and where large ones next to them do.
#[derive(Clone, Copy)]
struct Row {
    subject: Subject,
    probe: Sink,
    beside: Option<Sink>,
    /// Most milliseconds of the 99th percentile, where something was promised.
    limit: Option<f64>,
}

/// A receipt for a file waits for the disk twice, which has no limit of ours; the bare loop is next to it.
const ROWS: [Row; 8] = [
    Row::of(Subject::Server, Sink::Discard, None),
    Row::of(Subject::Server, Sink::Discard, Some(Sink::Discard)).within(25.0),
    Row::of(Subject::Server, Sink::Discard, Some(Sink::File)).within(25.0),
    Row::of(Subject::Server, Sink::File, None),
    Row::of(Subject::Server, Sink::File, Some(Sink::File)),
    Row::of(Subject::Bare, Sink::Discard, Some(Sink::Discard)),
    Row::of(Subject::Bare, Sink::File, Some(Sink::File)),
    Row::of(Subject::BareSynced, Sink::File, Some(Sink::File)),
];

impl Row {
    const fn of(subject: Subject, probe: Sink, beside: Option<Sink>) -> Self {
        Self {
            subject,
            probe,
            beside,
            limit: None,
        }
    }

    const fn within(self, limit: f64) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    fn name(&self, beside: u32) -> String {
        let Self { subject, probe, .. } = self;
        match self.beside {
            None => format!("{subject}: small upload to {probe}, alone"),
            Some(sink) => format!("{subject}: small upload to {probe}, beside {beside} to {sink}"),
        }
    }
}

impl Latency {
    /// Runs everything, prints figures and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let subjects = [Subject::Server, Subject::Bare, Subject::BareSynced];
        let bed = Bed::make(&subjects, "copy", &self.common)?;
        let mut spreads: [Spread; ROWS.len()] = Default::default();
        let mut pauses = Spread::default();
        for round in 1..=self.common.rounds {
            eprintln!("round {round} of {}", self.common.rounds);
            for (row, spread) in ROWS.iter().zip(&mut spreads) {
                spread.add(self.round(&bed, row)?);
            }
            // What no subject can beat while every core has something to do.
            let mut seen = machine::pauses(self.watched());
            if seen.is_empty() {
                seen.push(0.0);
            }
            pauses.add(seen);
        }
        let mut groups = Vec::new();
        let mut bars = Vec::new();
        let mut figures = Vec::new();
        for (row, spread) in ROWS.iter().zip(&spreads) {
            let [p50, p99] = spread.medians();
            let name = row.name(self.beside);
            println!("{name}: p50 {p50:.2} ms, p99 {p99:.2} ms");
            figures.push(json!({"what": name, "p50_ms": p50, "p99_ms": p99}));
            let limit = row
                .limit
                .map(|limit| Bar::at_most(limit, format!("{name}: p99 in ms"), p99));
            bars.extend(limit);
            groups.push((name, vec![("p50".to_owned(), p50), ("p99".to_owned(), p99)]));
        }
        let [p50, p99] = pauses.medians();
        println!(
            "pauses of the machine itself, both cores busy: p50 {p50:.2} ms, p99 {p99:.2} ms\n"
        );
        let figures = json!({
            "bytes": self.bytes, "latencies": figures,
            "pauses": {"p50_ms": p50, "p99_ms": p99},
        });
        let charts = vec![(
            "latency",
            "From the first byte of a small upload to its receipt, in ms".to_owned(),
            groups,
        )];
        self.common.keep(&bed, "latency", figures, &bars, charts)
    }

    fn watched(&self) -> Duration {
        Duration::from_millis(if self.common.smoke { 50 } else { 4000 })
    }

    fn round(&self, bed: &Bed, row: &Row) -> Result<Vec<f64>> {
        // More than is sent while the small uploads run; what is left is dropped then. The bare
        // loop takes room for whole files at once, so they are not larger than that.
        let load = Load {
            connections: self.beside,
            files: 8,
            bytes: 1 << 30,
            ..Load::default()
        };
        let sink = match row.subject {
            // The server has a slot for each; the bare one is started for one of them.
            Subject::Server => Sink::File,
            _ => row.probe,
        };
        let server = bed.start(row.subject, sink, load)?;
        let generator = match row.beside {
            Some(sink) => Some(next_to::begin(bed, &server, sink, load)?),
            None => None,
        };
        let times = self.probe(bed, &server, row.probe);
        drop(generator);
        drop(server);
        bed.clean();
        times
    }

    fn probe(&self, bed: &Bed, server: &Server, probe: Sink) -> Result<Vec<f64>> {
        // Those that wait for a busy disk take so long that the others would fill it.
        let uploads = match probe {
            Sink::Discard => self.uploads,
            Sink::File => self.uploads / 4,
        };
        next_to::times(bed, server, probe, (uploads.max(1), self.bytes))
    }
}

//! `cargo xtask bench wan`: one upload over a long link, and over one that stalls.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{
    bars::Bar,
    report::{Cell, find, table},
    rounds::{Common, groups},
    subject::{Bed, Load, Sink, Subject},
};

/// The window an upload has by default, in MiB (PROTOCOL CREDIT-2).
const WINDOW_MIB: f64 = 4.0;

/// What to measure.
#[derive(Args)]
pub(crate) struct Wan {
    #[command(flatten)]
    common: Common,
    /// Milliseconds of a round trip
    #[arg(long, default_value_t = 100)]
    round_trip_ms: u32,
    /// MiB of the upload
    #[arg(long, default_value_t = 256)]
    mib: u64,
}

impl Wan {
    /// Runs everything, prints table and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let bed = Bed::make(&[Subject::Server], "copy", &self.common)?;
        let long = Load {
            bytes: self.mib << 20,
            round_trip_ms: self.round_trip_ms,
            ..Load::default()
        };
        let stalling = Load {
            stall_one_in: 100,
            ..long
        };
        let mut cells = vec![
            Cell::new(Subject::Server, Sink::File, long),
            Cell::new(Subject::Server, Sink::File, stalling),
        ];
        self.common.run(&bed, &mut cells)?;
        println!("{}", table(&cells, Subject::Bare));
        let speed = |load| {
            let cell = find(&cells, Subject::Server, Sink::File, load);
            cell.map_or(f64::NAN, Cell::mib_per_second)
        };
        let most = WINDOW_MIB * 1e3 / f64::from(self.round_trip_ms);
        println!(
            "window over round trip: {most:.1} MiB/s; with one segment in 100 stalled for 200 ms: {:.1} MiB/s\n",
            speed(stalling)
        );
        let bars = [Bar::at_least(
            0.9,
            format!(
                "{} ms round trip: throughput over window / round trip",
                self.round_trip_ms
            ),
            speed(long) / most,
        )];
        let figures = json!({"cells": cells.iter().map(Cell::json).collect::<Vec<_>>()});
        let charts = vec![(
            "wan",
            format!(
                "Throughput over a link with {} ms round trip, in MiB/s",
                self.round_trip_ms
            ),
            groups(&cells, Cell::mib_per_second),
        )];
        self.common.keep(&bed, "wan", figures, &bars, charts)
    }
}

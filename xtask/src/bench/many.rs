//! `cargo xtask bench many`: many running uploads on one connection, and more on many, which must not cost more than
//! one.

use std::{thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;

use super::{
    bars::Bar,
    driving::Generator,
    report::{Cell, find, median, ratio, table},
    rounds::{Common, groups},
    subject::{Bed, Load, Sink, Subject},
};

/// CPU per GiB at most uploads over that at one, to nowhere.
const GROWTH_MAX: f64 = 1.5;
/// CPU per GiB at most uploads over that of the bare loop at as many, to files.
const OVER_BARE_MAX: f64 = 1.2;

/// Memory of an upload of which a chunk is there and nothing waits, in KiB.
const KIB_MAX: f64 = 8.0;
/// Wake-ups a second of all threads for each connection, while its uploads are running and nothing comes.
const WAKE_UPS_MAX: f64 = 10.0;
/// How long nothing comes.
const QUIET: Duration = Duration::from_secs(4);

/// What running uploads hold and do while nothing comes.
struct Quiet {
    kib_each: f64,
    wake_ups_per_second: f64,
}

/// What to measure.
#[derive(Args)]
pub(crate) struct Many {
    #[command(flatten)]
    common: Common,
    /// Uploads at a time, on one connection
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1000])]
    uploads: Vec<u32>,
    /// Connections, on each of which there are so many uploads at a time as well
    #[arg(long, default_value = "100,100", value_parser = crowd)]
    crowd: (u32, u32),
    /// MiB of a run to nowhere, shared by its uploads
    #[arg(long, default_value_t = 2000)]
    mib: u64,
    /// MiB of a run to files
    #[arg(long, default_value_t = 500)]
    file_mib: u64,
    /// Bytes of a chunk
    #[arg(long, default_value_t = 65536)]
    chunk: u32,
}

impl Many {
    /// Runs everything, prints table and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let subjects = [Subject::Server, Subject::Bare, Subject::BareSynced];
        let bed = Bed::make(&subjects, "copy", &self.common)?;
        let mut cells = Vec::new();
        for sink in [Sink::Discard, Sink::File] {
            for uploads in &self.uploads {
                let subjects = subjects.into_iter();
                // There is nothing to sync where there is no file.
                let subjects = subjects
                    .filter(|subject| sink == Sink::File || *subject != Subject::BareSynced);
                let load = self.load(sink, *uploads);
                cells.extend(subjects.map(|subject| Cell::new(subject, sink, load)));
            }
        }
        let crowd = self.crowd_load();
        let subjects = [Subject::Server, Subject::Bare];
        cells.extend(subjects.map(|subject| Cell::new(subject, Sink::Discard, crowd)));
        let (mut kib, mut wake_ups) = (Vec::new(), Vec::new());
        self.common.run(&bed, &mut cells)?;
        for _ in 0..self.common.rounds {
            let quiet = self.quiet(&bed, crowd)?;
            kib.push(quiet.kib_each);
            wake_ups.push(quiet.wake_ups_per_second);
        }
        let [kib, wake_ups] = [kib, wake_ups].map(|values| median(values.into_iter()));
        println!("{}", table(&cells, Subject::Bare));
        let all = crowd.connections * crowd.uploads;
        println!(
            "{all} uploads on {} connections, nothing comes: {kib:.1} KiB each, {wake_ups:.0} wake-ups a second\n",
            crowd.connections
        );
        let figures = json!({
            "cells": cells.iter().map(Cell::json).collect::<Vec<_>>(),
            "uploads": all, "kib_each": kib, "wake_ups_per_second": wake_ups,
        });
        let mut bars = self.bars(&cells);
        bars.push(Bar::at_most(
            KIB_MAX,
            format!("memory of one of {all} uploads: KiB"),
            kib,
        ));
        let what = format!("wake-ups a second of {all} uploads that nothing comes for");
        let limit = WAKE_UPS_MAX * f64::from(crowd.connections);
        bars.push(Bar::at_most(limit, what, wake_ups));
        let title = "Processor time per GiB on one connection, in seconds".to_owned();
        let charts = vec![("many", title, groups(&cells, Cell::cpu_seconds_per_gib))];
        self.common.keep(&bed, "many", figures, &bars, charts)
    }

    /// Measures uploads of which one chunk each has come.
    fn quiet(&self, bed: &Bed, load: Load) -> Result<Quiet> {
        let server = bed.start(Subject::Server, Sink::Discard, load)?;
        // What a first connection brings about once must not count.
        let alone = Load {
            connections: 1,
            uploads: 2,
            ..load
        };
        drop(Generator::start(bed, &server, Sink::Discard, alone)?);
        sleep(Duration::from_secs(1));
        let before = server.rss_kib()? as f64;
        let begun = Load {
            is_begun: true,
            ..load
        };
        let generator = Generator::start(bed, &server, Sink::Discard, begun)?;
        sleep(Duration::from_secs(1));
        let kib = server.rss_kib()? as f64 - before;
        let wake_ups = server.wake_ups()?;
        let quiet = if self.common.smoke { QUIET / 40 } else { QUIET };
        sleep(quiet);
        let wake_ups = server.wake_ups()?.saturating_sub(wake_ups);
        drop(generator);
        drop(server);
        bed.clean();
        Ok(Quiet {
            kib_each: kib / f64::from(load.connections * load.uploads),
            wake_ups_per_second: wake_ups as f64 / quiet.as_secs_f64(),
        })
    }

    /// Many uploads on many connections, each as long as one of the most on a single connection.
    ///
    /// Shorter ones would show what it costs to begin and to end an upload, not what it costs to have so many.
    fn crowd_load(&self) -> Load {
        let (connections, uploads) = self.crowd;
        let most = self.uploads.iter().copied().max().unwrap_or(uploads);
        let bytes = self.load(Sink::Discard, most).bytes;
        Load {
            connections,
            uploads,
            bytes: bytes.max(2 * u64::from(self.chunk)),
            chunk: self.chunk,
            ..Load::default()
        }
    }

    fn bars(&self, cells: &[Cell]) -> Vec<Bar> {
        let cpu = Cell::cpu_seconds_per_gib;
        let mut bars = Vec::new();
        let [Some(fewest), Some(most)] = [self.uploads.iter().min(), self.uploads.iter().max()]
        else {
            return bars;
        };
        let to_nowhere = |uploads| {
            let load = self.load(Sink::Discard, uploads);
            find(cells, Subject::Server, Sink::Discard, load).map_or(f64::NAN, cpu)
        };
        let what = format!("discard: CPU per GiB at {most} uploads over that at {fewest}");
        let growth = to_nowhere(*most) / to_nowhere(*fewest);
        bars.push(Bar::at_most(GROWTH_MAX, what, growth));
        let crowd = self.crowd_load();
        let crowded = find(cells, Subject::Server, Sink::Discard, crowd).map_or(f64::NAN, cpu);
        let what = format!(
            "discard: CPU per GiB at {} uploads on {} connections over that at {fewest} on one",
            crowd.connections * crowd.uploads,
            crowd.connections
        );
        bars.push(Bar::at_most(
            GROWTH_MAX,
            what,
            crowded / to_nowhere(*fewest),
        ));
        for (base, name) in [
            (Subject::Bare, "the bare loop"),
            (Subject::BareSynced, "the loop that syncs"),
        ] {
            let place = (Sink::File, self.load(Sink::File, *most));
            let what = format!("file: CPU per GiB at {most} uploads over {name} at as many");
            let over = ratio(cells, (Subject::Server, base), place, cpu);
            bars.push(Bar::at_most(OVER_BARE_MAX, what, over));
        }
        bars
    }

    fn load(&self, sink: Sink, uploads: u32) -> Load {
        let mib = match sink {
            Sink::Discard => self.mib,
            Sink::File => self.file_mib,
        };
        Load {
            uploads,
            bytes: (mib << 20) / u64::from(uploads.max(1)),
            chunk: self.chunk,
            ..Load::default()
        }
    }
}

/// Reads how many connections, and how many uploads of each.
fn crowd(text: &str) -> Result<(u32, u32)> {
    let (connections, uploads) = text.split_once(',').context("two numbers")?;
    let crowd = (connections.parse()?, uploads.parse()?);
    ensure!(
        crowd.0 > 0 && crowd.1 > 1,
        "at least one connection, and two uploads of each"
    );
    Ok(crowd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_connections_and_uploads_of_each() {
        assert_eq!(crowd("100,64").ok(), Some((100, 64)));
        for refused in ["100", "0,2", "5,1", "5,", "5,two"] {
            assert!(crowd(refused).is_err(), "{refused}");
        }
    }
}

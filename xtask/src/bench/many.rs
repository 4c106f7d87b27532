//! `cargo xtask bench many`: many running uploads on one connection, which must not cost more than one.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{
    bars::Bar,
    report::{Cell, find, ratio, table},
    rounds::{Common, groups},
    subject::{Bed, Load, Sink, Subject},
};

/// CPU per GiB at most uploads over that at one, to nowhere.
const GROWTH_MAX: f64 = 1.5;
/// CPU per GiB at most uploads over that of the bare loop at as many, to files.
const OVER_BARE_MAX: f64 = 1.2;

/// What to measure.
#[derive(Args)]
pub(crate) struct Many {
    #[command(flatten)]
    common: Common,
    /// Uploads at a time, on one connection
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1000])]
    uploads: Vec<u32>,
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
        self.common.run(&bed, &mut cells)?;
        println!("{}", table(&cells, Subject::Bare));
        let figures = json!({"cells": cells.iter().map(Cell::json).collect::<Vec<_>>()});
        let title = "Processor time per GiB on one connection, in seconds".to_owned();
        let charts = vec![("many", title, groups(&cells, Cell::cpu_seconds_per_gib))];
        self.common
            .keep(&bed, "many", figures, &self.bars(&cells), charts)
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

//! `cargo xtask bench cost`: what a byte costs as the work grows, in size and in number.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{
    bars::Bar,
    report::{Cell, find, table},
    rounds::{Common, groups},
    subject::{Bed, Load, Sink, Subject},
};

/// What to measure.
#[derive(Args)]
pub(crate) struct Cost {
    #[command(flatten)]
    common: Common,
    /// MiB of the one upload
    #[arg(long, value_delimiter = ',', default_values_t = [64, 1024, 4096, 16384])]
    mib: Vec<u64>,
    /// Uploads at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64, 1000])]
    uploads: Vec<u32>,
    /// MiB of the many uploads together
    #[arg(long, default_value_t = 4096)]
    together_mib: u64,
}

impl Cost {
    /// Runs everything, prints table and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let subjects = [Subject::Server, Subject::Bare];
        let bed = Bed::make(&subjects, "copy", &self.common)?;
        let sizes = self.mib.iter().map(|mib| Load {
            bytes: mib << 20,
            ..Load::default()
        });
        let loads = sizes.chain(self.uploads.iter().map(|uploads| self.many(*uploads)));
        let mut cells: Vec<Cell> = Vec::new();
        for load in loads {
            if find(&cells, Subject::Server, Sink::File, load).is_none() {
                cells.extend(subjects.map(|subject| Cell::new(subject, Sink::File, load)));
            }
        }
        self.common.run(&bed, &mut cells)?;
        println!("{}", table(&cells, Subject::Bare));
        let figures = json!({"cells": cells.iter().map(Cell::json).collect::<Vec<_>>()});
        let charts = vec![
            (
                "cost-cpu",
                "Processor time per GiB written to files, in seconds".to_owned(),
                groups(&cells, Cell::cpu_seconds_per_gib),
            ),
            (
                "cost-memory",
                "Peak memory, in MiB".to_owned(),
                groups(&cells, Cell::peak_rss_mib),
            ),
        ];
        let bars = self.bars(&cells);
        self.common.keep(&bed, "cost", figures, &bars, charts)
    }

    fn many(&self, uploads: u32) -> Load {
        Load {
            connections: uploads,
            bytes: (self.together_mib << 20) / u64::from(uploads.max(1)),
            ..Load::default()
        }
    }

    fn bars(&self, cells: &[Cell]) -> Vec<Bar> {
        let figure = |load, of: fn(&Cell) -> f64| {
            find(cells, Subject::Server, Sink::File, load).map_or(f64::NAN, of)
        };
        let mut bars = Vec::new();
        if let (Some(small), Some(large)) = (self.mib.iter().min(), self.mib.iter().max()) {
            let rss = |mib: &u64| {
                let load = Load {
                    bytes: mib << 20,
                    ..Load::default()
                };
                figure(load, Cell::peak_rss_mib)
            };
            let what = format!(
                "one file of {large} MiB: peak RSS over that of one of {small} MiB, in MiB"
            );
            bars.push(Bar::at_most(8.0, what, rss(large) - rss(small)));
        }
        let cpu = |uploads| figure(self.many(uploads), Cell::cpu_seconds_per_gib);
        let most = self.uploads.iter().max().copied().unwrap_or(8);
        let what = format!("{most} uploads: CPU per GiB over that at 8");
        bars.push(Bar::at_most(1.4, what, cpu(most) / cpu(8)));
        bars
    }
}

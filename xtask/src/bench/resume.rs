//! `cargo xtask bench resume`: what it costs that uploads can be resumed, and how long resuming takes.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{
    bars::Bar,
    kept::Kept,
    report::{Cell, find, ratio, table},
    rounds::{Common, groups},
    subject::{Bed, Load, Sink, Subject},
};

/// What to measure.
#[derive(Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    common: Common,
    /// Uploads at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    uploads: Vec<u32>,
    /// MiB of the uploads together
    #[arg(long, default_value_t = 2048)]
    together_mib: u64,
    /// Small uploads of a run
    #[arg(long, default_value_t = 2048)]
    files: u32,
    /// Seconds for which uploads are idle while saves are counted
    #[arg(long, default_value_t = 60.0)]
    idle_seconds: f64,
}

impl Resume {
    /// Runs everything, prints table and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, a run fails, or there is no Redis or no Postgres.
    pub(crate) fn run(&self) -> Result<()> {
        let subjects = [
            Subject::Server,
            Subject::Memory,
            Subject::Embedded,
            Subject::Redis,
            Subject::Postgres,
            Subject::Disk,
        ];
        let needed: Vec<_> = subjects.into_iter().chain(Kept::subjects()).collect();
        let bed = Bed::make(&needed, "copy", &self.common)?;
        let mut cells: Vec<Cell> = Vec::new();
        for load in self.uploads.iter().map(|uploads| self.load(*uploads)) {
            cells.extend(subjects.map(|subject| Cell::new(subject, Sink::File, load)));
        }
        let cut = Load {
            bytes: 64 << 20,
            connections: 8,
            is_cut: true,
            ..Load::default()
        };
        let cut_subjects = [
            Subject::Embedded,
            Subject::Redis,
            Subject::Postgres,
            Subject::Disk,
        ];
        cells.extend(cut_subjects.map(|subject| Cell::new(subject, Sink::File, cut)));
        self.common.run(&bed, &mut cells)?;
        println!("{}", table(&cells, Subject::Server));
        for subject in cut_subjects {
            let ms = find(&cells, subject, Sink::File, cut).map_or(f64::NAN, Cell::resume_ms);
            println!("{subject}: from reconnecting to the first chunk accepted: {ms:.1} ms");
        }
        println!();
        let mut kept = Kept::new(self.files, self.idle_seconds);
        for _ in 0..self.common.rounds {
            kept.round(&bed)?;
        }
        let (of_records, more) = kept.report(&bed)?;
        let figures = json!({
            "cells": cells.iter().map(Cell::json).collect::<Vec<_>>(), "records": of_records,
        });
        let charts = vec![(
            "resume-speed",
            "Throughput with and without resuming, in MiB/s".to_owned(),
            groups(&cells, Cell::mib_per_second),
        )];
        let mut bars = self.bars(&cells);
        bars.extend(more);
        self.common.keep(&bed, "resume", figures, &bars, charts)
    }

    fn load(&self, uploads: u32) -> Load {
        Load {
            connections: uploads,
            bytes: (self.together_mib << 20) / u64::from(uploads.max(1)),
            ..Load::default()
        }
    }

    fn bars(&self, cells: &[Cell]) -> Vec<Bar> {
        let mut bars = Vec::new();
        for uploads in &self.uploads {
            let load = self.load(*uploads);
            let speed = |subjects| ratio(cells, subjects, (Sink::File, load), Cell::mib_per_second);
            for subject in [Subject::Embedded, Subject::Redis, Subject::Postgres] {
                let what = format!("{uploads} uploads, {subject}: throughput over not resumable");
                bars.push(Bar::at_least(0.9, what, speed((subject, Subject::Server))));
                let what = format!("{uploads} uploads, {subject}: throughput over memory");
                bars.push(Bar::at_least(0.9, what, speed((subject, Subject::Memory))));
            }
            if *uploads >= 64 {
                let what = format!("{uploads} uploads, disk: throughput over process durability");
                let measured = speed((Subject::Disk, Subject::Embedded));
                bars.push(Bar::at_least(0.7, what, measured));
            }
        }
        bars
    }
}

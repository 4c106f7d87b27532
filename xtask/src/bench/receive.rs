//! `cargo xtask bench receive`: receiving to nowhere and to files, over few and over many connections.

use std::fs;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{
    report::{Cell, table},
    subject::{Bed, Load, Sink, Subject},
};

/// Sizes whose peak memory is compared: it must not depend on them.
const MEMORY_BYTES: [u64; 2] = [64 << 20, 4 << 30];

/// How the bare loop gathers data for a file.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Gather {
    /// Into one buffer of 256 KiB
    Copy,
    /// One vectored call for 256 KiB
    Vectored,
    /// A call per message
    None,
}

/// What to measure.
#[derive(Args)]
pub(crate) struct Receive {
    /// Connections at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    connections: Vec<u32>,
    /// MiB of a run, shared by its connections
    #[arg(long, default_value_t = 2048)]
    mib: u64,
    /// Bytes of a chunk
    #[arg(long, default_value_t = 65536)]
    chunk: u32,
    /// Rounds, each with every run once
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Measure only the bare sinks
    #[arg(long)]
    bare_only: bool,
    /// How the bare loop gathers data for a file
    #[arg(long, value_enum, default_value_t = Gather::Copy)]
    gather: Gather,
    /// Also compare the peak memory of one upload of 64 MiB and one of 4 GiB
    #[arg(long)]
    memory: bool,
}

impl Receive {
    /// Runs everything, prints the table, and writes the JSON.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let subjects: &[Subject] = if self.bare_only {
            &[Subject::Bare]
        } else {
            &[Subject::Server, Subject::Bare]
        };
        let gather = self
            .gather
            .to_possible_value()
            .context("no gather is hidden")?;
        let bed = Bed::make(subjects, gather.get_name())?;
        let mut cells = self.cells(subjects);
        for round in 1..=self.rounds {
            eprintln!("round {round} of {}", self.rounds);
            for cell in &mut cells {
                let measured = bed
                    .run(cell.subject, cell.sink, cell.load)
                    .with_context(|| {
                        format!(
                            "{} {} with {} connections",
                            cell.subject, cell.sink, cell.load.connections
                        )
                    })?;
                cell.runs.push(measured);
            }
        }
        println!("{}", table(&cells));
        if self.memory {
            println!("{}", self.memory_line(&cells, subjects[0]));
        }
        let path = bed.folder().join("receive.json");
        let cells: Vec<_> = cells.iter().map(Cell::json).collect();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let json =
            json!({"bench": "receive", "rounds": self.rounds, "cores": cores, "cells": cells});
        fs::write(&path, serde_json::to_string_pretty(&json)?)?;
        println!("{}", path.display());
        Ok(())
    }

    /// Says how much more memory the larger of the two files took.
    fn memory_line(&self, cells: &[Cell], subject: Subject) -> String {
        let peak = |bytes| {
            let load = self.alone(bytes);
            let of = |cell: &&Cell| {
                cell.subject == subject && cell.sink == Sink::File && cell.load == load
            };
            cells.iter().find(of).map_or(f64::NAN, Cell::peak_rss_mib)
        };
        let [small, large] = MEMORY_BYTES.map(peak);
        let more = large - small;
        format!(
            "{subject}: peak RSS of one 4 GiB upload is {more:.1} MiB over that of one of 64 MiB\n"
        )
    }

    fn alone(&self, bytes: u64) -> Load {
        Load {
            connections: 1,
            bytes,
            chunk: self.chunk,
        }
    }

    fn cells(&self, subjects: &[Subject]) -> Vec<Cell> {
        let share = |connections: &u32| Load {
            connections: *connections,
            bytes: (self.mib << 20) / u64::from((*connections).max(1)),
            chunk: self.chunk,
        };
        let mut loads: Vec<_> = [Sink::Discard, Sink::File]
            .into_iter()
            .flat_map(|sink| {
                self.connections
                    .iter()
                    .map(move |connections| (sink, share(connections)))
            })
            .collect();
        if self.memory {
            loads.extend(MEMORY_BYTES.map(|bytes| (Sink::File, self.alone(bytes))));
        }
        let both = loads.into_iter().flat_map(|(sink, load)| {
            subjects.iter().map(move |subject| Cell {
                subject: *subject,
                sink,
                load,
                runs: Vec::new(),
            })
        });
        both.collect()
    }
}

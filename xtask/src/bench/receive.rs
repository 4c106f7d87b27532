//! `cargo xtask bench receive`: receiving to nowhere and to files, over few and over many connections.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{
    against,
    bars::Bar,
    door::Door,
    machine,
    report::{Cell, find, ratio, table},
    rounds::{Common, groups},
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
    #[command(flatten)]
    common: Common,
    /// Connections at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64, 512])]
    connections: Vec<u32>,
    /// MiB of a run to nowhere, shared by its connections
    #[arg(long, default_value_t = 2048)]
    mib: u64,
    /// MiB of a run to files; few enough for memory that is at hand
    #[arg(long, default_value_t = 512)]
    file_mib: u64,
    /// Bytes of a chunk
    #[arg(long, default_value_t = 65536)]
    chunk: u32,
    /// Bytes of the chunks that are measured with 8 connections only
    #[arg(long, value_delimiter = ',', default_values_t = [4096, 1 << 20])]
    other_chunks: Vec<u32>,
    /// Measure only the bare sinks
    #[arg(long)]
    bare_only: bool,
    /// How the bare loop gathers data for a file
    #[arg(long, value_enum, default_value_t = Gather::Copy)]
    gather: Gather,
    /// Also compare the peak memory of one upload of 64 MiB and one of 4 GiB
    #[arg(long)]
    memory: bool,
    /// Measure only the server, in turns with that of this revision, until the ratio is known to 3 %
    #[arg(long, value_name = "REV", conflicts_with_all = ["bare_only", "memory"])]
    against: Option<String>,
    /// Measure files by these HTTP requests instead, compared with a bare sink of hyper and the socket; with up to 64 connections
    #[arg(long, value_enum, conflicts_with_all = ["against", "bare_only", "memory"])]
    door: Option<Door>,
}

impl Receive {
    /// Runs everything, prints table and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        if let Some(revision) = &self.against {
            return against::run(&self.common, revision, self.loads().collect());
        }
        if let Some(door) = self.door {
            let few = self.connections.iter().copied().filter(|few| *few <= 64);
            let few: Vec<_> = few.collect();
            return door.run(&self.common, &few, self.file_mib);
        }
        let subjects: &[Subject] = if self.bare_only {
            &[Subject::Bare, Subject::BareSynced]
        } else {
            &[
                Subject::Server,
                Subject::NoChecksum,
                Subject::Bare,
                Subject::BareSynced,
            ]
        };
        let gather = self.gather.to_possible_value();
        let gather = gather.context("no gather is hidden")?;
        let bed = Bed::make(subjects, gather.get_name(), &self.common)?;
        let mut cells = self.cells(subjects);
        self.common.run(&bed, &mut cells)?;
        println!("{}", table(&cells, Subject::Bare));
        // A file that is said to be complete is on the disk, so no server that says so is quicker than that.
        let disk = if self.common.smoke {
            None
        } else {
            machine::disk_mib_per_second(bed.folder())?
        };
        if let Some(disk) = disk {
            println!("the disk by itself, past the page cache: {disk:.0} MiB/s\n");
        }
        let bars = if self.bare_only {
            Vec::new()
        } else {
            self.bars(&cells, disk)
        };
        let figures = json!({
            "cells": cells.iter().map(Cell::json).collect::<Vec<_>>(),
            "disk_mib_per_second": disk,
        });
        let charts = vec![
            (
                "receive-cpu",
                "Processor time per GiB received, in seconds".to_owned(),
                groups(&cells, Cell::cpu_seconds_per_gib),
            ),
            (
                "receive-speed",
                "Throughput, in MiB/s".to_owned(),
                groups(&cells, Cell::mib_per_second),
            ),
        ];
        self.common.keep(&bed, "receive", figures, &bars, charts)
    }

    fn bars(&self, cells: &[Cell], disk: Option<f64>) -> Vec<Bar> {
        let mut bars = Vec::new();
        for (sink, load) in self.loads().filter(|(_, load)| load.chunk == self.chunk) {
            let n = load.connections;
            let over = |subject, base, figure| ratio(cells, (subject, base), (sink, load), figure);
            let over_bare = |subject, figure| over(subject, Subject::Bare, figure);
            let cpu = |subject| over_bare(subject, Cell::cpu_seconds_per_gib);
            if sink == Sink::Discard {
                let what = format!("discard, {n} connections: CPU per GiB over the bare sink");
                bars.push(Bar::at_most(1.5, &what, cpu(Subject::Server)));
                let what = format!("{what}, without CRC");
                bars.push(Bar::at_most(1.25, what, cpu(Subject::NoChecksum)));
            } else {
                let what = format!("file, {n} connections: CPU per GiB over the bare loop");
                bars.push(Bar::at_most(1.3, what, cpu(Subject::Server)));
                let what = format!("file, {n} connections: throughput over the bare loop");
                let speed = over_bare(Subject::Server, Cell::mib_per_second);
                bars.push(Bar::at_least(0.8, what, speed));
                // The server syncs a file before it says that it is complete (PROTOCOL COMPLETE-3).
                let synced = |figure| over(Subject::Server, Subject::BareSynced, figure);
                let what = format!("file, {n} connections: CPU per GiB over the loop that syncs");
                bars.push(Bar::at_most(1.3, what, synced(Cell::cpu_seconds_per_gib)));
                let what = format!("file, {n} connections: throughput over the loop that syncs");
                bars.push(Bar::at_least(0.8, what, synced(Cell::mib_per_second)));
                let speed = |subject| find(cells, subject, sink, load).map(Cell::mib_per_second);
                let speeds = [Subject::Server, Subject::Bare].map(speed);
                if let ([Some(server), Some(bare)], Some(disk)) = (speeds, disk) {
                    let what = format!(
                        "file, {n} connections: throughput over the slower of bare loop and disk"
                    );
                    bars.push(Bar::at_least(0.8, what, server / bare.min(disk)));
                }
            }
            let limit = match (sink, n) {
                (Sink::File, 1) => 24.0,
                (Sink::File, 64) => 64.0,
                _ => continue,
            };
            let rss = find(cells, Subject::Server, sink, load).map_or(f64::NAN, Cell::peak_rss_mib);
            let what = format!("file, {n} connections: peak RSS in MiB");
            bars.push(Bar::at_most(limit, what, rss));
        }
        if self.memory {
            let peak = |bytes| {
                let cell = find(cells, Subject::Server, Sink::File, alone(bytes));
                cell.map_or(f64::NAN, Cell::peak_rss_mib)
            };
            let [small, large] = MEMORY_BYTES.map(peak);
            let what = "one file of 4 GiB: peak RSS over that of one of 64 MiB, in MiB";
            bars.push(Bar::at_most(8.0, what, large - small));
        }
        bars
    }

    fn loads(&self) -> impl Iterator<Item = (Sink, Load)> {
        let one_size = self.connections.iter().map(|number| (*number, self.chunk));
        let other_sizes = self.other_chunks.iter().map(|chunk| (8, *chunk));
        let shapes: Vec<_> = one_size.chain(other_sizes).collect();
        let sinks = [Sink::Discard, Sink::File].into_iter();
        sinks.flat_map(move |sink| {
            let mib = match sink {
                Sink::Discard => self.mib,
                Sink::File => self.file_mib,
            };
            shapes.clone().into_iter().map(move |(connections, chunk)| {
                let load = Load {
                    connections,
                    bytes: (mib << 20) / u64::from(connections.max(1)),
                    chunk,
                    ..Load::default()
                };
                (sink, load)
            })
        })
    }

    fn cells(&self, subjects: &[Subject]) -> Vec<Cell> {
        let mut loads: Vec<_> = self.loads().collect();
        if self.memory {
            loads.extend(MEMORY_BYTES.map(|bytes| (Sink::File, alone(bytes))));
        }
        let cells = loads.into_iter().flat_map(|(sink, load)| {
            let subjects = subjects.iter();
            // There is nothing to sync where there is no file.
            let subjects = subjects
                .filter(move |subject| sink == Sink::File || **subject != Subject::BareSynced);
            subjects.map(move |subject| Cell::new(*subject, sink, load))
        });
        cells.collect()
    }
}

fn alone(bytes: u64) -> Load {
    Load {
        bytes,
        ..Load::default()
    }
}

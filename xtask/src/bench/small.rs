//! `cargo xtask bench small`: many small files, where the way to the disk is all there is.
//!
//! Next to the server runs a bare loop that makes, syncs in groups and renames the same files.
//! A group has as many files as the server has in flight, so no server that keeps its promises to the disk is quicker.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{
    bars::Bar,
    next_to,
    report::{Cell, median},
    rounds::{Common, Groups},
    subject::{Bed, Load, Sink, Subject},
};

/// Files a second in times of one sync, over one connection and over many.
const PER_SYNC: [f64; 2] = [12.0, 24.0];
/// What of the bare loop's files a second is enough in any case.
const OF_BARE: f64 = 0.8;
/// The median receipt next to a large file, over that of another build.
const RECEIPT_MAX: f64 = 2.0;
/// The large file.
const LARGE_BYTES: u64 = 1 << 30;

/// What to measure.
#[derive(Args)]
pub(crate) struct Small {
    #[command(flatten)]
    common: Common,
    /// Connections at once: one, and many
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32])]
    connections: Vec<u32>,
    /// Files of a run, over all connections
    #[arg(long, default_value_t = 4096)]
    files: u32,
    /// Files in flight at a time: on the one connection, and on each of many
    #[arg(long, value_delimiter = ',', default_values_t = [64, 16])]
    in_flight: Vec<u32>,
    /// Bytes of a file
    #[arg(long, default_value_t = 4096)]
    bytes: u64,
    /// The program of another build of the server, whose receipts next to a large file are compared
    #[arg(long)]
    against: Option<PathBuf>,
}

/// What the bare loop gives.
#[derive(Clone, Copy, Deserialize)]
struct Bare {
    files_per_second: f64,
    sync_ms: f64,
}

/// The runs over so many connections.
struct Row {
    load: Load,
    /// Times of one sync that files are to take.
    per_sync: f64,
    bare: Vec<Bare>,
    cells: [Cell; 2],
}

impl Row {
    fn bare(&self) -> f64 {
        median(self.bare.iter().map(|run| run.files_per_second))
    }

    fn sync_ms(&self) -> f64 {
        median(self.bare.iter().map(|run| run.sync_ms))
    }

    /// Files a second that are enough.
    fn goal(&self) -> f64 {
        (self.per_sync * 1e3 / self.sync_ms()).min(OF_BARE * self.bare())
    }
}

impl Small {
    /// Runs everything, prints tables and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let subjects = [Subject::Server, Subject::Embedded];
        let bed = Bed::make(&subjects, "copy", &self.common)?;
        let then = self.against.as_ref();
        let then = then.map(|server| bed.with_server(server.clone()));
        let then = then.transpose()?;
        let loads = self.connections.iter().zip(&self.in_flight);
        let mut rows: Vec<_> = loads
            .zip(PER_SYNC)
            .map(|((connections, in_flight), per_sync)| {
                let load = Load {
                    connections: *connections,
                    files: (self.files / connections.max(&1)).max(1),
                    in_flight: *in_flight,
                    bytes: self.bytes,
                    ..Load::default()
                };
                let cells = subjects.map(|subject| Cell::new(subject, Sink::File, load));
                Row {
                    load,
                    per_sync,
                    bare: Vec::new(),
                    cells,
                }
            })
            .collect();
        let (mut receipts, mut receipts_then) = (Vec::new(), Vec::new());
        for round in 1..=self.common.rounds {
            eprintln!("round {round} of {}", self.common.rounds);
            for row in &mut rows {
                row.bare.push(self.bare(&bed, row.load)?);
                for cell in &mut row.cells {
                    let measured = bed.run(cell.subject, cell.sink, cell.load);
                    cell.runs.push(measured.with_context(|| cell.name())?);
                }
            }
            receipts.push(self.next_to_large(&bed)?);
            if let Some(then) = &then {
                receipts_then.push(self.next_to_large(then)?);
            }
        }
        self.report(&bed, &rows, &receipts, &receipts_then)
    }

    fn report(&self, bed: &Bed, rows: &[Row], now: &[f64], then: &[f64]) -> Result<()> {
        let mut groups: Groups = Vec::new();
        let (mut bars, mut figures) = (Vec::new(), Vec::new());
        println!(
            "{:>6}{:>10}{:>10}{:>10}{:>13}{:>12}",
            "conns", "in flight", "subject", "files/s", "CPU ms/file", "receipt ms"
        );
        for row in rows {
            let load = row.load;
            let (conns, all) = (load.connections, load.connections * load.in_flight);
            println!("{conns:>6}{all:>10}{:>10}{:>10.0}", "bare", row.bare());
            let mut group = vec![("bare".to_owned(), row.bare())];
            for cell in &row.cells {
                let (per_second, cpu_ms) = (self.per_second(cell), self.cpu_ms(cell));
                println!(
                    "{conns:>6}{all:>10}{:>10}{per_second:>10.0}{cpu_ms:>13.2}{:>12.1}",
                    cell.subject,
                    cell.receipt_ms()
                );
                group.push((cell.subject.to_string(), per_second));
                figures.push(json!({
                    "subject": cell.subject.to_string(), "connections": conns, "in_flight": all,
                    "files_per_second": per_second, "cpu_ms_per_file": cpu_ms,
                    "receipt_ms": cell.receipt_ms(), "sync_ms": row.sync_ms(), "bare": row.bare(),
                }));
            }
            let [server, _] = &row.cells;
            let what = format!(
                "{conns} connections: files/s; the least of {}/s, s = {:.2} ms, and {OF_BARE} of the bare loop",
                row.per_sync,
                row.sync_ms()
            );
            let measured = self.per_second(server);
            bars.push(Bar::at_least(row.goal().round(), what, measured.round()));
            groups.push((format!("{conns} connections"), group));
        }
        let now = median(now.iter().copied());
        println!("next to a file of 1 GiB: median receipt {now:.1} ms\n");
        if !then.is_empty() {
            let then = median(then.iter().copied());
            let what = format!("next to a file of 1 GiB: median receipt over {then:.1} ms then");
            bars.push(Bar::at_most(RECEIPT_MAX, what, now / then));
        }
        let figures =
            json!({"bytes": self.bytes, "cells": figures, "receipt_ms_next_to_large": now});
        let title = format!("Files of {} bytes per second", self.bytes);
        self.common
            .keep(bed, "small", figures, &bars, vec![("small", title, groups)])
    }

    /// Runs the bare loop with as many files in a group as are in flight.
    fn bare(&self, bed: &Bed, load: Load) -> Result<Bare> {
        let output = Command::new(bed.program("probe"))
            .args(["--address", "-", "--slot", "-", "files", "--folder"])
            .arg(bed.folder().join("bare"))
            .args(["--files", &(load.files * load.connections).to_string()])
            .args(["--group", &(load.in_flight * load.connections).to_string()])
            .args(["--bytes", &self.bytes.to_string()])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start the probe")?;
        bed.put_aside("bare");
        ensure!(output.status.success(), "the bare loop failed");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Returns the median receipt of small files, one after the other, while a large one is written.
    fn next_to_large(&self, bed: &Bed) -> Result<f64> {
        let bytes = if self.common.smoke {
            8 << 20
        } else {
            LARGE_BYTES
        };
        next_to::receipt_ms(bed, self.bytes, bytes)
    }

    fn per_second(&self, cell: &Cell) -> f64 {
        cell.mib_per_second() * f64::from(1 << 20) / self.bytes as f64
    }

    fn cpu_ms(&self, cell: &Cell) -> f64 {
        cell.cpu_seconds_per_gib() * 1e3 * self.bytes as f64 / f64::from(1 << 30)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_the_least_of_syncs_and_the_bare_loop() {
        let goal = |files_per_second| {
            let bare = Bare {
                files_per_second,
                sync_ms: 4.0,
            };
            let load = Load::default();
            let cells = [Subject::Server, Subject::Embedded]
                .map(|subject| Cell::new(subject, Sink::File, load));
            let row = Row {
                load,
                per_sync: 12.0,
                bare: vec![bare],
                cells,
            };
            row.goal()
        };
        assert_eq!(goal(10_000.0), 3_000.0);
        assert_eq!(goal(1_000.0), 800.0);
    }
}

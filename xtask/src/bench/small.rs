//! `cargo xtask bench small`: many small files, where the way to the disk is all there is.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{
    report::Cell,
    rounds::{Common, Groups},
    subject::{Bed, Load, Sink, Subject},
};

/// What to measure.
#[derive(Args)]
pub(crate) struct Small {
    #[command(flatten)]
    common: Common,
    /// Connections at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    connections: Vec<u32>,
    /// Files of each connection, one after the other
    #[arg(long, default_value_t = 100)]
    files: u32,
    /// Bytes of a file
    #[arg(long, default_value_t = 4096)]
    bytes: u64,
}

impl Small {
    /// Runs everything, prints the table, and keeps it.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let subjects = [Subject::Server, Subject::Embedded];
        let bed = Bed::make(&subjects, "copy", &self.common)?;
        let mut cells = Vec::new();
        for (sink, connections) in self.loads() {
            let load = Load {
                connections,
                files: self.files,
                bytes: self.bytes,
                ..Load::default()
            };
            cells.extend(subjects.map(|subject| Cell::new(subject, sink, load)));
        }
        self.common.run(&bed, &mut cells)?;
        let mut groups: Groups = Vec::new();
        println!(
            "{:<9}{:>6}{:>10}{:>10}{:>13}",
            "sink", "conns", "subject", "files/s", "CPU ms/file"
        );
        for cell in &cells {
            println!(
                "{:<9}{:>6}{:>10}{:>10.0}{:>13.2}",
                cell.sink,
                cell.load.connections,
                cell.subject,
                self.per_second(cell),
                self.cpu_ms(cell)
            );
            let name = format!("{}, {} connections", cell.sink, cell.load.connections);
            let bar = (cell.subject.to_string(), self.per_second(cell));
            match groups.last_mut() {
                Some((last, bars)) if *last == name => bars.push(bar),
                _ => groups.push((name, vec![bar])),
            }
        }
        let figures = cells.iter().map(|cell| {
            json!({
                "sink": cell.sink.to_string(), "subject": cell.subject.to_string(),
                "connections": cell.load.connections, "files_per_second": self.per_second(cell),
                "cpu_ms_per_file": self.cpu_ms(cell),
            })
        });
        let figures = json!({"bytes": self.bytes, "cells": figures.collect::<Vec<_>>()});
        let title = format!("Files of {} bytes per second", self.bytes);
        self.common
            .keep(&bed, "small", figures, &[], vec![("small", title, groups)])
    }

    /// A discarded file shows what all but the disk costs.
    fn loads(&self) -> impl Iterator<Item = (Sink, u32)> {
        let sinks = [Sink::Discard, Sink::File].into_iter();
        sinks.flat_map(|sink| self.connections.iter().map(move |number| (sink, *number)))
    }

    fn per_second(&self, cell: &Cell) -> f64 {
        cell.mib_per_second() * f64::from(1 << 20) / self.bytes as f64
    }

    fn cpu_ms(&self, cell: &Cell) -> f64 {
        cell.cpu_seconds_per_gib() * 1e3 * self.bytes as f64 / f64::from(1 << 30)
    }
}

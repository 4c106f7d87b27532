//! `cargo xtask bench receive --door`: files by HTTP requests, compared with a bare sink of hyper that syncs, and
//! with the socket.

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use super::{
    bars::Bar,
    report::{Cell, find},
    rounds::Common,
    subject::{Bed, Load, Sink, Spoken, Subject},
};

/// Bytes of a PATCH that is not the whole file.
const PIECE_BYTES: u64 = 1 << 20;
/// The most processor time over the sink's: for the whole file in one request, and for pieces of it.
const WHOLE: f64 = 1.3;
const PIECES: f64 = 2.0;
/// The most peak memory over that of the same bytes over the socket, in MiB.
const MEMORY_MIB: f64 = 8.0;

/// Which requests bring the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Door {
    /// tus: one PATCH of the whole file, and PATCHes of 1 MiB
    Tus,
    /// One POST, whose body is the file
    Plain,
}

impl Door {
    /// Measures every load, prints table and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(self, common: &Common, connections: &[u32], mib: u64) -> Result<()> {
        let bed = Bed::make(self.subjects(), "copy", common)?;
        let loads = self.loads(connections, mib);
        let mut cells = Vec::new();
        for load in &loads {
            let subjects = self.subjects().iter().copied();
            let takes_it = |subject: &Subject| match load.spoken {
                Spoken::Socket => *subject == Subject::Server,
                _ => true,
            };
            cells.extend(
                subjects
                    .filter(takes_it)
                    .map(|subject| Cell::new(subject, Sink::File, *load)),
            );
        }
        common.run(&bed, &mut cells)?;
        println!("{}", table(&cells));
        let bars = self.bars(&cells, &loads);
        let figures = json!({"cells": cells.iter().map(Cell::json).collect::<Vec<_>>()});
        let name = match self {
            Self::Tus => "receive-tus",
            Self::Plain => "receive-plain",
        };
        common.keep(&bed, name, figures, &bars, Vec::new())
    }

    /// A plain upload cannot be resumed, so there is no record to keep.
    fn subjects(self) -> &'static [Subject] {
        match self {
            Self::Tus => &[Subject::Server, Subject::Embedded, Subject::Bodies],
            Self::Plain => &[Subject::Server, Subject::Bodies],
        }
    }

    /// Returns the loads: for each number of connections the whole file at once, pieces, and over the socket.
    fn loads(self, connections: &[u32], mib: u64) -> Vec<Load> {
        let spoken = match self {
            Self::Tus => &[
                Spoken::Tus { piece: u64::MAX },
                Spoken::Tus { piece: PIECE_BYTES },
                Spoken::Socket,
            ][..],
            Self::Plain => &[Spoken::Plain, Spoken::Socket],
        };
        let load = |number: u32, spoken| Load {
            connections: number,
            bytes: (mib << 20) / u64::from(number.max(1)),
            spoken,
            ..Load::default()
        };
        let of = |number: &u32| {
            let number = *number;
            spoken.iter().map(move |spoken| load(number, *spoken))
        };
        connections.iter().flat_map(of).collect()
    }

    /// The sink that a load is held against takes the whole file in one request.
    fn bars(self, cells: &[Cell], loads: &[Load]) -> Vec<Bar> {
        let mut bars = Vec::new();
        let figure = |subject, load, of: fn(&Cell) -> f64| {
            find(cells, subject, Sink::File, load).map_or(f64::NAN, of)
        };
        for load in loads.iter().filter(|load| load.spoken != Spoken::Socket) {
            let n = load.connections;
            let (limit, whole) = match load.spoken {
                Spoken::Tus { piece } if piece < load.bytes => {
                    let piece = u64::MAX;
                    (PIECES, Spoken::Tus { piece })
                }
                whole => (WHOLE, whole),
            };
            let base = Load {
                spoken: whole,
                ..*load
            };
            let base = figure(Subject::Bodies, base, Cell::cpu_seconds_per_gib);
            let socket = Load {
                spoken: Spoken::Socket,
                ..*load
            };
            let socket = figure(Subject::Server, socket, Cell::peak_rss_mib);
            let subjects = self.subjects().iter().copied();
            for subject in subjects.filter(|subject| *subject != Subject::Bodies) {
                let who = format!("{}, {n} connections, {subject}", load.spoken);
                let cpu = figure(subject, *load, Cell::cpu_seconds_per_gib);
                let what = format!("{who}: CPU per GiB over the sink that takes it in one request");
                bars.push(Bar::at_most(limit, what, cpu / base));
                let rss = figure(subject, *load, Cell::peak_rss_mib);
                let what = format!("{who}: peak RSS over that of the socket, in MiB");
                bars.push(Bar::at_most(MEMORY_MIB, what, rss - socket));
            }
        }
        bars
    }
}

/// Returns a row per cell, and how it compares with the sink under the same load.
fn table(cells: &[Cell]) -> String {
    let mut table = format!(
        "{:<12}{:>6}{:>10}{:>10}{:>8}{:>11}{:>9}{:>15}\n",
        "requests",
        "conns",
        "file MiB",
        "subject",
        "MiB/s",
        "CPU s/GiB",
        "RSS MiB",
        "CPU, same load"
    );
    for cell in cells {
        let base = find(cells, Subject::Bodies, cell.sink, cell.load);
        let ratio = match base {
            Some(base) if cell.subject != Subject::Bodies => {
                format!(
                    "x{:.2}",
                    cell.cpu_seconds_per_gib() / base.cpu_seconds_per_gib()
                )
            }
            _ => String::new(),
        };
        table += &format!(
            "{:<12}{:>6}{:>10.1}{:>10}{:>8.0}{:>11.3}{:>9.1}{ratio:>15}\n",
            cell.load.spoken,
            cell.load.connections,
            cell.load.bytes as f64 / f64::from(1 << 20),
            cell.subject,
            cell.mib_per_second(),
            cell.cpu_seconds_per_gib(),
            cell.peak_rss_mib(),
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::subject::Measured;

    #[test]
    fn pieces_are_held_against_the_whole_file_at_once() {
        let loads = Door::Tus.loads(&[1], 8);
        let cell = |subject, load: Load, cpu, rss| {
            let mut cell = Cell::new(subject, Sink::File, load);
            cell.runs.push(Measured {
                mib_per_second: 1.0,
                cpu_seconds_per_gib: cpu,
                peak_rss_mib: rss,
                resume_ms: Vec::new(),
                receipt_ms: None,
            });
            cell
        };
        let [whole, pieces, socket] = loads[..] else {
            panic!("three loads: {loads:?}");
        };
        let cells = [
            cell(Subject::Server, whole, 1.2, 9.0),
            cell(Subject::Embedded, whole, 1.4, 9.0),
            cell(Subject::Bodies, whole, 1.0, 1.0),
            cell(Subject::Server, pieces, 1.9, 19.0),
            cell(Subject::Embedded, pieces, 2.1, 9.0),
            cell(Subject::Bodies, pieces, 9.0, 1.0),
            cell(Subject::Server, socket, 1.0, 10.0),
        ];
        let bars = Door::Tus.bars(&cells, &loads);
        let met: Vec<_> = bars
            .iter()
            .map(|bar| bar.json()["is_met"] == true)
            .collect();
        assert_eq!(met, [true, true, false, true, true, false, false, true]);
        assert_eq!(table(&cells).matches("x0.21").count(), 1);
    }
}

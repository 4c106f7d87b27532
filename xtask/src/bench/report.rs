//! Medians, the table people read, and the JSON that programs read.

use serde_json::{Value, json};

use super::subject::{Load, Measured, Sink, Subject};

/// All runs of one subject under one load.
pub(crate) struct Cell {
    /// Who received.
    pub(crate) subject: Subject,
    /// Where the bytes went.
    pub(crate) sink: Sink,
    /// How much was sent.
    pub(crate) load: Load,
    /// What each run gave.
    pub(crate) runs: Vec<Measured>,
}

impl Cell {
    /// Makes a cell that was not run yet.
    pub(crate) fn new(subject: Subject, sink: Sink, load: Load) -> Self {
        Self {
            subject,
            sink,
            load,
            runs: Vec::new(),
        }
    }

    /// Returns the median throughput in MiB/s.
    pub(crate) fn mib_per_second(&self) -> f64 {
        median(self.runs.iter().map(|run| run.mib_per_second))
    }

    /// Returns the median processor time in seconds per GiB.
    pub(crate) fn cpu_seconds_per_gib(&self) -> f64 {
        median(self.runs.iter().map(|run| run.cpu_seconds_per_gib))
    }

    /// Returns the median of the most memory held, in MiB.
    pub(crate) fn peak_rss_mib(&self) -> f64 {
        median(self.runs.iter().map(|run| run.peak_rss_mib))
    }

    /// Returns the middle of all times from a cut to more bytes accepted, in milliseconds.
    pub(crate) fn resume_ms(&self) -> f64 {
        median(
            self.runs
                .iter()
                .flat_map(|run| run.resume_ms.iter().copied()),
        )
    }

    /// Returns the median of the middle times from registering a file to its receipt, in milliseconds.
    pub(crate) fn receipt_ms(&self) -> f64 {
        median(self.runs.iter().filter_map(|run| run.receipt_ms))
    }

    /// Returns what the cell is, for an error.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.subject, self.group())
    }

    /// Returns what cells that are compared with each other have in common.
    pub(crate) fn group(&self) -> String {
        let size = match self.load.bytes {
            bytes if bytes >= 1 << 30 => format!("{:.3} GiB", bytes as f64 / f64::from(1 << 30)),
            bytes => format!("{:.4} MiB", bytes as f64 / f64::from(1 << 20)),
        };
        let (number, unit) = size.split_once(' ').unwrap_or((&size, ""));
        let number = number.trim_end_matches('0').trim_end_matches('.');
        format!(
            "{}, {} × {number} {unit}, {} KiB",
            self.sink,
            self.load.connections * self.load.uploads,
            self.load.chunk >> 10
        )
    }

    /// Returns the cell as JSON, with every run.
    pub(crate) fn json(&self) -> Value {
        let runs = self.runs.iter().map(|run| {
            json!({
                "mib_per_second": run.mib_per_second,
                "cpu_seconds_per_gib": run.cpu_seconds_per_gib,
                "peak_rss_mib": run.peak_rss_mib,
                "resume_ms": run.resume_ms,
            })
        });
        json!({
            "subject": self.subject.to_string(),
            "spoken": self.load.spoken.to_string(),
            "sink": self.sink.to_string(),
            "connections": self.load.connections,
            "uploads_per_connection": self.load.uploads,
            "bytes_per_upload": self.load.bytes,
            "chunk_bytes": self.load.chunk,
            "mib_per_second": self.mib_per_second(),
            "cpu_seconds_per_gib": self.cpu_seconds_per_gib(),
            "peak_rss_mib": self.peak_rss_mib(),
            "runs": runs.collect::<Vec<_>>(),
        })
    }
}

/// Finds a cell.
pub(crate) fn find(cells: &[Cell], subject: Subject, sink: Sink, load: Load) -> Option<&Cell> {
    let is_it = |cell: &&Cell| cell.subject == subject && cell.sink == sink && cell.load == load;
    cells.iter().find(is_it)
}

/// Returns a figure of one subject over that of another under the same load; not a number where one is missing.
pub(crate) fn ratio(
    cells: &[Cell],
    (subject, base): (Subject, Subject),
    (sink, load): (Sink, Load),
    figure: fn(&Cell) -> f64,
) -> f64 {
    let of = |subject| find(cells, subject, sink, load).map_or(f64::NAN, figure);
    of(subject) / of(base)
}

/// Returns the table: a row per cell, and its ratio to `base` under the same load.
pub(crate) fn table(cells: &[Cell], base: Subject) -> String {
    let mut table = format!(
        "{:<9}{:>6}{:>9}{:>10}{:>7}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}\n",
        "sink",
        "conns",
        "uploads",
        "file MiB",
        "KiB",
        "subject",
        "MiB/s",
        "CPU s/GiB",
        "RSS MiB",
        "speed",
        "CPU"
    );
    for cell in cells {
        let base = find(cells, base, cell.sink, cell.load);
        let ratio = |of: fn(&Cell) -> f64| match base {
            Some(base) if cell.subject != base.subject => format!("x{:.2}", of(cell) / of(base)),
            _ => String::new(),
        };
        table += &format!(
            "{:<9}{:>6}{:>9}{:>10.1}{:>7}{:>10}{:>10.0}{:>12.3}{:>10.1}{:>10}{:>10}\n",
            cell.sink,
            cell.load.connections,
            cell.load.uploads,
            cell.load.bytes as f64 / f64::from(1 << 20),
            cell.load.chunk >> 10,
            cell.subject,
            cell.mib_per_second(),
            cell.cpu_seconds_per_gib(),
            cell.peak_rss_mib(),
            ratio(Cell::mib_per_second),
            ratio(Cell::cpu_seconds_per_gib),
        );
    }
    table
}

/// Returns the middle value, or the mean of the two in the middle; not a number for no values.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (
        values.get(middle),
        middle.checked_sub(1).and_then(|below| values.get(below)),
    ) {
        (Some(above), Some(below)) if values.len().is_multiple_of(2) => {
            f64::midpoint(*above, *below)
        }
        (Some(value), _) => *value,
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(subject: Subject, cpu: &[f64]) -> Cell {
        let load = Load {
            bytes: 1 << 20,
            ..Load::default()
        };
        let run = |cpu: &f64| Measured {
            mib_per_second: 100.0,
            cpu_seconds_per_gib: *cpu,
            peak_rss_mib: 1.0,
            resume_ms: Vec::new(),
            receipt_ms: None,
        };
        Cell {
            subject,
            sink: Sink::File,
            load,
            runs: cpu.iter().map(run).collect(),
        }
    }

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn a_row_stands_beside_its_bare_sink() {
        let cells = [
            cell(Subject::Server, &[0.9, 0.3, 0.6]),
            cell(Subject::Bare, &[0.4, 0.4]),
        ];
        let table = table(&cells, Subject::Bare);
        assert_eq!(table.matches("x1.50").count(), 1);
        assert_eq!(table.matches("x1.00").count(), 1);
        assert_eq!(cells[0].json()["runs"].as_array().map(Vec::len), Some(3));
    }
}

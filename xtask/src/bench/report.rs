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

    /// Returns the cell as JSON, with every run.
    pub(crate) fn json(&self) -> Value {
        let runs = self.runs.iter().map(|run| {
            json!({
                "mib_per_second": run.mib_per_second,
                "cpu_seconds_per_gib": run.cpu_seconds_per_gib,
                "peak_rss_mib": run.peak_rss_mib,
            })
        });
        json!({
            "subject": self.subject.to_string(),
            "sink": self.sink.to_string(),
            "connections": self.load.connections,
            "bytes_per_connection": self.load.bytes,
            "chunk_bytes": self.load.chunk,
            "mib_per_second": self.mib_per_second(),
            "cpu_seconds_per_gib": self.cpu_seconds_per_gib(),
            "peak_rss_mib": self.peak_rss_mib(),
            "runs": runs.collect::<Vec<_>>(),
        })
    }
}

/// Returns the table: a row per cell, and how it stands to the bare sink under the same load.
pub(crate) fn table(cells: &[Cell]) -> String {
    let mut table = format!(
        "{:<9}{:>6}{:>10}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}\n",
        "sink", "conns", "file MiB", "subject", "MiB/s", "CPU s/GiB", "RSS MiB", "speed", "CPU"
    );
    for cell in cells {
        let bare = cells.iter().find(|other| {
            other.subject == Subject::Bare && other.sink == cell.sink && other.load == cell.load
        });
        let ratio = |of: fn(&Cell) -> f64| match bare {
            Some(bare) if cell.subject != Subject::Bare => format!("x{:.2}", of(cell) / of(bare)),
            _ => String::new(),
        };
        table += &format!(
            "{:<9}{:>6}{:>10}{:>10}{:>10.0}{:>12.3}{:>10.1}{:>10}{:>10}\n",
            cell.sink,
            cell.load.connections,
            cell.load.bytes >> 20,
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
fn median(values: impl Iterator<Item = f64>) -> f64 {
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
            connections: 1,
            bytes: 1 << 20,
            chunk: 1,
        };
        let run = |cpu: &f64| Measured {
            mib_per_second: 100.0,
            cpu_seconds_per_gib: *cpu,
            peak_rss_mib: 1.0,
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
        let table = table(&cells);
        assert_eq!(table.matches("x1.50").count(), 1);
        assert_eq!(table.matches("x1.00").count(), 1);
        assert_eq!(cells[0].json()["runs"].as_array().map(Vec::len), Some(3));
    }
}

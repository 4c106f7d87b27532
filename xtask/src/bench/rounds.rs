//! What all benches share: their options, the rounds, and what is kept of a run.

use std::{env, fs};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use super::{
    bars::{self, Bar},
    plot::Chart,
    report::Cell,
    subject::Bed,
};
use crate::run::root;

/// Options of every bench.
#[derive(Args)]
pub(crate) struct Common {
    /// Rounds, each with every run once
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,
    /// Take the release binaries as they are
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Put the plots into `docs/bench` as well
    #[arg(long)]
    publish: bool,
    /// Only see that it works: figures are kept apart, and nothing is held against its bar
    #[arg(long, hide = true)]
    pub(crate) smoke: bool,
}

impl Common {
    /// Runs every cell once per round.
    ///
    /// # Errors
    ///
    /// A run fails.
    pub(crate) fn run(&self, bed: &Bed, cells: &mut [Cell]) -> Result<()> {
        for round in 1..=self.rounds {
            eprintln!("round {round} of {}", self.rounds);
            for cell in &mut *cells {
                let measured = bed.run(cell.subject, cell.sink, cell.load);
                let measured = measured.with_context(|| cell.name())?;
                cell.runs.push(measured);
            }
        }
        Ok(())
    }

    /// Prints the bars, writes the JSON, and draws the plots.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub(crate) fn keep(
        &self,
        bed: &Bed,
        name: &str,
        mut figures: Value,
        bars: &[Bar],
        charts: Vec<(&str, String, Groups)>,
    ) -> Result<()> {
        // Of a run that is too short to mean anything, figures must not pass for met or missed.
        if !self.smoke {
            println!("{}", bars::table(bars));
        }
        figures["bench"] = json!(name);
        figures["rounds"] = json!(self.rounds);
        figures["command"] = json!(command());
        figures["machine"] = json!(machine());
        figures["bars"] = bars.iter().map(Bar::json).collect();
        let path = bed.folder().join(format!("{name}.json"));
        fs::write(&path, serde_json::to_string_pretty(&figures)?)?;
        println!("{}", path.display());
        for (file, title, groups) in charts {
            let chart = Chart {
                title,
                groups,
                caption: format!("{}\n{}", command(), machine()),
            };
            let mut folders = vec![bed.folder().to_owned()];
            if self.publish {
                folders.push(root().join("docs/bench"));
            }
            for folder in folders {
                fs::create_dir_all(&folder)?;
                fs::write(folder.join(format!("{file}.svg")), chart.svg())?;
            }
        }
        Ok(())
    }
}

/// Groups of bars: a name, and what each subject has.
pub(crate) type Groups = Vec<(String, Vec<(String, f64)>)>;

/// Groups the cells of a table by their load.
pub(crate) fn groups(cells: &[Cell], figure: fn(&Cell) -> f64) -> Groups {
    let mut groups: Groups = Vec::new();
    for cell in cells {
        let bar = (cell.subject.to_string(), figure(cell));
        let group = cell.group();
        match groups.last_mut() {
            Some((name, bars)) if *name == group => bars.push(bar),
            _ => groups.push((group, vec![bar])),
        }
    }
    groups
}

/// Returns the command of this run, as one would type it.
fn command() -> String {
    let words = env::args().skip(1).filter(|word| word != "--publish");
    let words: Vec<_> = words.filter(|word| word != "--no-build").collect();
    format!("cargo xtask {}", words.join(" "))
}

/// Returns processor, cores, memory and kernel.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let kib: u64 = memory
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0);
    format!(
        "{}, {cores} cores, {} GiB, Linux {}",
        value(&read("/proc/cpuinfo"), "model name"),
        kib.div_ceil(1 << 20),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

//! Histories of the core with faults, and planted bugs that they must find.

mod mutants;
mod plant;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::stages::Tally;

/// What to simulate.
#[derive(Args)]
pub(crate) struct Sim {
    /// How many histories to run
    #[arg(long, default_value_t = 50_000)]
    histories: u64,
    /// The seed of the first; the others follow it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run the history of one seed again and print everything that happens in it
    #[arg(long)]
    replay: Option<u64>,
    /// With `--replay`: only these of its faults, by number
    #[arg(long)]
    faults: Option<String>,
    /// Plant bugs in a copy of the core, one after the other, and see each found
    #[arg(long)]
    mutants: bool,
    /// With `--mutants`: only those whose name contains this
    #[arg(long)]
    only: Option<String>,
}

/// Runs what was asked for.
pub(crate) fn run(sim: &Sim) -> Result<Tally> {
    if sim.mutants {
        return plant::run(sim.histories, sim.seed, sim.only.as_deref());
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--release", "--package", "upload-core"]);
    cargo.args(["--test", "sim", "--"]);
    match sim.replay {
        Some(seed) => cargo.args(["--replay", &seed.to_string()]),
        None => cargo.args([
            "--histories",
            &sim.histories.to_string(),
            "--seed",
            &sim.seed.to_string(),
        ]),
    };
    if let Some(faults) = &sim.faults {
        cargo.args(["--faults", faults]);
    }
    let status = cargo.status().context("cargo does not start")?;
    ensure!(status.success(), "something went wrong in a history");
    Ok(Tally::ONE)
}

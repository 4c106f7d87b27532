//! Histories of the core with faults, and planted bugs that they must find.

mod mutants;
mod plant;

pub(crate) use plant::changes;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    run::{cargo, watch},
    stages::Tally,
};

/// What to simulate.
#[derive(Args)]
pub(crate) struct Sim {
    /// How many histories to run
    #[arg(long, default_value_t = HISTORIES)]
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
    /// With `--mutants`: only those whose file or name contains one of these
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// Histories of every test run.
const HISTORIES: u64 = 50_000;

/// Runs as many histories as every test run must, optimised, and counts them.
pub(crate) fn check() -> Result<Tally> {
    let histories = HISTORIES.to_string();
    let mut command = cargo(["test", "--release", "--package", "upload-core"]);
    command.args(["--test", "sim", "--", "--histories", &histories]);
    let mut ran = 0;
    let status = watch(&mut command, |line| {
        let mut words = line.split_whitespace();
        if let (Some(count), Some("histories")) = (words.next(), words.next()) {
            ran = count.parse().unwrap_or(ran);
        }
    })?;
    ensure!(status.success(), "something went wrong in a history");
    ensure!(ran == HISTORIES, "{ran} of {HISTORIES} histories ran");
    Ok(Tally::ONE)
}

/// Runs what was asked for.
pub(crate) fn run(sim: &Sim) -> Result<Tally> {
    if sim.mutants {
        return plant::run(sim.histories, sim.seed, &sim.only);
    }
    let mut command = cargo(["test", "--release", "--package", "upload-core"]);
    command.args(["--test", "sim", "--"]);
    match sim.replay {
        Some(seed) => command.args(["--replay", &seed.to_string()]),
        None => command.args([
            "--histories",
            &sim.histories.to_string(),
            "--seed",
            &sim.seed.to_string(),
        ]),
    };
    if let Some(faults) = &sim.faults {
        command.args(["--faults", faults]);
    }
    let status = command.status().context("cargo does not start")?;
    ensure!(status.success(), "something went wrong in a history");
    Ok(Tally::ONE)
}

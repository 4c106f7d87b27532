//! `cargo xtask bench`: what a byte costs, beside the least it could cost, in the same run.

mod process;
mod receive;
mod report;
mod subject;

use anyhow::Result;
use clap::Subcommand;

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Receiving, to nowhere and to files, beside a bare sink of the same WebSocket library
    Receive(receive::Receive),
}

/// Measures.
///
/// # Errors
///
/// Something does not build, or a run fails.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Receive(receive) => receive.run(),
    }
}

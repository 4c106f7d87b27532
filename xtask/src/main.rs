//! Everything a developer of this workspace runs: `cargo xtask <command>`.

mod bench;
mod blocks;
mod browser;
mod ci;
mod client;
mod conformance;
mod examples;
mod faults;
mod fences;
mod fuzz;
mod guides;
mod integration;
mod plant;
mod release;
mod run;
mod services;
mod sim;
mod site;
mod soak;
mod stages;
mod test;
mod tidy;
mod tree;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Runs what a change must pass, and measures what it costs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that must pass before a change lands
    Test(stages::Selection),
    /// `test`, and what only needs checking now and then
    Ci(stages::Selection),
    /// That each crate pulls in only what its layer may have
    Fences,
    /// What the compiler does not check: file heads and lengths, rules without a test, documents
    Tidy {
        /// Write the generated parts of the documents instead of comparing them
        #[arg(long)]
        write: bool,
        /// Print the addresses outside the workspace that documents name, and check nothing
        #[arg(long, conflicts_with = "write")]
        links: bool,
    },
    /// The tests that need the real binary and real services
    Integration {
        /// A part of their names, such as `doors`, or `s3` for Garage and Azurite; by default all but those
        suite: Option<integration::Suite>,
        /// Passed on to the test binaries
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// The blocks of the guides, in their order, against the real binary
    Guides,
    /// The documents as a site, in target/site
    Site,
    /// The client in a real Chromium against the real binary
    Browser {
        /// Passed on to the browser run
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Check what is to be published, and print in which order it would be
    Release {
        /// Publish nothing; the only way there is
        #[arg(long)]
        dry_run: bool,
    },
    /// What a byte costs, next to the least it could cost
    #[command(subcommand)]
    Bench(bench::Bench),
    /// The server under attack, and under very many connections
    #[command(subcommand)]
    Soak(soak::Soak),
    /// Checks a server of anyone against the rules of tus, the IETF's draft and the socket, by name
    Conformance(conformance::Conformance),
    /// Feed every parser what no one thought of
    Fuzz(fuzz::Fuzz),
    /// Bring back faults that were mended, one after the other, and see the test of each fail
    Faults(faults::Faults),
    /// Simulate histories with faults, or plant bugs that they must find
    Sim(sim::Sim),
}

fn main() -> ExitCode {
    match obey(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Command) -> Result<()> {
    match command {
        Command::Test(selection) => stages::run_all(test::STAGES, &selection),
        Command::Ci(selection) => stages::run_all(&ci::stages(), &selection),
        Command::Fences => fences::check().and_then(stages::Tally::into_result),
        Command::Tidy { links: true, .. } => tidy::list_links(),
        Command::Tidy { write, .. } => tidy::command(write).and_then(stages::Tally::into_result),
        Command::Integration { suite, args } => {
            let tally = match suite {
                None => integration::run(None, &args),
                Some(integration::Suite::Named(name)) => integration::run(Some(&name), &args),
                Some(integration::Suite::S3) => integration::run_engines(&args),
            };
            tally.and_then(stages::Tally::into_result)
        }
        Command::Guides => guides::run().and_then(stages::Tally::into_result),
        Command::Site => site::build().and_then(stages::Tally::into_result),
        Command::Browser { args } => browser::run(&args).and_then(stages::Tally::into_result),
        Command::Release { dry_run } => release::run(dry_run).and_then(stages::Tally::into_result),
        Command::Bench(bench) => bench::run(&bench),
        Command::Soak(soak) => soak::run(&soak),
        Command::Conformance(conformance) => conformance::run(&conformance),
        Command::Fuzz(fuzz) => fuzz::run(&fuzz).and_then(stages::Tally::into_result),
        Command::Faults(faults) => faults::run(&faults).and_then(stages::Tally::into_result),
        Command::Sim(sim) => sim::run(&sim).and_then(stages::Tally::into_result),
    }
}

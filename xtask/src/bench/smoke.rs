//! Every bench once, as small as it can be: that it runs and prints its table, not what it measures.

use std::time::Instant;

use anyhow::Result;
use clap::Parser;

use super::{Bench, programs, run};
use crate::{run::server_binary, stages::Tally};

/// The benches and their smallest loads.
const LINES: &[&str] = &[
    "receive --connections 1,3 --other-chunks 4096 --mib 6 --file-mib 6",
    "receive --against HEAD --connections 2 --other-chunks 4096 --mib 2 --file-mib 2",
    "receive --door tus --connections 1,3 --file-mib 6",
    "receive --door plain --connections 1,3 --file-mib 6",
    "many --uploads 1,8,40 --crowd 4,5 --mib 6 --file-mib 6",
    "cost --mib 1,2 --uploads 2,8 --together-mib 8",
    "resume --uploads 1,4 --together-mib 8 --files 64 --idle-seconds 0.2",
    "disks --uploads 2 --seconds 0.1",
    "restart --connections 2 --uploads 5",
    "idle --connections 20 --active 4",
    "latency --uploads 3 --beside 2",
    "small --connections 1,3 --files 24 --in-flight 8,4",
    "links --mib 2 --round-trip-ms 10 --mbit 100 --conditions both",
    "wan --mib 1 --round-trip-ms 10",
    "codec --chunk 65536",
    "compare --mib 1 --files 2 --kib 4 --without-rustus",
    "stores --uploads 20 --in-flight 1,4",
    "s3 --parts 4",
    "page --files 6 --bytes 30000 --many 12",
    "hidden --mib 2 --engines chromium --ours-only",
];

/// A line as one would type it behind `cargo xtask`.
#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    bench: Bench,
}

/// Runs every bench with hardly anything to do.
///
/// # Errors
///
/// The programs do not build, or there is no Redis.
pub(crate) fn smoke() -> Result<Tally> {
    server_binary()?;
    programs::build_all()?;
    let mut tally = Tally::default();
    for line in LINES {
        println!("\nbench {line}");
        let begun = Instant::now();
        let ran = one(line);
        println!("{:.1} s", begun.elapsed().as_secs_f64());
        if let Err(error) = &ran {
            eprintln!("bench {line}: {error:#}");
        }
        tally.count(ran.is_ok());
    }
    Ok(tally)
}

fn one(line: &str) -> Result<()> {
    let words = ["bench"].into_iter().chain(line.split_whitespace());
    let line = Line::try_parse_from(words.chain(["--rounds", "1", "--no-build", "--smoke"]))?;
    run(&line.bench)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_bench_has_a_line() {
        let command = Line::command();
        let benches = command.get_subcommands().map(clap::Command::get_name);
        for bench in benches {
            let has_line = LINES
                .iter()
                .any(|line| line.split(' ').next() == Some(bench));
            assert!(has_line, "{bench} is not smoked");
        }
    }
}

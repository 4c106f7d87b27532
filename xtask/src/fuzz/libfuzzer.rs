//! Running libFuzzer, and reading what it says.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{Target, build::Programs};

/// The longest one input may take, in seconds; the slowest of ours takes milliseconds.
const INPUT_SECONDS_MAX: u32 = 5;
/// The most memory a target may use, in MiB.
const MEMORY_MIB_MAX: u32 = 1024;
/// Lines of a failed run that are shown.
const SHOWN: usize = 40;

/// What one run came to.
pub(super) struct Found {
    pub(super) executions: u64,
    /// Edges reached, of all that is linked.
    pub(super) edges: u64,
    pub(super) took: Duration,
}

/// Fuzzes one target; what is new goes into `corpus`, what fails into `artifacts`.
pub(super) fn fuzz(
    programs: &Programs,
    target: &Target,
    corpus: &Path,
    artifacts: &Path,
    time: Duration,
) -> Result<Found> {
    let begun = Instant::now();
    let said = run(command(programs, target)
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .arg(corpus))?;
    Ok(Found {
        executions: number_after(&said, "stat::number_of_executed_units:").context("no figures")?,
        edges: number_after(&said, " cov: ").context("no coverage")?,
        took: begun.elapsed(),
    })
}

/// Copies the fewest inputs of `from` into `into` that reach as much.
pub(super) fn merge(programs: &Programs, target: &Target, into: &Path, from: &Path) -> Result<()> {
    run(command(programs, target).arg("-merge=1").args([into, from])).map(|_| ())
}

fn command(programs: &Programs, target: &Target) -> Command {
    let mut command = Command::new(&programs.fuzzer);
    command
        .env("FUZZ_TARGET", &target.name)
        .arg(format!("-max_len={}", target.input_bytes_max))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
    command
}

/// Returns what libFuzzer printed.
fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdout(Stdio::null())
        .output()
        .context("cannot start the fuzzer")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        let lines: Vec<_> = said.lines().collect();
        let end = lines.len().saturating_sub(SHOWN);
        let shown = lines.get(end..).unwrap_or_default().join("\n");
        bail!("{}\n{shown}", output.status);
    }
    Ok(said)
}

/// Returns the number behind the last occurrence of `word`.
fn number_after(said: &str, word: &str) -> Option<u64> {
    let (_, rest) = said.rsplit_once(word)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_figures_count() {
        let said = "#2 INITED cov: 5 ft: 6\n#99 DONE cov: 17 ft: 30 corp: 3/9b\n\
                    stat::number_of_executed_units: 1234\n";
        assert_eq!(number_after(said, " cov: "), Some(17));
        assert_eq!(
            number_after(said, "stat::number_of_executed_units:"),
            Some(1234)
        );
        assert_eq!(number_after(said, "stat::new_units_added:"), None);
    }
}

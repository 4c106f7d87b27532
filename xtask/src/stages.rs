//! Stages: what `test` and `ci` run one after the other, with a table of results at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

/// One stage: its name and what it does.
pub(crate) type Stage = (&'static str, fn() -> Result<Tally>);

/// Which stages to run.
#[derive(Args)]
pub(crate) struct Selection {
    /// Run only these stages
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these stages out
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
}

impl Selection {
    /// Refuses names that no stage has, so that a typing error cannot pass for a green run.
    fn check(&self, stages: &[Stage]) -> Result<()> {
        for name in self.only.iter().chain(&self.skip) {
            if !stages.iter().any(|(known, _)| known == name) {
                let known: Vec<_> = stages.iter().map(|(name, _)| *name).collect();
                bail!("no stage is called {name}; there are {}", known.join(", "));
            }
        }
        Ok(())
    }

    fn takes(&self, name: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|own| own == name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }
}

/// How many tests or checks of a stage passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Those that passed.
    pub(crate) passed: usize,
    /// Those that failed.
    pub(crate) failed: usize,
}

impl Tally {
    /// A stage that is a single check, and passed.
    pub(crate) const ONE: Self = Self {
        passed: 1,
        failed: 0,
    };

    /// Counts one more.
    pub(crate) fn count(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Reads a summary line of `cargo test` or of Node.js, and adds what it says.
    pub(crate) fn add_line(&mut self, line: &str) {
        let number_before = |word: &str| -> Option<usize> {
            line.split(word)
                .next()?
                .split_whitespace()
                .last()?
                .parse()
                .ok()
        };
        if line.starts_with("test result: ") {
            self.passed += number_before(" passed").unwrap_or(0);
            self.failed += number_before(" failed").unwrap_or(0);
        }
        // Node.js says the same with another mark in each of its formats.
        let summary = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ "));
        let mut words = summary.unwrap_or_default().split_whitespace();
        match (
            words.next(),
            words.next().and_then(|number| number.parse::<usize>().ok()),
        ) {
            (Some("pass"), Some(number)) => self.passed += number,
            (Some("fail" | "cancelled"), Some(number)) => self.failed += number,
            _ => {}
        }
    }

    /// Turns a run's end into a stage's result: a run that failed without naming a test is one failure,
    /// and a run of no tests is no success.
    pub(crate) fn of_run(mut self, succeeded: bool) -> Self {
        if self.failed == 0 && (!succeeded || self.passed == 0) {
            self.failed = 1;
        }
        self
    }

    /// Makes an error of failures.
    pub(crate) fn into_result(self) -> Result<()> {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed > 0 {
            // The line above is the last one: it says all there is to say.
            std::process::exit(1);
        }
        Ok(())
    }
}

/// Runs the chosen stages, all of them even after one failed, and prints the table and the last line.
///
/// # Errors
///
/// Anything failed.
pub(crate) fn run_all(stages: &[Stage], selection: &Selection) -> Result<()> {
    selection.check(stages)?;
    let mut rows = Vec::new();
    for (name, stage) in stages.iter().filter(|(name, _)| selection.takes(name)) {
        println!("\n==> {name}");
        let begun = Instant::now();
        let tally = stage().unwrap_or_else(|error| {
            eprintln!("{name}: {error:#}");
            Tally {
                passed: 0,
                failed: 1,
            }
        });
        rows.push((*name, tally, begun.elapsed()));
    }
    print!("\n{}", table(&rows));
    let (passed, failed) = rows.iter().fold((0, 0), |(passed, failed), (_, tally, _)| {
        (passed + tally.passed, failed + tally.failed)
    });
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        // The line above is the last one: it says all there is to say.
        std::process::exit(1);
    }
    Ok(())
}

fn table(rows: &[(&str, Tally, Duration)]) -> String {
    let mut text = format!(
        "{:<14}{:<8}{:>8}{:>8}{:>10}\n",
        "stage", "result", "passed", "failed", "seconds"
    );
    let mut whole = Duration::ZERO;
    for (name, tally, took) in rows {
        let result = if tally.failed == 0 { "ok" } else { "FAILED" };
        let seconds = took.as_secs_f64();
        text += &format!(
            "{name:<14}{result:<8}{:>8}{:>8}{seconds:>10.1}\n",
            tally.passed, tally.failed
        );
        whole += *took;
    }
    text + &format!("{:<38}{:>10.1}\n\n", "all", whole.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_lines_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9s",
            "# pass 7",
            "# fail 1",
            "ℹ pass 2",
            "ℹ duration_ms 9",
            "# passing by",
        ] {
            tally.add_line(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 23,
                failed: 4
            }
        );
    }

    #[test]
    fn a_run_without_tests_or_without_success_fails() {
        let ten = Tally {
            passed: 10,
            failed: 0,
        };
        assert_eq!(ten.of_run(true), ten);
        assert_eq!(ten.of_run(false).failed, 1);
        assert_eq!(Tally::default().of_run(true).failed, 1);
        assert_eq!(
            Tally {
                passed: 1,
                failed: 2
            }
            .of_run(false)
            .failed,
            2
        );
    }

    #[test]
    fn unknown_stages_are_refused() {
        let stages: &[Stage] = &[("one", || Ok(Tally::ONE))];
        let only = |name: &str| Selection {
            only: vec![name.to_owned()],
            skip: Vec::new(),
        };
        assert!(only("one").check(stages).is_ok());
        assert!(only("two").check(stages).is_err());
        assert!(!only("two").takes("one"));
    }
}

//! Plants bugs in a copy of the core and runs the simulator until it finds them.
//!
//! What a simulator of honest clients can not see (a message too many, a code
//! that is wrong) the core's other tests must find.

use std::{
    fs,
    process::{Command, Output},
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use super::mutants::{MUTANTS, Mutant};
use crate::{
    plant::{Change, Copy},
    run::root,
    stages::Tally,
};

/// How long a planted bug may keep one test command busy, in seconds; one that
/// makes the core loop for ever is found by that.
const SECONDS_MAX: &str = "900";

/// How a bug was found.
enum Found {
    /// In the n-th history.
    History(u64, String),
    /// By this test.
    Test(String),
    /// It does not compile any more.
    Broken(String),
    Not,
}

/// Plants each bug and prints the table.
pub(super) fn run(histories: u64, seed: u64, only: &[String]) -> Result<Tally> {
    let copy = Core::copy()?;
    for mutant in MUTANTS {
        copy.check(mutant)?;
    }
    ensure!(
        copy.simulate(1000, seed)?.status.success(),
        "the core fails without a planted bug"
    );
    let mut tally = Tally::default();
    println!("| planted bug | found by | seconds |\n|---|---|---|");
    for mutant in MUTANTS {
        let named = |part: &String| mutant.name.contains(part) || mutant.file.contains(part);
        if !only.is_empty() && !only.iter().any(named) {
            continue;
        }
        let start = Instant::now();
        let found = copy.plant(mutant, histories, seed)?;
        let by = match &found {
            Found::History(count, what) => format!("history {count}: {what}"),
            Found::Test(name) => format!("test `{name}`"),
            Found::Broken(what) => format!("**does not compile**: {what}"),
            Found::Not => "**nothing**".to_owned(),
        };
        let seconds = start.elapsed().as_secs();
        println!("| {} | {by} | {seconds} |", mutant.name);
        tally.count(matches!(found, Found::History(..) | Found::Test(_)));
    }
    println!("{} of {} found", tally.passed, tally.passed + tally.failed);
    Ok(tally)
}

/// A workspace of two crates, in which bugs can be planted.
struct Core(Copy);

impl Core {
    fn copy() -> Result<Self> {
        let home = root();
        let copy = Copy {
            root: home.join("target/mutants"),
        };
        for name in ["upload-core", "upload-proto"] {
            copy.follow(&home.join(name), name)?;
        }
        fs::copy(home.join("Cargo.lock"), copy.root.join("Cargo.lock"))?;
        let manifest = fs::read_to_string(home.join("Cargo.toml"))?;
        fs::write(copy.root.join("Cargo.toml"), two_members(&manifest)?)?;
        Ok(Self(copy))
    }

    /// Checks that a bug can be planted at all.
    fn check(&self, mutant: &Mutant) -> Result<()> {
        self.0.check(&path(mutant), &change(mutant))
    }

    fn plant(&self, mutant: &Mutant, histories: u64, seed: u64) -> Result<Found> {
        let find = || self.find(histories, seed);
        self.0.with(&path(mutant), &change(mutant), find)
    }

    fn find(&self, histories: u64, seed: u64) -> Result<Found> {
        let built = self.cargo(&["build", "--test", "sim"], &[])?;
        if !built.status.success() {
            let text = String::from_utf8_lossy(&built.stderr);
            let first = text.lines().find(|line| line.starts_with("error"));
            return Ok(Found::Broken(first.unwrap_or_default().to_owned()));
        }
        // Most bugs are found soon; only what no other test finds is looked for long.
        let soon = histories.min(20_000);
        if let Some(found) = self.found_by_history(soon, seed)? {
            return Ok(found);
        }
        let names = ["--lib", "--test", "model", "--test", "protocol"];
        let tested = self.cargo(&[&["test", "--no-fail-fast"], &names[..]].concat(), &[])?;
        if !tested.status.success() {
            let text = String::from_utf8_lossy(&tested.stdout);
            let failed = text.lines().find_map(|line| {
                let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
                Some(name.to_owned())
            });
            return Ok(Found::Test(failed.unwrap_or_else(|| "(a hang)".into())));
        }
        let found = self.found_by_history(histories.saturating_sub(soon), seed + soon)?;
        Ok(match found {
            Some(Found::History(count, what)) => Found::History(count + soon, what),
            _ => Found::Not,
        })
    }

    fn found_by_history(&self, histories: u64, seed: u64) -> Result<Option<Found>> {
        if histories == 0 {
            return Ok(None);
        }
        let ran = self.simulate(histories, seed)?;
        if ran.status.success() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&ran.stdout);
        let failed = text.lines().find_map(|line| {
            let (at, what) = line.strip_prefix("FAILED seed ")?.split_once(", trace ")?;
            let what = what.split_once(": ").map_or(what, |(_, what)| what);
            Some((at.parse::<u64>().ok()?, what.to_owned()))
        });
        let (at, what) = failed.unwrap_or((seed, "a hang".to_owned()));
        let what = what.chars().take(100).collect::<String>();
        let what = what.replace('|', "/");
        Ok(Some(Found::History(at.saturating_sub(seed) + 1, what)))
    }

    fn simulate(&self, histories: u64, seed: u64) -> Result<Output> {
        let (histories, seed) = (histories.to_string(), seed.to_string());
        self.cargo(
            &["test", "--test", "sim"],
            &["--histories", &histories, "--seed", &seed, "--quick"],
        )
    }

    fn cargo(&self, args: &[&str], rest: &[&str]) -> Result<Output> {
        let mut cargo = Command::new("timeout");
        cargo.args([SECONDS_MAX, "cargo"]).args(args);
        cargo.args(["--package", "upload-core", "--"]).args(rest);
        if args.first() == Some(&"build") {
            cargo = Command::new("cargo");
            cargo.args(args).args(["--package", "upload-core"]);
        }
        cargo
            .current_dir(&self.0.root)
            .env("CARGO_TARGET_DIR", self.0.root.join("target"))
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTFLAGS", "-Awarnings");
        cargo.output().context("cargo does not start")
    }
}

/// Returns the file of each bug, from the workspace's folder, and the change that plants it there.
pub(crate) fn changes() -> impl Iterator<Item = (String, Change<'static>)> {
    MUTANTS.iter().map(|mutant| (path(mutant), change(mutant)))
}

fn path(mutant: &Mutant) -> String {
    format!("upload-core/src/{}", mutant.file)
}

fn change(mutant: &Mutant) -> Change<'static> {
    Change {
        name: mutant.name,
        find: mutant.from,
        replace: mutant.to,
    }
}

fn two_members(manifest: &str) -> Result<String> {
    let (before, rest) = manifest
        .split_once("members = [")
        .context("the workspace lists its members")?;
    let (_, after) = rest.split_once(']').context("the list ends")?;
    let lines = after
        .lines()
        .filter(|line| !line.starts_with("default-members"));
    let after: Vec<_> = lines.collect();
    Ok(format!(
        "{before}members = [\"upload-proto\", \"upload-core\"]{}\n",
        after.join("\n")
    ))
}

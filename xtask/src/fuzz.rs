//! `cargo xtask fuzz`: every parser under libFuzzer, guided by coverage, with the stable toolchain.
//!
//! The sanitizer coverage that libFuzzer wants is a pass of LLVM, which a stable compiler runs when it
//! is asked to with `-C` flags; so nothing here needs a nightly one, or clang. What does is the address
//! sanitizer: there is no unsafe code of ours for it to look at.

mod build;
mod coverage;
mod libfuzzer;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use self::{build::Programs, libfuzzer::Found};
use crate::{
    run::{metadata, output_of},
    stages::Tally,
};

/// What to fuzz, and for how long.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// Minutes for each target
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Only these targets
    #[arg(long, value_delimiter = ',')]
    target: Vec<String>,
    /// Targets that run at the same time, one thread each
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Write what was found, minimised, into the corpus in the tree
    #[arg(long)]
    keep: bool,
}

/// One target, as the program that has it tells.
pub(crate) struct Target {
    name: String,
    input_bytes_max: usize,
    sources: Vec<String>,
}

/// Where everything of one run lies.
struct Place(PathBuf);

impl Place {
    fn corpus(&self, target: &Target) -> PathBuf {
        self.0.join("corpus").join(&target.name)
    }

    fn artifacts(&self, target: &Target) -> PathBuf {
        self.0.join("artifacts").join(&target.name)
    }
}

/// Builds, fuzzes, and prints a row for each target.
///
/// # Errors
///
/// Something cannot be built or run; that a target failed is counted, not an error.
pub(crate) fn run(fuzz: &Fuzz) -> Result<Tally> {
    coverage::find_tools()?;
    let place = Place(metadata()?.target_directory.join("fuzz"));
    let programs = Programs::build(&place.0)?;
    let targets = chosen(&programs, &fuzz.target)?;
    let time = Duration::try_from_secs_f64(fuzz.minutes * 60.0).context("minutes")?;
    let rows = in_turns(&targets, fuzz.jobs, |target| {
        one(&programs, &place, target, time).map_err(|error| format!("{error:#}"))
    });

    let mut tally = Tally::default();
    let mut table = Vec::new();
    for (target, row) in targets.iter().zip(rows) {
        tally.count(row.is_ok());
        match row {
            Ok(found) => {
                if fuzz.keep {
                    keep(&programs, &place, target)?;
                }
                table.push(line(&programs, &place, target, &found)?);
            }
            Err(error) => eprintln!("{}: {error}", target.name),
        }
    }
    println!(
        "\n{:<12}{:>9}{:>14}{:>9}{:>8}{:>10}{:>9}{:>9}",
        "target", "minutes", "executions", "inputs", "edges", "regions", "covered", "percent"
    );
    table.iter().for_each(|line| println!("{line}"));
    println!(
        "edges: of everything that is linked; regions: of the target's own files, by llvm-cov\n"
    );
    Ok(tally)
}

fn chosen(programs: &Programs, names: &[String]) -> Result<Vec<Target>> {
    let list = output_of(programs.replay().arg("list"))?;
    let all: Vec<Target> = list.lines().filter_map(read).collect();
    for name in names {
        if !all.iter().any(|target| target.name == *name) {
            let known: Vec<_> = all.iter().map(|target| &*target.name).collect();
            bail!("no target is called {name}; there are {}", known.join(", "));
        }
    }
    let is_chosen = |target: &Target| names.is_empty() || names.contains(&target.name);
    Ok(all.into_iter().filter(is_chosen).collect())
}

fn read(line: &str) -> Option<Target> {
    let mut words = line.split_whitespace();
    Some(Target {
        name: words.next()?.to_owned(),
        input_bytes_max: words.next()?.parse().ok()?,
        sources: words.next()?.split(',').map(str::to_owned).collect(),
    })
}

/// Does something with each target, `jobs` at a time, and returns the results in their order.
fn in_turns<T: Send>(targets: &[Target], jobs: usize, act: impl Fn(&Target) -> T + Sync) -> Vec<T> {
    let next = Mutex::new(0..targets.len());
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((at, target)) = at.and_then(|at| Some((at, targets.get(at)?))) else {
                        return;
                    };
                    let result = act(target);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn one(programs: &Programs, place: &Place, target: &Target, time: Duration) -> Result<Found> {
    let (corpus, artifacts) = (place.corpus(target), place.artifacts(target));
    fs::create_dir_all(&artifacts)?;
    output_of(
        programs
            .replay()
            .args(["unpack", &target.name])
            .arg(&corpus),
    )?;
    libfuzzer::fuzz(programs, target, &corpus, &artifacts, time)
}

/// Replaces the corpus in the tree by the fewest inputs that reach the same code.
fn keep(programs: &Programs, place: &Place, target: &Target) -> Result<()> {
    let fewest = place.0.join("fewest").join(&target.name);
    if fewest.exists() {
        fs::remove_dir_all(&fewest)?;
    }
    fs::create_dir_all(&fewest)?;
    libfuzzer::merge(programs, target, &fewest, &place.corpus(target))?;
    let kept = output_of(programs.replay().args(["pack", &target.name]).arg(&fewest))?;
    println!("{}: {} inputs in the tree", target.name, kept.trim());
    Ok(())
}

fn line(programs: &Programs, place: &Place, target: &Target, found: &Found) -> Result<String> {
    let corpus = place.corpus(target);
    let regions = coverage::measure(programs, target, &corpus, &place.0)?;
    let inputs = count(&corpus)?;
    Ok(format!(
        "{:<12}{:>9.1}{:>14}{:>9}{:>8}{:>10}{:>9}{:>8.1}%",
        target.name,
        found.took.as_secs_f64() / 60.0,
        found.executions,
        inputs,
        found.edges,
        regions.all,
        regions.covered,
        100.0 * regions.covered as f64 / regions.all.max(1) as f64
    ))
}

fn count(folder: &Path) -> Result<usize> {
    Ok(fs::read_dir(folder)?.count())
}

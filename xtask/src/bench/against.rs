//! What receiving costs now over what it cost at another revision, in pairs of runs, until chance is small.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    codec::allocations,
    rounds::Common,
    subject::{Bed, Load, Sink, Subject},
};
use crate::run::{cargo, metadata, must_succeed, output_of, program};

/// Pairs of runs at least.
const ROUNDS_MIN: usize = 9;
/// Pairs of runs at most; a machine that is too busy for a verdict by then gives none.
const ROUNDS_MAX: usize = 150;
/// How far the interval's ends may be from its middle, as a part of it.
const WIDTH_MAX: f64 = 0.03;
/// What the interval's lower end may not exceed.
const WORSE: f64 = 1.05;

/// Two builds of everything that is measured.
struct Builds {
    now: Bed,
    then: Bed,
    /// The server that counts allocations, of now and of then.
    counted: [PathBuf; 2],
}

/// One load, and the ratios of each pair of runs.
struct Pairs {
    sink: Sink,
    load: Load,
    cpu: Vec<f64>,
    speed: Vec<f64>,
}

/// Measures the loads with the server of this tree and with that of a revision, in turns, and prints the
/// ratios with their intervals.
///
/// # Errors
///
/// There is no such revision, something does not build, or a run fails.
pub(super) fn run(common: &Common, revision: &str, loads: Vec<(Sink, Load)>) -> Result<()> {
    let builds = if common.smoke {
        // That two builds are paired and compared is seen with one build as well.
        builds(Bed::make(&[Subject::Server], "copy", common)?, None)?
    } else {
        let then = build(revision)?;
        builds(Bed::make(&[Subject::Server], "copy", common)?, Some(then))?
    };
    let mut all: Vec<_> = loads.into_iter().map(Pairs::new).collect();
    let (least, most) = if common.smoke {
        (2, 2)
    } else {
        (ROUNDS_MIN, ROUNDS_MAX)
    };
    for round in 0..most {
        let open = all.iter_mut().filter(|pairs| {
            round < least || interval(&pairs.cpu).is_none_or(|interval| !interval.is_narrow())
        });
        let open: Vec<_> = open.collect();
        if open.is_empty() {
            break;
        }
        eprintln!("round {}: {} loads", round + 1, open.len());
        for pairs in open {
            pairs.measure(&builds, round)?;
        }
    }
    println!(
        "{:<34}{:>7}{:>8}{:>17}{:>8}  verdict",
        "load, now over then", "pairs", "CPU", "95 %", "speed"
    );
    for pairs in &all {
        println!("{}", pairs.row());
    }
    let mut counts = Vec::new();
    let (sinks, chunk) = ([Sink::Discard, Sink::File], 65536);
    for sink in sinks {
        let [now, then] = builds
            .counted
            .each_ref()
            .map(|counted| allocations(&builds.now, counted, chunk, sink));
        let (now, then) = (now?, then?);
        println!(
            "{sink}, {} KiB: {now:.2} allocations per chunk, then {then:.2}",
            chunk >> 10
        );
        counts.push(json!({"sink": sink.to_string(), "now": now, "then": then}));
    }
    let figures = json!({
        "against": revision,
        "pairs": all.iter().map(Pairs::json).collect::<Vec<_>>(),
        "allocations_per_chunk": counts,
    });
    common.keep(&builds.now, "receive-against", figures, &[], Vec::new())
}

fn builds(now: Bed, then: Option<PathBuf>) -> Result<Builds> {
    let own = now.program("counted");
    let (server, counted) = match then {
        Some(folder) => (
            folder.join("upload-server"),
            folder.join("upload-bench-counted"),
        ),
        None => (now.server().to_owned(), own.clone()),
    };
    ensure!(own.exists(), "{} is not built", own.display());
    Ok(Builds {
        then: now.with_server(server)?,
        now,
        counted: [own, counted],
    })
}

/// Builds a revision in a copy of its tree, and returns the folder with its programs.
fn build(revision: &str) -> Result<PathBuf> {
    let target = metadata()?.target_directory;
    let commit = output_of(&mut program(
        "git",
        [
            "rev-parse",
            "--verify",
            "--short",
            &format!("{revision}^{{commit}}"),
        ],
    ))?;
    let folder = target.join("against").join(commit.trim());
    let tree = folder.join("tree");
    unpack(commit.trim(), &tree)?;
    // cargo takes the packages of both trees for the same, so what is built of each is in a separate folder.
    let built = folder.join("target");
    for (package, name) in [
        ("upload-server", "upload-server"),
        ("upload-bench", "upload-bench-counted"),
    ] {
        let mut command = cargo(["build", "--release", "--package", package, "--bin", name]);
        command.current_dir(&tree).env("CARGO_TARGET_DIR", &built);
        must_succeed(&mut command)?;
        fs::copy(built.join("release").join(name), folder.join(name))
            .with_context(|| name.to_owned())?;
    }
    Ok(folder)
}

/// Writes the tree of a commit into a folder.
fn unpack(commit: &str, tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    fs::create_dir_all(tree)?;
    let mut archive = program("git", ["archive", "--format=tar", commit])
        .stdout(Stdio::piped())
        .spawn()
        .context("git archive")?;
    let tar = archive.stdout.take().context("piped")?;
    let unpacked = Command::new("tar")
        .args(["--extract", "--directory"])
        .arg(tree)
        .stdin(tar)
        .status()
        .context("tar")?;
    ensure!(
        archive.wait()?.success() && unpacked.success(),
        "the tree of {commit} cannot be unpacked"
    );
    Ok(())
}

impl Pairs {
    fn new((sink, load): (Sink, Load)) -> Self {
        Self {
            sink,
            load,
            cpu: Vec::new(),
            speed: Vec::new(),
        }
    }

    /// Runs both builds, in an order that changes from round to round.
    fn measure(&mut self, builds: &Builds, round: usize) -> Result<()> {
        let run = |bed: &Bed| bed.run(Subject::Server, self.sink, self.load);
        let (now, then) = if round.is_multiple_of(2) {
            let then = run(&builds.then)?;
            (run(&builds.now)?, then)
        } else {
            (run(&builds.now)?, run(&builds.then)?)
        };
        self.cpu
            .push(now.cpu_seconds_per_gib / then.cpu_seconds_per_gib);
        self.speed.push(now.mib_per_second / then.mib_per_second);
        Ok(())
    }

    fn row(&self) -> String {
        let name = format!(
            "{}, {} connections, {} KiB",
            self.sink,
            self.load.connections,
            self.load.chunk >> 10
        );
        let (cpu, speed) = (interval(&self.cpu), interval(&self.speed));
        let shown = cpu.map_or_else(String::new, |cpu| {
            format!(
                "{:>8.3}{:>17}",
                cpu.middle,
                format!("{:.3} to {:.3}", cpu.lower, cpu.upper)
            )
        });
        let speed = speed.map_or(f64::NAN, |speed| speed.middle);
        let verdict = verdict(cpu);
        format!(
            "{name:<34}{:>7}{shown}{speed:>8.3}  {verdict}",
            self.cpu.len()
        )
    }

    fn json(&self) -> Value {
        let cpu = interval(&self.cpu);
        json!({
            "sink": self.sink.to_string(),
            "connections": self.load.connections,
            "chunk_bytes": self.load.chunk,
            "cpu_ratios": self.cpu,
            "speed_ratios": self.speed,
            "interval": cpu.map(|cpu| [cpu.lower, cpu.middle, cpu.upper]),
            "verdict": verdict(cpu),
        })
    }
}

/// Where a ratio is with a probability of 95 %.
#[derive(Clone, Copy, Debug)]
struct Interval {
    lower: f64,
    middle: f64,
    upper: f64,
}

impl Interval {
    fn is_narrow(self) -> bool {
        (self.upper - self.middle).max(self.middle - self.lower) <= WIDTH_MAX * self.middle
    }
}

fn verdict(interval: Option<Interval>) -> &'static str {
    match interval {
        Some(interval) if interval.lower > WORSE => "MISSED",
        Some(interval) if interval.is_narrow() => "met",
        _ => "too few or too different runs to tell",
    }
}

/// Returns the interval of the geometric mean of some ratios, by Student's distribution of their logarithms.
fn interval(ratios: &[f64]) -> Option<Interval> {
    let count = ratios.len() as f64;
    if ratios.len() < 2 {
        return None;
    }
    let logs: Vec<_> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let mean = logs.iter().sum::<f64>() / count;
    let squares = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>();
    let error = (squares / (count - 1.0) / count).sqrt();
    let half = student_975(count - 1.0) * error;
    Some(Interval {
        lower: (mean - half).exp(),
        middle: mean.exp(),
        upper: (mean + half).exp(),
    })
}

/// Returns the 97.5 % quantile of Student's distribution (Abramowitz and Stegun 26.7.5).
fn student_975(freedom: f64) -> f64 {
    let z = 1.959_964_f64;
    let terms = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
    ];
    let sum: f64 = (1..)
        .zip(terms)
        .map(|(power, term)| term / freedom.powi(power))
        .sum();
    z + sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, quantile) in [(4.0, 2.776), (8.0, 2.306), (20.0, 2.086), (60.0, 2.000)] {
            let error = (student_975(freedom) - quantile).abs();
            assert!(error < 0.01, "{freedom}: {}", student_975(freedom));
        }
    }

    #[test]
    fn a_verdict_needs_agreement_or_a_clear_loss() {
        let verdict = |ratios: &[f64]| verdict(interval(ratios));
        let (narrow, wide) = ([1.0, 1.01, 0.99, 1.0, 1.02], [0.7, 1.3, 1.0, 0.8, 1.2]);
        assert_eq!(verdict(&narrow), "met");
        assert_eq!(verdict(&narrow.map(|ratio| ratio + 0.04)), "met");
        assert_eq!(verdict(&narrow.map(|ratio| ratio + 0.1)), "MISSED");
        assert!(verdict(&wide).starts_with("too few"));
        assert_eq!(verdict(&wide.map(|ratio| ratio * 3.0)), "MISSED");
        assert!(verdict(&[1.0]).starts_with("too few"));
    }
}

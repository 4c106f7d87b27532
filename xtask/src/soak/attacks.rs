//! `cargo xtask soak attacks`: what each kind of attack costs the server and an honest uploader.
//!
//! The attackers run with the lowest priority, each socket at the rate that the table says.
//! The honest uploader is faster than most links but does not need every core.
//! So the processor time of the attackers themselves does not count as harm to the server.

use std::{
    fs,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{
    attackers::{self, Attackers},
    floods,
    ground::Ground,
    outcome::{Kind, Outcome, figures, head, row},
    scene::Scene,
};
use crate::{
    bench::{process::Server, programs},
    run::server_binary,
    stages::Tally,
};

/// How long descriptors have to get back to where they were.
const SETTLE_MAX: Duration = Duration::from_secs(15);
/// Writers the server keeps for clients that may come back, each with an open file.
const PARKED_MAX: usize = 1024;
/// Connections to the hook and the webhook that the server keeps for the next call.
const POOLED_MAX: usize = 4;
/// Seconds for which the honest uploader is measured alone, before and after.
const ALONE_SECONDS: f64 = 3.0;
/// The attackers run for this long before the honest uploader begins.
const HEAD_START: Duration = Duration::from_secs(1);

/// Those of the smoke run: one each of what memory, descriptors, tasks and places could be lost to.
const SMOKE: &[&str] = &[
    "never-reading",
    "huge-frame",
    "register-storm",
    "credit-ignoring",
    "reset-churn",
    "http-bodies",
];
const SMOKE_SECONDS: f64 = 2.0;
/// MiB per second that an honest uploader sends at most.
const RATE_MAX: f64 = 4096.0;
/// The part of what it could send that it sends at most: the attackers run on the same processors.
const RATE_PART: f64 = 0.4;
/// What the hook takes for a call about an upload of an attacker, in milliseconds.
const HOOK_MS: u32 = 20;

/// Bytes stored in some time.
#[derive(Deserialize)]
struct Stored {
    bytes: u64,
    seconds: f64,
}

/// What to run.
#[derive(Args)]
pub(crate) struct Attacks {
    /// Seconds of each attack
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Sockets of each attack
    #[arg(long, default_value_t = 200)]
    sockets: u32,
    /// Run only these kinds
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Run only the floods of what is kept, for so many seconds each
    #[arg(long)]
    floods: Option<f64>,
    /// Take the release binaries as they are
    #[arg(long)]
    no_build: bool,
    /// MiB per second that the honest uploader sends at most; 0 for as fast as it can. By default 4096, or less on
    /// a machine where that would leave the attackers nothing
    #[arg(long)]
    rate: Option<f64>,
    /// A folder on another file system, in which the server keeps its files
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Attacks {
    /// Runs every kind, prints the table, and keeps it.
    ///
    /// # Errors
    ///
    /// Something does not build, a run fails, or a bar is missed.
    pub(crate) fn run(&self) -> Result<()> {
        let mut ground = Ground::make(self.no_build)?;
        if let Some(data) = &self.data {
            ground.keep_in(data)?;
        }
        if let Some(seconds) = self.floods {
            println!("{}", floods::head());
            let floods = floods::run(&ground, seconds)?;
            let missed = floods.iter().filter(|flood| !flood.misses().is_empty());
            let missed = missed.count();
            ensure!(missed == 0, "{missed} floods missed a bar");
            return Ok(());
        }
        let (mut rows, mut missed) = (Vec::new(), 0);
        let kinds = self.kinds(&ground)?;
        let mut scene = Scene::begin(&ground, "", HOOK_MS)?;
        let rate = match self.rate {
            Some(rate) => rate,
            None => RATE_MAX.min(RATE_PART * steady(&scene, ALONE_SECONDS, 0.0)?),
        };
        println!("the honest uploader sends {rate:.0} MiB/s at most (0: no limit)");
        println!("{}", head());
        for kind in &kinds {
            let outcome = attack(&mut scene, kind, self, Some(rate));
            let outcome = outcome.with_context(|| kind.name.clone())?;
            println!("{}", row(kind, &outcome));
            missed += usize::from(!outcome.misses().is_empty());
            rows.push(figures(kind, &outcome));
        }
        scene.check_log()?;
        drop(scene);
        let mut floods = Vec::new();
        if self.only.is_empty() {
            println!("\n{}", floods::head());
            for flood in floods::run(&ground, floods::LONG_SECONDS)? {
                missed += usize::from(!flood.misses().is_empty());
                floods.push(flood);
            }
        }
        let path = ground.folder().join("attacks.json");
        let all = json!({"sockets": self.sockets, "seconds": self.seconds, "attacks": rows, "floods": floods});
        fs::write(&path, serde_json::to_string_pretty(&all)?)?;
        println!("\n{}", path.display());
        if missed > 0 {
            bail!(
                "{missed} of {} attacks missed a bar",
                kinds.len() + floods.len()
            );
        }
        println!("{} attacks, every bar met", kinds.len() + floods.len());
        Ok(())
    }

    /// Refuses names that no kind has.
    fn kinds(&self, ground: &Ground) -> Result<Vec<Kind>> {
        let mut kinds = attackers::kinds(ground)?;
        for name in &self.only {
            if !kinds.iter().any(|kind| kind.name == *name) {
                let known: Vec<_> = kinds.iter().map(|kind| &*kind.name).collect();
                bail!("no attack is called {name}; there are {}", known.join(", "));
            }
        }
        kinds.retain(|kind| self.only.is_empty() || self.only.contains(&kind.name));
        Ok(kinds)
    }
}

/// A few attacks for a short while, for every test run: memory, descriptors, disk, life and a second owner, not
/// speed; then the floods of what is kept.
///
/// # Errors
///
/// Something does not build, or a run fails.
pub(crate) fn smoke() -> Result<Tally> {
    server_binary()?;
    programs::build_all()?;
    let how = Attacks {
        seconds: SMOKE_SECONDS,
        sockets: 200,
        only: Vec::new(),
        floods: None,
        no_build: true,
        rate: None,
        data: None,
    };
    let ground = Ground::make(how.no_build)?;
    let mut scene = Scene::begin(&ground, "", HOOK_MS)?;
    let mut tally = Tally::default();
    println!("{}", head());
    let kinds = attackers::kinds(&ground)?.into_iter();
    for kind in kinds.filter(|kind| SMOKE.contains(&&*kind.name)) {
        let outcome = attack(&mut scene, &kind, &how, None)?;
        println!("{}", row(&kind, &outcome));
        tally.count(outcome.misses().is_empty());
    }
    scene.check_log()?;
    drop(scene);
    if tally.passed + tally.failed != SMOKE.len() {
        bail!("the attacks of the smoke run are not all there");
    }
    println!("\n{}", floods::head());
    for flood in floods::run(&ground, floods::SHORT_SECONDS)? {
        tally.count(flood.misses().is_empty());
    }
    Ok(tally)
}

/// Uploads to nowhere for some time at most at this rate, in MiB per second; 0 for any. Returns what it came to.
fn steady(scene: &Scene<'_>, seconds: f64, rate: f64) -> Result<f64> {
    let (seconds, most) = (seconds.to_string(), rate.to_string());
    let mut args = vec!["steady", "--seconds", &seconds];
    if rate > 0.0 {
        args.extend(["--rate", &most]);
    }
    let probed = scene
        .ground
        .probe(&scene.server.address, "discard", &args)?;
    let stored: Stored = serde_json::from_str(&probed)?;
    Ok(stored.bytes as f64 / f64::from(1 << 20) / stored.seconds)
}

/// Runs one attack, with an honest uploader next to it if there is a rate for one.
fn attack(scene: &mut Scene<'_>, kind: &Kind, how: &Attacks, rate: Option<f64>) -> Result<Outcome> {
    let seconds = how.seconds;
    let alone = |scene: &Scene<'_>| {
        rate.map(|rate| steady(scene, ALONE_SECONDS, rate))
            .transpose()
    };
    let before = alone(scene)?;
    let (files_base, rss_base_kib) = (scene.server.open_files()?, scene.server.rss_kib()?);
    let disk_base = scene.ground.disk_bytes();
    scene.server.reset_peak()?;

    let (cpu_before, begun) = (scene.server.cpu_seconds()?, Instant::now());
    let attackers = Attackers::start(
        scene.ground,
        &scene.server,
        &kind.name,
        how.sockets,
        seconds,
    )?;
    scene.neighbour.begin()?;
    let attacked = match rate {
        Some(rate) => {
            sleep(HEAD_START);
            let left = seconds - begun.elapsed().as_secs_f64() - 0.5;
            Some(steady(scene, left.max(0.5), rate)?)
        }
        None => None,
    };
    let done = attackers.wait()?;
    let server_cpus = (scene.server.cpu_seconds()? - cpu_before) / begun.elapsed().as_secs_f64();
    let served = scene.neighbour.end()?;
    served.show_failures();
    let (rss_peak_kib, disk_after) = (scene.server.peak_rss_kib()?, scene.ground.disk_bytes());

    let parked_max = if kind.leaves_parked { PARKED_MAX } else { 0 };
    let files_max = files_base + POOLED_MAX + parked_max;
    let files_after = settled(&scene.server, files_max)?;
    let after = alone(scene)?;
    let alone = before
        .zip(after)
        .map(|(one, other)| f64::midpoint(one, other));
    Ok(Outcome {
        done,
        rss_base_kib,
        rss_peak_kib,
        files_base,
        files_after,
        files_max,
        server_cpus,
        speed: alone.zip(attacked),
        disk_base,
        disk_after,
        served,
        is_alive: scene.server.is_running()?,
    })
}

/// Waits until descriptors are back; returns how many there are in the end.
fn settled(server: &Server, files_max: usize) -> Result<usize> {
    let begun = Instant::now();
    loop {
        let files = server.open_files()?;
        if files <= files_max || begun.elapsed() > SETTLE_MAX {
            return Ok(files);
        }
        sleep(Duration::from_millis(100));
    }
}

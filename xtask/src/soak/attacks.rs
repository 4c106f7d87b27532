//! `cargo xtask soak attacks`: what each kind of attack costs the server and an honest uploader.
//!
//! The attackers run with the lowest priority, each socket at the rate that the table says.
//! The honest uploader is faster than most links but does not need every core.
//! So the processor time of the attackers themselves does not count as harm to the server.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ground::Ground;
use crate::{bench::process::Server, run::output_of, stages::Tally};

/// What the server may hold more than before, in KiB.
const GROWTH_KIB_MAX: u64 = 64 * 1024;
/// What an honest uploader keeps of its speed at least.
const SHARE_MIN: f64 = 0.8;
/// How long descriptors have to get back to where they were.
const SETTLE_MAX: Duration = Duration::from_secs(15);
/// Writers the server keeps for clients that may come back, each with an open file.
const PARKED_MAX: usize = 1024;
/// Seconds for which the honest uploader is measured alone, before and after.
const ALONE_SECONDS: f64 = 3.0;
/// The attackers run for this long before the honest uploader begins.
const HEAD_START: Duration = Duration::from_secs(1);

/// Those of the smoke run: one each of what memory, descriptors and tasks could be lost to.
const SMOKE: &[&str] = &[
    "never-reading",
    "huge-frame",
    "register-storm",
    "credit-ignoring",
    "reset-churn",
];
const SMOKE_SECONDS: f64 = 2.0;

/// A slot to files, one that outlives connections, one to nowhere, and the routes other than the socket.
const CONFIG: &str = r#"
[slots.file]
max_entries = 64
max_file_size = "1GiB"

[slots.resumable]
max_entries = 64
max_file_size = "1GiB"
resumable = true

[slots.discard]
max_entries = 64
max_file_size = "1GiB"
writer = "discard"

[webhook]
secret = "a secret of 32 bytes that no attacker has"
"#;

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
    /// Take the release binaries as they are
    #[arg(long)]
    no_build: bool,
    /// MiB per second that the honest uploader sends at most; 0 for as fast as it can
    #[arg(long, default_value_t = 4096.0)]
    rate: f64,
    /// A folder on another file system, in which the server keeps its files
    #[arg(long)]
    data: Option<PathBuf>,
}

/// One kind, as the attackers describe it.
#[derive(Deserialize)]
struct Kind {
    name: String,
    per_second: f64,
    what: String,
    leaves_parked: bool,
}

/// What the attackers did.
#[derive(Deserialize, Serialize)]
struct Done {
    seconds: f64,
    connections: u64,
    acts: u64,
    bytes: u64,
    ended_by_server: u64,
}

/// Bytes stored in some time.
#[derive(Deserialize)]
struct Stored {
    bytes: u64,
    seconds: f64,
}

/// What one attack came to.
struct Outcome {
    done: Done,
    rss_base_kib: u64,
    rss_peak_kib: u64,
    files_base: usize,
    files_after: usize,
    files_max: usize,
    /// Processor time of the server over that of the clock.
    server_cpus: f64,
    /// Speed of the honest uploader alone and under attack, in MiB/s.
    speed: Option<(f64, f64)>,
    is_alive: bool,
}

impl Outcome {
    fn share(&self) -> f64 {
        self.speed.map_or(1.0, |(alone, attacked)| attacked / alone)
    }

    fn misses(&self) -> Vec<&'static str> {
        let bars = [
            (
                self.rss_peak_kib <= self.rss_base_kib + GROWTH_KIB_MAX,
                "memory",
            ),
            (self.files_after <= self.files_max, "descriptors"),
            (self.share() >= SHARE_MIN, "speed"),
            (self.is_alive, "process"),
        ];
        let missed = bars.into_iter().filter(|(is_met, _)| !is_met);
        missed.map(|(_, name)| name).collect()
    }
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
        let (mut rows, mut missed) = (Vec::new(), 0);
        let kinds = self.kinds(&ground)?;
        let server = ground.start(CONFIG)?;
        println!("{}", head());
        for kind in &kinds {
            let outcome =
                attack(&ground, &server, kind, self, true).with_context(|| kind.name.clone())?;
            println!("{}", row(kind, &outcome));
            missed += usize::from(!outcome.misses().is_empty());
            rows.push(figures(kind, &outcome));
        }
        check_log(&ground)?;
        let path = ground.folder().join("attacks.json");
        let all = json!({"sockets": self.sockets, "seconds": self.seconds, "attacks": rows});
        fs::write(&path, serde_json::to_string_pretty(&all)?)?;
        println!("\n{}", path.display());
        if missed > 0 {
            bail!("{missed} of {} attacks missed a bar", kinds.len());
        }
        println!("{} attacks, every bar met", kinds.len());
        Ok(())
    }

    /// Refuses names that no kind has.
    fn kinds(&self, ground: &Ground) -> Result<Vec<Kind>> {
        let mut kinds = all_kinds(ground)?;
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

/// A few attacks for a short while, for every test run: memory, descriptors and life, not speed.
///
/// # Errors
///
/// Something does not build, or a run fails.
pub(crate) fn smoke() -> Result<Tally> {
    let how = Attacks {
        seconds: SMOKE_SECONDS,
        sockets: 200,
        only: Vec::new(),
        no_build: false,
        rate: 0.0,
        data: None,
    };
    let ground = Ground::make(how.no_build)?;
    let server = ground.start(CONFIG)?;
    let mut tally = Tally::default();
    println!("{}", head());
    let kinds = all_kinds(&ground)?.into_iter();
    for kind in kinds.filter(|kind| SMOKE.contains(&&*kind.name)) {
        let outcome = attack(&ground, &server, &kind, &how, false)?;
        println!("{}", row(&kind, &outcome));
        tally.count(outcome.misses().is_empty());
    }
    check_log(&ground)?;
    if tally.passed + tally.failed != SMOKE.len() {
        bail!("the attacks of the smoke run are not all there");
    }
    Ok(tally)
}

fn all_kinds(ground: &Ground) -> Result<Vec<Kind>> {
    let list = output_of(Command::new(ground.program("attack")).arg("list"))?;
    Ok(serde_json::from_str(&list)?)
}

fn attack(
    ground: &Ground,
    server: &Server,
    kind: &Kind,
    how: &Attacks,
    with_speed: bool,
) -> Result<Outcome> {
    let seconds = how.seconds;
    let honest = |seconds: f64| -> Result<f64> {
        let (seconds, rate) = (seconds.to_string(), how.rate.to_string());
        let mut args = vec!["steady", "--seconds", &seconds];
        if how.rate > 0.0 {
            args.extend(["--rate", &rate]);
        }
        let stored: Stored =
            serde_json::from_str(&ground.probe(&server.address, "discard", &args)?)?;
        Ok(stored.bytes as f64 / f64::from(1 << 20) / stored.seconds)
    };
    let before = with_speed.then(|| honest(ALONE_SECONDS)).transpose()?;
    let (files_base, rss_base_kib) = (server.open_files()?, server.rss_kib()?);
    server.reset_peak()?;

    let (cpu_before, begun) = (server.cpu_seconds()?, Instant::now());
    let mut attackers = Command::new("nice")
        .args(["-n", "19"])
        .arg(ground.program("attack"))
        .args(["run", "--address", &server.address, "--kind", &kind.name])
        .args(["--sockets", &how.sockets.to_string()])
        .args(["--seconds", &seconds.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the attackers")?;
    let mut lines = BufReader::new(attackers.stdout.take().context("piped")?).lines();
    if lines.next().transpose()?.as_deref() != Some("ready") {
        bail!("the attackers did not get ready");
    }
    let attacked = if with_speed {
        sleep(HEAD_START);
        let left = seconds - begun.elapsed().as_secs_f64() - 0.5;
        Some(honest(left.max(0.5))?)
    } else {
        None
    };
    let last = lines.next().transpose()?;
    let server_cpus = (server.cpu_seconds()? - cpu_before) / begun.elapsed().as_secs_f64();
    let status = attackers.wait()?;
    let Some(done) = last.filter(|_| status.success()) else {
        bail!("the attackers failed: {status}");
    };
    let rss_peak_kib = server.peak_rss_kib()?;

    let files_max = files_base + if kind.leaves_parked { PARKED_MAX } else { 0 };
    let files_after = settled(server, files_max)?;
    let after = with_speed.then(|| honest(ALONE_SECONDS)).transpose()?;
    let alone = before
        .zip(after)
        .map(|(one, other)| f64::midpoint(one, other));
    Ok(Outcome {
        done: serde_json::from_str(&done)?,
        rss_base_kib,
        rss_peak_kib,
        files_base,
        files_after,
        files_max,
        server_cpus,
        speed: alone.zip(attacked),
        is_alive: server.is_running()?,
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

fn check_log(ground: &Ground) -> Result<()> {
    let log = ground.log()?;
    match log.lines().find(|line| line.contains("panic")) {
        Some(line) => bail!("the server's log says: {line}"),
        None => Ok(()),
    }
}

fn head() -> String {
    format!(
        "{:<20}{:>8}{:>9}{:>9}{:>9}{:>7}{:>7}{:>7}{:>8}{:>8}{:>7}  {:<12}{}",
        "attack",
        "1/s each",
        "acts/s",
        "closed/s",
        "RSS MiB",
        "peak",
        "CPUs",
        "files",
        "alone",
        "beside",
        "share",
        "missed",
        "one act",
    )
}

fn row(kind: &Kind, outcome: &Outcome) -> String {
    let mib = |kib: u64| kib as f64 / 1024.0;
    let done = &outcome.done;
    let (alone, attacked) = outcome.speed.unwrap_or((f64::NAN, f64::NAN));
    let misses = outcome.misses();
    format!(
        "{:<20}{:>8.1}{:>9.0}{:>9.0}{:>9.1}{:>7.1}{:>7.2}{:>7}{:>8.0}{:>8.0}{:>6.0}%  {:<12}{}",
        kind.name,
        kind.per_second,
        done.acts as f64 / done.seconds,
        done.ended_by_server as f64 / done.seconds,
        mib(outcome.rss_base_kib),
        mib(outcome.rss_peak_kib),
        outcome.server_cpus,
        format!(
            "{:+}",
            outcome.files_after as i64 - outcome.files_base as i64
        ),
        alone,
        attacked,
        outcome.share() * 100.0,
        if misses.is_empty() {
            "-".to_owned()
        } else {
            misses.join(",").to_uppercase()
        },
        kind.what,
    )
}

fn figures(kind: &Kind, outcome: &Outcome) -> serde_json::Value {
    json!({
        "attack": kind.name,
        "what": kind.what,
        "per_second_and_socket": kind.per_second,
        "done": outcome.done,
        "rss_base_kib": outcome.rss_base_kib,
        "rss_peak_kib": outcome.rss_peak_kib,
        "files_base": outcome.files_base,
        "files_after": outcome.files_after,
        "server_cpus": outcome.server_cpus,
        "alone_mib_per_second": outcome.speed.map(|(alone, _)| alone),
        "attacked_mib_per_second": outcome.speed.map(|(_, attacked)| attacked),
        "missed": outcome.misses(),
    })
}

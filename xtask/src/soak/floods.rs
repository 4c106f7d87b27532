//! Floods of what a server keeps: what they leave in its state and its memory, and whether it goes away again.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde::Serialize;

use super::{
    attackers::Attackers,
    ground::Ground,
    neighbour::{SERVICES, Served},
    outcome::Done,
    room::allocated,
    scene::Scene,
};

/// Seconds of each flood in a test run.
pub(crate) const SHORT_SECONDS: f64 = 10.0;
/// Seconds of each flood otherwise.
pub(crate) const LONG_SECONDS: f64 = 60.0;

/// The floods: of registrations, and of files that are complete.
const KINDS: [&str; 2] = ["left-registrations", "empty-files"];
/// Sockets of a flood.
const SOCKETS: u32 = 16;
/// Bytes of records that the server may have.
const STATE_BYTES: u64 = 8 << 20;
/// How much larger the file of these records may be: its pages are not full, and it grows in steps.
const STATE_FILE_PART: u64 = 4;
/// Seconds that a record lives.
const TTL_SECONDS: u64 = 4;
/// What the state takes up more than before once the records have expired: both databases keep some free pages.
const STATE_LEFT_BYTES: u64 = 5 << 20;
/// How long the state has to get back, beyond the life of a record. What complete files leave is the outbox: a call for
/// each, which stays until the hook was called, four calls at a time and at most 20,000 of four addresses.
const BACK_MAX: Duration = Duration::from_secs(180);
/// What the server may hold more than before, in KiB.
const GROWTH_KIB_MAX: u64 = 64 * 1024;
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What one flood came to.
#[derive(Serialize)]
pub(crate) struct Flood {
    kind: &'static str,
    done: Done,
    /// Bytes of the state on the disk: before, at the most, and in the end.
    state: [u64; 3],
    /// Seconds until the state was back, if it came back.
    back_after: Option<f64>,
    /// Memory before, and at the most.
    rss_kib: [u64; 2],
    second_owner: Served,
    is_alive: bool,
}

impl Flood {
    /// Returns the bars that it misses.
    pub(crate) fn misses(&self) -> Vec<&'static str> {
        let [base, peak, _] = self.state;
        let bars = [
            (peak <= base + STATE_FILE_PART * STATE_BYTES, "state"),
            (self.back_after.is_some(), "back"),
            (
                self.rss_kib[1] <= self.rss_kib[0] + GROWTH_KIB_MAX,
                "memory",
            ),
            (self.second_owner.failures().is_empty(), "second owner"),
            (self.is_alive, "process"),
        ];
        let missed = bars.into_iter().filter(|(is_met, _)| !is_met);
        missed.map(|(_, name)| name).collect()
    }

    fn row(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let misses = self.misses();
        format!(
            "{:<20}{:>9.0}{:>10.1}{:>8.1}{:>8.1}{:>8.1}{:>7.1}s{:>9.1}{:>7.1}{}  {}",
            self.kind,
            self.done.acts as f64 / self.done.seconds,
            mib(self.done.bytes),
            mib(self.state[0]),
            mib(self.state[1]),
            mib(self.state[2]),
            self.back_after.unwrap_or(f64::NAN),
            mib(self.rss_kib[0] * 1024),
            mib(self.rss_kib[1] * 1024),
            SERVICES
                .map(|service| format!("{:>8.2}s", self.second_owner.worst(service)))
                .concat(),
            if misses.is_empty() {
                "-".to_owned()
            } else {
                misses.join(",").to_uppercase()
            },
        )
    }
}

/// Returns the heads of the columns.
pub(crate) fn head() -> String {
    format!(
        "{:<20}{:>9}{:>10}{:>8}{:>8}{:>8}{:>8}{:>9}{:>7}{}  missed",
        "flood",
        "acts/s",
        "MiB sent",
        "state",
        "peak",
        "after",
        "back",
        "RSS MiB",
        "peak",
        SERVICES.map(|service| format!("{service:>9}")).concat(),
    )
}

/// Runs the floods, each against an empty server, and prints their rows.
///
/// # Errors
///
/// A run fails.
pub(crate) fn run(ground: &Ground, seconds: f64) -> Result<Vec<Flood>> {
    let mut floods = Vec::new();
    for kind in KINDS {
        let flood = flood(ground, kind, seconds)?;
        println!("{}", flood.row());
        floods.push(flood);
    }
    Ok(floods)
}

fn flood(ground: &Ground, kind: &'static str, seconds: f64) -> Result<Flood> {
    let more = format!(
        "[state]\nmax_bytes = {STATE_BYTES}\nttl_seconds = {TTL_SECONDS}\n\n[limits]\nsweep_seconds = 1\n"
    );
    let mut scene = Scene::begin(ground, &more, 0)?;
    let state = ground.data().join(".state");
    let (base, rss_base) = (allocated(&state), scene.server.rss_kib()?);
    scene.server.reset_peak()?;
    let mut attackers = Attackers::start(ground, &scene.server, kind, SOCKETS, seconds)?;
    scene.neighbour.begin()?;
    let mut peak = base;
    while !attackers.have_ended()? {
        peak = peak.max(allocated(&state));
        sleep(LOOK);
    }
    let done = attackers.wait()?;
    let second_owner = scene.neighbour.end()?;
    second_owner.show_failures();
    let rss_peak = scene.server.peak_rss_kib()?;
    let begun = Instant::now();
    let (back_after, after) = loop {
        let now = allocated(&state);
        peak = peak.max(now);
        if now <= base + STATE_LEFT_BYTES {
            break (Some(begun.elapsed().as_secs_f64()), now);
        }
        if begun.elapsed() > Duration::from_secs(TTL_SECONDS) + BACK_MAX {
            break (None, now);
        }
        sleep(LOOK);
    };
    scene.check_log()?;
    Ok(Flood {
        kind,
        done,
        state: [base, peak, after],
        back_after,
        rss_kib: [rss_base, rss_peak],
        second_owner,
        is_alive: scene.server.is_running()?,
    })
}

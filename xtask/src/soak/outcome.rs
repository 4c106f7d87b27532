//! What one attack came to: against its bars, as a row, and as figures.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::neighbour::{SERVICES, Served};

/// What the server may hold more than before, in KiB.
const GROWTH_KIB_MAX: u64 = 64 * 1024;
/// What an honest uploader keeps of its speed at least.
const SHARE_MIN: f64 = 0.8;
/// Bytes on the disk for each that the attackers sent.
const DISK_PER_BYTE_MAX: u64 = 2;
/// Bytes on the disk however little they sent: files of databases grow in steps, and the log has its lines.
const DISK_SLACK_BYTES: u64 = 16 << 20;

/// One kind, as the attackers describe it.
#[derive(Deserialize)]
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) per_second: f64,
    pub(super) what: String,
    pub(super) leaves_parked: bool,
}

/// What the attackers did.
#[derive(Deserialize, Serialize)]
pub(super) struct Done {
    pub(super) seconds: f64,
    pub(super) connections: u64,
    pub(super) acts: u64,
    pub(super) bytes: u64,
    pub(super) ended_by_server: u64,
}

/// What one attack came to.
pub(super) struct Outcome {
    pub(super) done: Done,
    pub(super) rss_base_kib: u64,
    pub(super) rss_peak_kib: u64,
    pub(super) files_base: usize,
    pub(super) files_after: usize,
    pub(super) files_max: usize,
    /// Processor time of the server over that of the clock.
    pub(super) server_cpus: f64,
    /// Speed of the honest uploader alone and under attack, in MiB/s.
    pub(super) speed: Option<(f64, f64)>,
    /// Bytes that the data and the log took up before and after.
    pub(super) disk_base: u64,
    pub(super) disk_after: u64,
    /// How soon a second owner was served.
    pub(super) served: Served,
    pub(super) is_alive: bool,
}

impl Outcome {
    /// Returns what it took on the disk, without what the second owner stored.
    fn disk_bytes(&self) -> u64 {
        let grown = self.disk_after.saturating_sub(self.disk_base);
        grown.saturating_sub(self.served.stored_bytes())
    }

    fn share(&self) -> f64 {
        self.speed.map_or(1.0, |(alone, attacked)| attacked / alone)
    }

    /// Returns the bars that it misses.
    pub(super) fn misses(&self) -> Vec<&'static str> {
        let bars = [
            (
                self.rss_peak_kib <= self.rss_base_kib + GROWTH_KIB_MAX,
                "memory",
            ),
            (self.files_after <= self.files_max, "descriptors"),
            (self.share() >= SHARE_MIN, "speed"),
            (
                self.disk_bytes() <= DISK_PER_BYTE_MAX * self.done.bytes + DISK_SLACK_BYTES,
                "disk",
            ),
            (self.served.failures().is_empty(), "second owner"),
            (self.is_alive, "process"),
        ];
        let missed = bars.into_iter().filter(|(is_met, _)| !is_met);
        missed.map(|(_, name)| name).collect()
    }
}

/// Returns the heads of the columns.
pub(super) fn head() -> String {
    format!(
        "{:<20}{:>8}{:>9}{:>9}{:>9}{:>7}{:>7}{:>7}{:>8}{:>8}{:>7}{:>8}{:>7}{}  {:<12}{}",
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
        "KiB",
        "/sent",
        SERVICES.map(|service| format!("{service:>9}")).concat(),
        "missed",
        "one act",
    )
}

/// Returns what it came to, for people.
pub(super) fn row(kind: &Kind, outcome: &Outcome) -> String {
    let mib = |kib: u64| kib as f64 / 1024.0;
    let done = &outcome.done;
    let (alone, attacked) = outcome.speed.unwrap_or((f64::NAN, f64::NAN));
    let misses = outcome.misses();
    format!(
        "{:<20}{:>8.1}{:>9.0}{:>9.0}{:>9.1}{:>7.1}{:>7.2}{:>7}{:>8.0}{:>8.0}{:>6.0}%{:>8}{:>7.2}{}  {:<12}{}",
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
        outcome.disk_bytes() / 1024,
        outcome.disk_bytes() as f64 / done.bytes.max(1) as f64,
        SERVICES
            .map(|service| format!("{:>8.2}s", outcome.served.worst(service)))
            .concat(),
        if misses.is_empty() {
            "-".to_owned()
        } else {
            misses.join(",").to_uppercase()
        },
        kind.what,
    )
}

/// Returns what it came to, for programs.
pub(super) fn figures(kind: &Kind, outcome: &Outcome) -> serde_json::Value {
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
        "disk_bytes": outcome.disk_bytes(),
        "second_owner": outcome.served,
        "missed": outcome.misses(),
    })
}

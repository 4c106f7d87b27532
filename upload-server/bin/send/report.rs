//! What people see, and what programs read: bars, notices, lines of JSON, the summary.

use std::{
    cell::{Cell, RefCell},
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use upload_core::Outcome;
use upload_proto::Configs;

use super::{sources::Source, upload::Sent};
use crate::errors;

/// Prints what happens in a run.
pub(super) struct Report {
    style: Style,
    slot: String,
    bar: ProgressBar,
    begun: Instant,
    files: usize,
    stored: Cell<u64>,
    /// Those of the stored files that an earlier run sent.
    earlier: Cell<u64>,
    stored_bytes: Cell<u64>,
    failed: Cell<u64>,
    /// Whether files that are stored wait until an application takes them.
    waits: Cell<bool>,
    /// Said last, so that many connections in the same trouble do not say it each.
    last_notice: RefCell<String>,
}

/// What is written besides errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A bar, notices, a summary.
    People,
    /// The same, and a line of JSON for each file on the standard output.
    Json,
    /// Nothing.
    Quiet,
    /// The lines of JSON only.
    QuietJson,
}

impl Style {
    pub(super) fn new(quiet: bool, json: bool) -> Self {
        match (quiet, json) {
            (false, false) => Self::People,
            (false, true) => Self::Json,
            (true, false) => Self::Quiet,
            (true, true) => Self::QuietJson,
        }
    }

    fn is_quiet(self) -> bool {
        matches!(self, Self::Quiet | Self::QuietJson)
    }

    fn has_json(self) -> bool {
        matches!(self, Self::Json | Self::QuietJson)
    }
}

impl Report {
    pub(super) fn new(style: Style, slot: &str, sources: &[Source]) -> Self {
        let bytes = sources.iter().map(|source| source.size).sum();
        let bar = if style.is_quiet() {
            ProgressBar::hidden()
        } else {
            bar(bytes, sources)
        };
        Self {
            style,
            slot: slot.to_owned(),
            bar,
            begun: Instant::now(),
            files: sources.len(),
            stored: Cell::new(0),
            earlier: Cell::new(0),
            stored_bytes: Cell::new(0),
            failed: Cell::new(0),
            waits: Cell::new(false),
            last_notice: RefCell::default(),
        }
    }

    /// The server tells its slots. Older ones do not say whether files wait.
    pub(super) fn learn(&self, configs: &Configs) {
        let slot = configs.upload_configs.get(&self.slot);
        let consumes = slot.and_then(|slot| slot.consumes_on_complete);
        self.waits.set(consumes == Some(false));
    }

    /// The size of a file is known only now.
    pub(super) fn size_known(&self, before: u64, size: u64) {
        if size != before {
            let length = self.bar.length().unwrap_or_default();
            let length = length.saturating_sub(before).saturating_add(size);
            self.bar.set_length(length);
        }
    }

    /// The server has so many bytes of a file, instead of so many.
    pub(super) fn advanced(&self, before: u64, received: u64) {
        match received.checked_sub(before) {
            Some(more) => self.bar.inc(more),
            None => self.bar.dec(before.saturating_sub(received)),
        }
    }

    /// Tells of a trouble that may pass.
    pub(super) fn notice(&self, text: &str) {
        if !self.style.is_quiet() && *self.last_notice.borrow() != text {
            text.clone_into(&mut self.last_notice.borrow_mut());
            self.print(text);
        }
    }

    /// Tells how a file ended.
    pub(super) fn ended(&self, path: &Path, sent: &anyhow::Result<Sent>, took: Duration) {
        let trouble = trouble(sent);
        match (&trouble, sent) {
            (None, Ok(sent)) => {
                self.stored.set(self.stored.get().saturating_add(1));
                let bytes = self.stored_bytes.get().saturating_add(sent.size);
                self.stored_bytes.set(bytes);
            }
            _ => self.failed.set(self.failed.get().saturating_add(1)),
        }
        self.count();
        if self.style.has_json() {
            let mut line = line(path, &self.slot, sent, trouble.as_deref(), took);
            if trouble.is_none() {
                line["waits"] = json!(self.waits.get());
            }
            self.bar.suspend(|| println!("{line}"));
        } else if let Some(trouble) = trouble {
            self.print(&format!(
                "{}: {trouble}",
                printable(&path.to_string_lossy())
            ));
        }
    }

    /// Tells that an earlier run stored a file, so that it is not sent.
    pub(super) fn left_out(&self, path: &Path, size: u64) {
        self.notice("what an earlier run stored is left out; --restart sends it again");
        self.stored.set(self.stored.get().saturating_add(1));
        self.earlier.set(self.earlier.get().saturating_add(1));
        self.bar.inc(size);
        self.count();
        if self.style.has_json() {
            let line = json!({
                "file": path.to_string_lossy(),
                "slot": self.slot,
                "ok": true,
                "earlier": true,
                "size": size,
                "seconds": 0.0,
            });
            self.bar.suspend(|| println!("{line}"));
        }
    }

    /// Shows how many files ended.
    fn count(&self) {
        if self.files > 1 {
            let done = self.stored.get().saturating_add(self.failed.get());
            self.bar.set_message(message(done, self.files));
        }
    }

    /// Tells of the whole run.
    pub(super) fn finish(&self) {
        if self.failed.get() == 0 {
            self.bar.finish();
        } else {
            self.bar.abandon();
        }
        if self.style.is_quiet() {
            return;
        }
        let took = self.begun.elapsed();
        let bytes = self.stored_bytes.get();
        let rate = bytes as f64 / took.as_secs_f64().max(0.001);
        let failed = match self.failed.get() {
            0 => String::new(),
            failed => format!(", {} not", HumanCount(failed)),
        };
        let files = if self.stored.get() == 1 {
            "file"
        } else {
            "files"
        };
        let earlier = match self.earlier.get() {
            0 => String::new(),
            earlier => format!(" ({} by an earlier run)", HumanCount(earlier)),
        };
        eprintln!(
            "{} {files} stored{earlier}{failed}: {} in {:.1} s ({}/s)",
            HumanCount(self.stored.get()),
            HumanBytes(bytes),
            took.as_secs_f64(),
            HumanBytes(rate as u64),
        );
        if self.waits.get() && self.stored.get() > 0 {
            let (wait, them) = match self.stored.get() {
                1 => ("it waits", "it"),
                _ => ("they wait", "them"),
            };
            eprintln!("{wait} until the application takes {them}");
        }
    }

    fn print(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

fn bar(bytes: u64, sources: &[Source]) -> ProgressBar {
    let style = "{msg} {wide_bar} {percent}% {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(style).expect("the template is well-formed");
    let name = match sources {
        [source] => printable(&source.name).chars().take(40).collect(),
        many => message(0, many.len()),
    };
    ProgressBar::new(bytes).with_style(style).with_message(name)
}

fn message(done: u64, files: usize) -> String {
    let files = HumanCount(u64::try_from(files).unwrap_or(u64::MAX));
    format!("{}/{files} files", HumanCount(done))
}

/// Control characters in a name could rewrite the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Returns what went wrong, for people.
fn trouble(sent: &anyhow::Result<Sent>) -> Option<String> {
    const AGAIN: &str = "run the same command again to continue";

    let outcome = match sent {
        Ok(sent) => &sent.outcome,
        Err(error) => return Some(errors::line(error)),
    };
    Some(match outcome {
        Outcome::Complete { .. } => return None,
        Outcome::Refused { code, text } => format!("{text} ({code})"),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::FileChanged => "the file changed while it was sent".to_owned(),
        Outcome::Unreachable { code: None } => format!("no connection; {AGAIN}"),
        Outcome::Unreachable { code: Some(code) } => {
            format!("{} ({code}); {AGAIN}", code.text())
        }
        Outcome::ProtocolViolation(violation) => violation.to_string(),
    })
}

/// Returns the line of `--json`.
fn line(
    path: &Path,
    slot: &str,
    sent: &anyhow::Result<Sent>,
    trouble: Option<&str>,
    took: Duration,
) -> Value {
    let mut line = json!({
        "file": path.to_string_lossy(),
        "slot": slot,
        "ok": false,
        "seconds": took.as_secs_f64(),
    });
    let mut set = |key: &str, value: Value| line[key] = value;
    if let Ok(sent) = sent {
        set("upload_id", json!(sent.upload));
        set("size", json!(sent.size));
        set("connections", json!(sent.connections));
    }
    match sent.as_ref().map(|sent| &sent.outcome) {
        Ok(Outcome::Complete { result, crc32c }) => {
            set("ok", json!(true));
            set("result", result.clone());
            set("crc32c", json!(crc32c));
        }
        Ok(Outcome::Refused { code, .. } | Outcome::Unreachable { code: Some(code) }) => {
            set("code", json!(code));
        }
        _ => {}
    }
    if let Some(trouble) = trouble {
        set("error", json!(trouble));
    }
    line
}

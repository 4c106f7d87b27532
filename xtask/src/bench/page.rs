//! `cargo xtask bench page`: many photos in a page, with the widget, with Uppy's Dashboard and with bare `fetch`.

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    bars::Bar,
    in_browser::Browsers,
    report::median,
    rounds::{Common, Groups},
};

/// Who sends, as the script names them.
const SUBJECTS: [&str; 3] = ["widget", "Uppy", "fetch"];

/// What to measure.
#[derive(Args)]
pub(crate) struct Page {
    #[command(flatten)]
    common: Common,
    /// Photos that each of the three sends
    #[arg(long, default_value_t = 1000)]
    files: u32,
    /// Bytes of a photo
    #[arg(long, default_value_t = 346_000)]
    bytes: u32,
    /// Small photos that the widget sends once, behind the rounds
    #[arg(long, default_value_t = 10_000)]
    many: u32,
}

/// What the script writes.
#[derive(Deserialize)]
struct Figures {
    runs: Vec<Run>,
    many: Run,
}

#[derive(Deserialize, Serialize)]
struct Run {
    subject: String,
    files: u32,
    seconds: f64,
    heap_mb: f64,
    freeze_ms: f64,
    first_byte_seconds: Option<f64>,
}

impl Page {
    /// Runs everything, prints table and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something is missing or does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let browsers = Browsers::make(&self.common)?;
        let loads = [
            ("files", self.files),
            ("bytes", self.bytes),
            ("many", self.many),
        ];
        let loads = loads.map(|(name, value)| (name, value.to_string()));
        let Figures { runs, many } = browsers.measure("page", &self.common, &loads)?;
        println!(
            "\n{:<8}{:>9}{:>10}{:>10}{:>12}",
            "subject", "files/s", "seconds", "heap MB", "freeze ms"
        );
        let mut groups: Groups = Vec::new();
        for subject in SUBJECTS {
            let per_second = f64::from(self.files) / middle(&runs, subject, |run| run.seconds);
            println!(
                "{subject:<8}{per_second:>9.1}{:>10.2}{:>10.1}{:>12.0}",
                middle(&runs, subject, |run| run.seconds),
                most(&runs, subject, |run| run.heap_mb),
                most(&runs, subject, |run| run.freeze_ms)
            );
            groups.push((subject.to_owned(), vec![(subject.to_owned(), per_second)]));
        }
        println!();
        let seconds = |subject| middle(&runs, subject, |run| run.seconds);
        let bars = [
            Bar::at_least(
                1.5,
                "files per second, widget / Uppy Dashboard",
                seconds("Uppy") / seconds("widget"),
            ),
            Bar::at_most(
                1.3,
                "time, widget / bare fetch with three at a time",
                seconds("widget") / seconds("fetch"),
            ),
            Bar::at_most(
                60.0,
                "heap of the widget's page after a forced collection, in MB",
                most(&runs, "widget", |run| run.heap_mb),
            ),
            Bar::at_most(
                200.0,
                "longest freeze of the widget's page, in ms",
                most(&runs, "widget", |run| run.freeze_ms),
            ),
            Bar::at_most(
                500.0,
                format!("longest freeze with {} files, in ms", self.many),
                many.freeze_ms,
            ),
            Bar::at_most(
                2.0,
                format!("first byte with {} files, in seconds", self.many),
                many.first_byte_seconds.unwrap_or(f64::NAN),
            ),
        ];
        let title = format!("Photos of {} bytes per second", self.bytes);
        let figures = json!({"bytes": self.bytes, "runs": runs, "many": many});
        let charts = vec![("page", title, groups)];
        self.common
            .keep(browsers.bed(), "page", figures, &bars, charts)
    }
}

fn of<'a>(
    runs: &'a [Run],
    subject: &'a str,
    figure: fn(&Run) -> f64,
) -> impl Iterator<Item = f64> + 'a {
    let runs = runs.iter().filter(move |run| run.subject == subject);
    runs.map(figure)
}

fn middle(runs: &[Run], subject: &str, figure: fn(&Run) -> f64) -> f64 {
    median(of(runs, subject, figure))
}

fn most(runs: &[Run], subject: &str, figure: fn(&Run) -> f64) -> f64 {
    of(runs, subject, figure).fold(f64::NAN, f64::max)
}

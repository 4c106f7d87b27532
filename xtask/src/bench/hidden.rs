//! `cargo xtask bench hidden`: a tab that is really hidden, compared with a visible one, over the same slow link.

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{bars::Bar, in_browser::Browsers, report::median, rounds::Common};

/// The most that a hidden tab may take of a visible one's time.
const RATIO_MAX: f64 = 1.2;
/// The client that sent from timers; the bench is right only if that one misses the bar.
const EARLIER: &str = "b4eb859";
const OURS: &str = "ours";
/// The longest time without progress on a slow link, in seconds: half of what a server waits by default.
const PAUSE_MAX: f64 = 30.0;

/// What to measure.
#[derive(Args)]
pub(crate) struct Hidden {
    #[command(flatten)]
    common: Common,
    /// MiB of the file
    #[arg(long, default_value_t = 256)]
    mib: u32,
    /// Bytes that the link takes in a second
    #[arg(long, default_value_t = 20_000_000)]
    rate: u32,
    /// Browsers
    #[arg(long, value_delimiter = ',', default_values = ["chromium", "firefox"])]
    engines: Vec<String>,
    /// Leave out the earlier client, which takes a full history of the repository
    #[arg(long)]
    ours_only: bool,
    /// Instead, stay hidden on a slow link for so many minutes
    #[arg(long, conflicts_with_all = ["mib", "rate"])]
    minutes: Option<f64>,
}

/// What the script writes.
#[derive(Deserialize)]
struct Figures {
    runs: Vec<Run>,
    stays: Vec<Stay>,
}

/// One tab that stayed hidden.
#[derive(Deserialize, Serialize)]
struct Stay {
    engine: String,
    received: f64,
    lost: u32,
    pause_seconds: f64,
    ticks: f64,
}

#[derive(Deserialize, Serialize)]
struct Run {
    engine: String,
    client: String,
    visible: f64,
    hidden: f64,
    ticks: f64,
    is_done: bool,
}

impl Hidden {
    /// Runs everything, prints the bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something is missing or does not build, a run fails, or a tab was not really hidden.
    pub(crate) fn run(&self) -> Result<()> {
        let browsers = Browsers::make(&self.common)?;
        if let Some(minutes) = self.minutes {
            return self.stay(&browsers, minutes);
        }
        let mut options = vec![
            ("mib", self.mib.to_string()),
            ("rate", self.rate.to_string()),
            ("engines", self.engines.join(",")),
        ];
        if !self.ours_only {
            options.push(("earlier", EARLIER.to_owned()));
        }
        let Figures { runs, .. } = browsers.measure("hidden", &self.common, &options)?;
        println!();
        let mut bars = Vec::new();
        for engine in &self.engines {
            let ratio = |client: &str| {
                let runs = runs.iter();
                let runs = runs.filter(|run| run.engine == *engine && run.client == client);
                median(runs.map(|run| run.hidden / run.visible))
            };
            bars.push(Bar::at_most(
                RATIO_MAX,
                format!("{engine}: time of a hidden tab / of a visible one"),
                ratio(OURS),
            ));
            if !self.ours_only {
                bars.push(Bar::at_least(
                    RATIO_MAX,
                    format!(
                        "{engine}: the same with the client of {EARLIER}, which has to miss it"
                    ),
                    ratio(EARLIER),
                ));
            }
        }
        let figures = json!({"mib": self.mib, "rate": self.rate, "runs": runs});
        self.common
            .keep(browsers.bed(), "hidden", figures, &bars, Vec::new())
    }

    /// Hides a tab for minutes, in which no connection and no upload may be lost.
    fn stay(&self, browsers: &Browsers, minutes: f64) -> Result<()> {
        let options = [
            ("minutes", minutes.to_string()),
            ("engines", self.engines.join(",")),
        ];
        let Figures { stays, .. } = browsers.measure("hidden", &self.common, &options)?;
        println!();
        let mut bars = Vec::new();
        for engine in &self.engines {
            let stay = stays.iter().find(|stay| stay.engine == *engine);
            bars.push(Bar::at_most(
                0.0,
                format!("{engine}: connections lost in {minutes} hidden minutes"),
                stay.map_or(f64::NAN, |stay| stay.lost.into()),
            ));
            bars.push(Bar::at_most(
                PAUSE_MAX,
                format!("{engine}: longest time without progress, in seconds"),
                stay.map_or(f64::NAN, |stay| stay.pause_seconds),
            ));
        }
        let figures = json!({"minutes": minutes, "stays": stays});
        self.common
            .keep(browsers.bed(), "hidden-minutes", figures, &bars, Vec::new())
    }
}

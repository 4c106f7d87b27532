//! What records cost, as part of `cargo xtask bench resume`: small uploads over each store next to memory, how often
//! records are saved, and what it adds that a finished file waits for its application.

use std::{thread::sleep, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    bars::Bar,
    driving::Generator,
    metric::metric,
    process::Server,
    report::median,
    subject::{Bed, Load, Sink, Subject},
};

/// The stores, memory first.
const STORES: [Subject; 4] = [
    Subject::Memory,
    Subject::Embedded,
    Subject::Redis,
    Subject::Postgres,
];
/// Those whose saves are counted while uploads are idle: one store is this process's own, one is shared.
const IDLE_STORES: [Subject; 2] = [Subject::Embedded, Subject::Redis];
/// Uploads at a time.
const AT_A_TIME: u32 = 32;
/// Bytes of a small upload.
const SMALL_BYTES: u64 = 4096;
/// The time of a small upload that then waits over that of one that does not.
const WAITING_MAX: f64 = 1.3;
/// How often a small resumable upload is saved: registered, its first bytes, its receipt, and one more.
const PUTS_MAX: f64 = 4.0;
/// How often an idle one is saved in a minute: each time a third of its lease of 30 s is over.
const IDLE_PUTS_MAX: f64 = 6.0;
/// Idle uploads have their first bytes saved before this is over.
const SAVED_WITHIN: Duration = Duration::from_secs(3);

/// What is measured.
pub(super) struct Kept {
    /// Small uploads of a run.
    pub(super) files: u32,
    /// Seconds for which uploads are idle.
    pub(super) idle_seconds: f64,
    runs: Vec<(Subject, Vec<Run>)>,
}

/// One run of small uploads.
struct Run {
    files_per_second: f64,
    /// Of a server that counts them.
    puts_per_upload: Option<f64>,
}

impl Kept {
    /// Returns who has to be there.
    pub(super) fn subjects() -> Vec<Subject> {
        let waiting = [Subject::Taking, Subject::Waiting];
        STORES.into_iter().chain(waiting).collect()
    }

    pub(super) fn new(files: u32, idle_seconds: f64) -> Self {
        let subjects = Self::subjects().into_iter();
        Self {
            files,
            idle_seconds,
            runs: subjects.map(|subject| (subject, Vec::new())).collect(),
        }
    }

    /// Runs each once.
    ///
    /// # Errors
    ///
    /// A run fails.
    pub(super) fn round(&mut self, bed: &Bed) -> Result<()> {
        let load = Load {
            files: self.files,
            in_flight: AT_A_TIME,
            bytes: SMALL_BYTES,
            ..Load::default()
        };
        for (subject, runs) in &mut self.runs {
            runs.push(run(bed, *subject, load)?);
        }
        Ok(())
    }

    /// Has uploads idle, and prints the tables; returns the figures and the bars.
    ///
    /// # Errors
    ///
    /// A run fails.
    pub(super) fn report(&self, bed: &Bed) -> Result<(Value, Vec<Bar>)> {
        let (mut bars, mut figures) = (Vec::new(), Vec::new());
        println!(
            "{SMALL_BYTES} bytes, {AT_A_TIME} at a time\n{:>10}{:>10}{:>14}{:>12}",
            "subject", "files/s", "over memory", "puts each"
        );
        let memory = self.per_second(Subject::Memory);
        for subject in Self::subjects() {
            let (per_second, puts) = (self.per_second(subject), self.puts(subject));
            let over = per_second / memory;
            println!("{subject:>10}{per_second:>10.0}{over:>14.2}{puts:>12.2}");
            figures.push(json!({
                "subject": subject.to_string(), "files_per_second": per_second,
                "over_memory": over, "puts_per_upload": puts,
            }));
            if STORES.contains(&subject) {
                let what = format!("{subject}: puts per small upload");
                bars.push(Bar::at_most(PUTS_MAX, what, puts));
            }
        }
        let mut idle = Vec::new();
        for subject in IDLE_STORES {
            let puts = self.idle(bed, subject)?;
            println!("{subject}: an idle upload is saved {puts:.2} times a minute");
            idle.push(json!({ "subject": subject.to_string(), "puts_per_minute": puts }));
            let what = format!("{subject}: puts per upload and idle minute");
            bars.push(Bar::at_most(IDLE_PUTS_MAX, what, puts));
        }
        println!();
        let what = format!(
            "small uploads, {AT_A_TIME} at a time, embedded: time with a waiting record over without"
        );
        let waiting = self.per_second(Subject::Taking) / self.per_second(Subject::Waiting);
        bars.push(Bar::at_most(WAITING_MAX, what, waiting));
        let figures = json!({ "small": figures, "idle": idle, "waiting_over_taken": waiting });
        Ok((figures, bars))
    }

    fn of(&self, subject: Subject) -> impl Iterator<Item = &Run> {
        let own = self.runs.iter().filter(move |(of, _)| *of == subject);
        own.flat_map(|(_, runs)| runs)
    }

    fn per_second(&self, subject: Subject) -> f64 {
        median(self.of(subject).map(|run| run.files_per_second))
    }

    fn puts(&self, subject: Subject) -> f64 {
        median(self.of(subject).filter_map(|run| run.puts_per_upload))
    }

    /// Returns how often an upload is saved in a minute in which nothing comes.
    fn idle(&self, bed: &Bed, subject: Subject) -> Result<f64> {
        let load = Load {
            uploads: AT_A_TIME,
            bytes: 1 << 20,
            is_begun: true,
            ..Load::default()
        };
        let server = bed.start(subject, Sink::File, load)?;
        let generator = Generator::start(bed, &server, Sink::File, load)?;
        sleep(SAVED_WITHIN);
        let before = saves(&server)?;
        sleep(Duration::from_secs_f64(self.idle_seconds));
        let puts = saves(&server)? - before;
        drop((generator, server));
        bed.clean();
        Ok(puts / f64::from(AT_A_TIME) * 60.0 / self.idle_seconds)
    }
}

fn run(bed: &Bed, subject: Subject, load: Load) -> Result<Run> {
    let server = bed.start(subject, Sink::File, load)?;
    let mut generator = Generator::start(bed, &server, Sink::File, load)?;
    let counts = STORES.contains(&subject);
    let saves = || counts.then(|| saves(&server)).transpose();
    let before = saves()?;
    generator.begin()?;
    let report = generator.report()?;
    let after = saves()?;
    drop(server);
    bed.clean();
    let files = f64::from(load.files);
    Ok(Run {
        files_per_second: files / report.seconds,
        puts_per_upload: after
            .zip(before)
            .map(|(after, before)| (after - before) / files),
    })
}

fn saves(server: &Server) -> Result<f64> {
    metric(&server.address, "upload_save_seconds_count")
}

//! `cargo xtask soak send`: many small files from a directory, by `upload-server send` and by `rsync`, in turn.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::ground::Ground;
use crate::{run::must_succeed, services};

/// One slot that takes as many files as come.
const SLOTS: &str = "[limits]\nmax_uploads_per_owner = 64\n\n[slots.many]\nmax_entries = 64\n";

/// What to send.
#[derive(Args)]
pub(crate) struct Send {
    /// Files
    #[arg(long, default_value_t = 10_000)]
    files: usize,
    /// Bytes of each
    #[arg(long, default_value_t = 10 * 1024)]
    bytes: usize,
    /// Times that each is run, in turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Files at a time of `send`; by default as many as it takes by itself
    #[arg(long)]
    jobs: Option<usize>,
    /// Take the release binaries as they are
    #[arg(long)]
    no_build: bool,
}

impl Send {
    /// Sends the files by both, and prints how many each stored in a second.
    ///
    /// # Errors
    ///
    /// Something does not build, or a file is not stored.
    pub(crate) fn run(&self) -> Result<()> {
        services::rsync()?;
        let ground = Ground::make(self.no_build)?;
        let from = ground.folder().join("send-from");
        let _ = fs::remove_dir_all(&from);
        fs::create_dir_all(&from)?;
        for number in 0..self.files {
            let file: Vec<u8> = (0..self.bytes)
                .map(|at| (at * 31 + number * 7) as u8)
                .collect();
            fs::write(from.join(format!("{number}.bin")), file)?;
        }
        let (mut sent, mut copied) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            sent.push(self.send(&ground, &from)?);
            copied.push(self.rsync(&ground, &from)?);
        }
        let (sent, copied) = (median(&mut sent), median(&mut copied));
        println!("{:<24}{:>10}", "files a second", "median");
        let jobs = self.jobs.map(|jobs| format!(" --jobs {jobs}"));
        println!(
            "{:<24}{sent:>10.0}",
            format!("send{}", jobs.unwrap_or_default())
        );
        println!("{:<24}{copied:>10.0}", "rsync --whole-file");
        println!("{:<24}{:>10.2}", "send over rsync", sent / copied);
        fs::remove_dir_all(&from)?;
        Ok(())
    }

    fn send(&self, ground: &Ground, from: &Path) -> Result<f64> {
        let server = ground.start(SLOTS)?;
        let state = ground.folder().join("send-state");
        let _ = fs::remove_dir_all(&state);
        let begun = Instant::now();
        let mut command = Command::new(ground.server());
        command.args(["send", "--quiet", "--slot", "many"]);
        if let Some(jobs) = self.jobs {
            command.args(["--jobs", &jobs.to_string()]);
        }
        must_succeed(
            command
                .args(["--url", &format!("http://{}", server.address)])
                .arg(from)
                .env("XDG_STATE_HOME", &state),
        )?;
        let rate = self.files as f64 / begun.elapsed().as_secs_f64();
        self.check(&ground.data().join("many"))?;
        Ok(rate)
    }

    fn rsync(&self, ground: &Ground, from: &Path) -> Result<f64> {
        let to = ground.data().join("rsync");
        let _ = fs::remove_dir_all(&to);
        let begun = Instant::now();
        let copy = ["--archive", "--whole-file"];
        must_succeed(Command::new("rsync").args(copy).arg(from.join("")).arg(&to))?;
        let rate = self.files as f64 / begun.elapsed().as_secs_f64();
        self.check(&to)?;
        Ok(rate)
    }

    fn check(&self, folder: &Path) -> Result<()> {
        let stored = fs::read_dir(folder).context("nothing is stored")?.count();
        ensure!(
            stored == self.files,
            "{stored} of {} are stored",
            self.files
        );
        Ok(())
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

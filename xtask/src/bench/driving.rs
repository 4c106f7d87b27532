//! A load generator at work: it gets ready, begins when it is told to, and reports at its end.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{
    generator::generator,
    process::Server,
    subject::{Bed, Load, Sink},
};

/// A load generator that is ready; it is killed when it is dropped.
pub(crate) struct Generator {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What it says at its end.
#[derive(Deserialize)]
pub(crate) struct LoadReport {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) resume_ms: Vec<f64>,
    pub(crate) receipt_ms: Option<f64>,
}

impl Generator {
    /// Starts it, and waits until it has registered its first uploads.
    ///
    /// # Errors
    ///
    /// It does not get ready.
    pub(crate) fn start(bed: &Bed, server: &Server, sink: Sink, load: Load) -> Result<Self> {
        Self::of(&mut generator(bed, &server.address, sink, load))
    }

    /// Starts one by its command, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// It does not get ready.
    pub(crate) fn of(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the load generator")?;
        let input = child.stdin.take().context("piped")?;
        let lines = BufReader::new(child.stdout.take().context("piped")?).lines();
        let mut generator = Self {
            child,
            input,
            lines,
        };
        if generator.lines.next().transpose()?.as_deref() != Some("ready") {
            bail!("the load generator did not get ready");
        }
        Ok(generator)
    }

    /// Has it begin.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub(crate) fn begin(&mut self) -> Result<()> {
        Ok(self.input.write_all(b"begin\n")?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// It failed.
    pub(crate) fn report(mut self) -> Result<LoadReport> {
        let last = self.lines.next().transpose()?;
        let status = self.child.wait()?;
        let Some(report) = last.filter(|_| status.success()) else {
            bail!("the load generator failed: {status}");
        };
        Ok(serde_json::from_str(&report)?)
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

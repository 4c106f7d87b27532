//! The attackers: a process with the lowest priority.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{
    ground::Ground,
    outcome::{Done, Kind},
};
use crate::{bench::process::Server, run::output_of};

/// Attackers at work.
pub(crate) struct Attackers {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Attackers {
    /// Starts them for some seconds.
    ///
    /// # Errors
    ///
    /// They do not get ready.
    pub(crate) fn start(
        ground: &Ground,
        server: &Server,
        kind: &str,
        sockets: u32,
        seconds: f64,
    ) -> Result<Self> {
        let mut child = Command::new("nice")
            .args(["-n", "19"])
            .arg(ground.program("attack"))
            .args(["run", "--address", &server.address, "--kind", kind])
            .args(["--sockets", &sockets.to_string()])
            .args(["--seconds", &seconds.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the attackers")?;
        let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
        if lines.next().transpose()?.as_deref() != Some("ready") {
            bail!("the attackers did not get ready");
        }
        Ok(Self { child, lines })
    }

    /// Returns whether they have ended.
    ///
    /// # Errors
    ///
    /// The system cannot tell.
    pub(crate) fn have_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits until they end; returns what they did.
    ///
    /// # Errors
    ///
    /// They fail.
    pub(crate) fn wait(mut self) -> Result<Done> {
        let last = self.lines.next().transpose()?;
        let status = self.child.wait()?;
        let Some(done) = last.filter(|_| status.success()) else {
            bail!("the attackers failed: {status}");
        };
        Ok(serde_json::from_str(&done)?)
    }
}

/// Returns every kind of attack.
///
/// # Errors
///
/// The attackers do not say.
pub(crate) fn kinds(ground: &Ground) -> Result<Vec<Kind>> {
    let list = output_of(Command::new(ground.program("attack")).arg("list"))?;
    Ok(serde_json::from_str(&list)?)
}

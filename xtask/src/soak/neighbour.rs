//! The second owner next to an attack, and how soon it was served.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::ground::Ground;

/// Seconds within which each of its requests has to succeed.
const GUARD_SECONDS: &str = "30";
/// Bytes that it stores in one round, twice over for the blocks of small files.
const ROUND_BYTES: u64 = 2 * (64 + 256) * 1024;
/// What it asks for, as the columns of a table.
pub(crate) const SERVICES: [&str; 5] = ["register", "resume", "presign", "hook", "webhook"];
/// What its webhook is signed with.
pub(crate) const SECRET: &str = "a secret of 32 bytes that no attacker has";

/// How one service answered.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Answers {
    times: u64,
    worst: f64,
    mean: f64,
    retries: u64,
    failure: Option<String>,
}

/// What all services answered during one attack.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Served(BTreeMap<String, Option<Answers>>);

impl Served {
    /// Returns the longest time of one service, in seconds.
    pub(crate) fn worst(&self, service: &str) -> f64 {
        let own = self.0.get(service).and_then(Option::as_ref);
        own.map_or(f64::NAN, |own| own.worst)
    }

    /// Returns what failed, or was never tried.
    pub(crate) fn failures(&self) -> Vec<String> {
        let of = |service: &&str| match self.0.get(*service).and_then(Option::as_ref) {
            None => Some(format!("{service}: was not tried")),
            Some(own) => Some(format!("{service}: {}", own.failure.as_ref()?)),
        };
        SERVICES.iter().filter_map(of).collect()
    }

    /// Prints what failed.
    pub(crate) fn show_failures(&self) {
        for failure in self.failures() {
            println!("the second owner: {failure}");
        }
    }

    /// Returns at most how many bytes it stored.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let own = self.0.get("register").and_then(Option::as_ref);
        own.map_or(0, |own| (own.times + own.retries) * ROUND_BYTES)
    }
}

/// The second owner; ends when it is dropped.
pub(crate) struct Neighbour {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Neighbour {
    /// Starts it; the server calls its hook at `hook`, which takes `hook_ms` for the calls of others.
    ///
    /// # Errors
    ///
    /// It does not get ready.
    pub(crate) fn start(ground: &Ground, address: &str, hook: &str, hook_ms: u32) -> Result<Self> {
        let mut child = Command::new(ground.program("neighbour"))
            .args(["--address", address, "--hook", hook])
            .args(["--hook-ms", &hook_ms.to_string()])
            .args(["--webhook-secret", SECRET, "--guard", GUARD_SECONDS])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the second owner")?;
        let lines = BufReader::new(child.stdout.take().context("piped")?).lines();
        let input = child.stdin.take();
        let mut own = Self {
            child,
            input,
            lines,
        };
        if own.line()? != "ready" {
            bail!("the second owner did not get ready");
        }
        Ok(own)
    }

    /// Begins to measure.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(crate) fn begin(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("its input is open")?;
        Ok(input.write_all(b"\n")?)
    }

    /// Ends measuring, after a whole round.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(crate) fn end(&mut self) -> Result<Served> {
        self.begin()?;
        let line = self.line()?;
        Ok(serde_json::from_str(&line)?)
    }

    fn line(&mut self) -> Result<String> {
        let line = self.lines.next().transpose()?;
        line.context("the second owner ended")
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_or_was_not_tried_is_named() {
        let own = |failure: &str| {
            format!(r#"{{"times":1,"worst":2.5,"mean":1,"retries":0,"failure":{failure}}}"#)
        };
        let text = format!(
            r#"{{"register":{},"resume":{},"hook":{},"webhook":{},"presign":null}}"#,
            own("null"),
            own("\"locked\""),
            own("null"),
            own("null"),
        );
        let served: Served = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            served.failures(),
            ["resume: locked", "presign: was not tried"]
        );
        assert_eq!(served.worst("register"), 2.5);
        assert!(served.worst("presign").is_nan());
    }
}

//! Benches that a browser runs: their scripts are in `upload-server/client/test/browser/bench`.

use std::{ffi::OsString, fs, path::PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use super::{rounds::Common, subject::Bed};
use crate::{
    client,
    run::{must_succeed, program, server_binary},
    services,
};

/// The server, the browsers and what they need from npm.
pub(super) struct Browsers {
    bed: Bed,
    server: PathBuf,
    chromium: PathBuf,
    folder: PathBuf,
}

impl Browsers {
    /// Finds, builds or installs everything.
    ///
    /// # Errors
    ///
    /// Something is missing, or does not build.
    pub(super) fn make(common: &Common) -> Result<Self> {
        let folder = client::test_folder();
        let bed = Bed::unbuilt(common)?;
        let chromium = services::chromium()?;
        services::xvfb()?;
        services::other_browsers()?;
        services::npm_packages(&folder)?;
        let server = if common.no_build {
            bed.server().to_owned()
        } else {
            server_binary()?
        };
        Ok(Self {
            bed,
            server,
            chromium,
            folder,
        })
    }

    /// Returns where figures are kept.
    pub(super) fn bed(&self) -> &Bed {
        &self.bed
    }

    /// Runs a script, and returns the figures that it wrote.
    ///
    /// # Errors
    ///
    /// A run fails, or its figures cannot be read.
    pub(super) fn measure<T: DeserializeOwned>(
        &self,
        name: &str,
        common: &Common,
        more: &[(&str, String)],
    ) -> Result<T> {
        let figures = self.bed.folder().join(format!("{name}-runs.json"));
        let mut command = program("node", []);
        command
            .arg(self.folder.join(format!("browser/bench/{name}.mjs")))
            .arg("--server-binary")
            .arg(&self.server)
            .arg("--json")
            .arg(&figures)
            .args(["--rounds", &common.rounds.to_string()])
            .env("CHROMIUM", &self.chromium);
        for (option, value) in more {
            command
                .arg(OsString::from(format!("--{option}")))
                .arg(value);
        }
        must_succeed(&mut command)?;
        let text = fs::read_to_string(&figures).context("what the script measured")?;
        serde_json::from_str(&text).context("what the script measured")
    }
}

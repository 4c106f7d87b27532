//! Where it takes place: the programs, and a server configured as operators would.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::room::allocated;
use crate::{
    bench::process::{Server, crowded, free_address},
    run::{cargo, metadata, must_succeed, output_of, server_binary},
};

/// The programs, built, and a folder of their own.
pub(crate) struct Ground {
    release: PathBuf,
    folder: PathBuf,
    data: PathBuf,
}

impl Ground {
    /// Builds what is needed.
    ///
    /// # Errors
    ///
    /// Something does not build.
    pub(crate) fn make(no_build: bool) -> Result<Self> {
        if !no_build {
            server_binary()?;
            // Without what only benches need, which takes long to build.
            let peers = ["build", "--release", "--package", "upload-bench"];
            must_succeed(cargo(peers).args([
                "--no-default-features",
                "--bin",
                "upload-bench-attack",
                "--bin",
                "upload-bench-probe",
                "--bin",
                "upload-bench-neighbour",
            ]))?;
        }
        let target = metadata()?.target_directory;
        let folder = target.join("soak");
        fs::create_dir_all(&folder)?;
        Ok(Self {
            release: target.join("release"),
            data: folder.join("data"),
            folder,
        })
    }

    /// Returns where results are kept.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns where the server's files are.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Returns what the server's files and its log take up on the disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        allocated(&self.data) + allocated(&self.folder.join("server.log"))
    }

    /// Has the server keep its files in `parent`, in a folder of their own.
    ///
    /// # Errors
    ///
    /// There is no such folder.
    pub(crate) fn keep_in(&mut self, parent: &Path) -> Result<()> {
        let parent = parent.canonicalize();
        self.data = parent.context("no such folder for data")?.join("soak-data");
        Ok(())
    }

    /// Returns one of the programs of `upload-bench`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.release.join(format!("upload-bench-{name}"))
    }

    /// Returns the server's program.
    pub(crate) fn server(&self) -> PathBuf {
        self.release.join("upload-server")
    }

    /// Returns what the server has logged.
    pub(crate) fn log(&self) -> Result<String> {
        let bytes = fs::read(self.folder.join("server.log"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Starts a server with an empty folder: its own defaults but for `more`.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn start(&self, more: &str) -> Result<Server> {
        let data = self.data();
        let _ = fs::remove_dir_all(data);
        fs::create_dir_all(data)?;
        let address = free_address()?;
        let config = self.folder.join("server.toml");
        let text = format!(
            "listen = \"{address}\"\ndata_dir = \"{}\"\ndemo = false\n{more}",
            data.display()
        );
        fs::write(&config, text)?;
        let mut command = crowded(&self.release.join("upload-server"));
        command.arg("--config").arg(config);
        // Nothing is sent to a bucket; URLs are signed with these.
        command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
        command.env("AWS_SECRET_ACCESS_KEY", "a key that opens nothing");
        // Variables of the user who runs this must not change what is measured.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("UPLOAD_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        Server::start(&mut command, address, &self.folder.join("server.log"))
    }

    /// Runs a command of `upload-bench-probe` and returns what it printed.
    ///
    /// # Errors
    ///
    /// It fails.
    pub(crate) fn probe(&self, address: &str, slot: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(self.program("probe"));
        command.args(["--address", address, "--slot", slot]);
        output_of(command.args(args))
    }
}

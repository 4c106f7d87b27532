//! Where it takes place: the programs, and a server configured as operators would.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::room::allocated;
use crate::{
    bench::{
        process::{Server, free_address},
        subject::crowded,
    },
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
            // Without what only measuring needs, so that a test run does not wait for it.
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

/// Returns the sum of one metric over all its labels.
///
/// # Errors
///
/// The server does not answer.
pub(crate) fn metric(address: &str, name: &str) -> Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    sum(&answer, name).with_context(|| format!("a strange {name}"))
}

fn sum(text: &str, name: &str) -> Result<f64> {
    let own = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        matches!(rest.as_bytes().first(), Some(b' ' | b'{')).then_some(rest)
    });
    let mut sum = 0.0;
    for line in own {
        let value = line.rsplit(' ').next().unwrap_or_default();
        sum += value.parse::<f64>()?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# TYPE a counter\na{code=\"x\"} 2\na{code=\"y z\"} 3\nab 7\n";
        assert_eq!(sum(text, "a").expect("numbers"), 5.0);
        assert_eq!(sum(text, "b").expect("none"), 0.0);
    }
}

//! What is measured: the real server and the bare one, each started afresh for each run.

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::process::{Server, free_address, ticks_per_second};
use crate::run::{cargo, metadata, must_succeed, server_binary};

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The binary that users run.
    Server,
    /// The same WebSocket library and nothing else.
    Bare,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Bare => "bare",
        })
    }
}

/// Where the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Nowhere.
    Discard,
    /// Into files.
    File,
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Discard => "discard",
            Self::File => "file",
        })
    }
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Connections, each with one upload.
    pub(crate) connections: u32,
    /// Bytes of each upload.
    pub(crate) bytes: u64,
    /// Bytes of a chunk.
    pub(crate) chunk: u32,
}

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Throughput.
    pub(crate) mib_per_second: f64,
    /// Processor time of the receiver.
    pub(crate) cpu_seconds_per_gib: f64,
    /// Most memory the receiver held.
    pub(crate) peak_rss_mib: f64,
}

/// The programs, built.
pub(crate) struct Bed {
    server: PathBuf,
    bare: PathBuf,
    load: PathBuf,
    folder: PathBuf,
    gather: String,
    ticks_per_second: f64,
}

#[derive(Deserialize)]
struct LoadReport {
    bytes: u64,
    seconds: f64,
}

impl Bed {
    /// Builds what is needed; each program by itself, so that none changes another's features.
    ///
    /// # Errors
    ///
    /// Something does not build.
    pub(crate) fn make(subjects: &[Subject], gather: &str) -> Result<Self> {
        must_succeed(&mut cargo([
            "build",
            "--release",
            "--package",
            "upload-bench",
        ]))?;
        let target = metadata()?.target_directory;
        let release = target.join("release");
        let server = if subjects.contains(&Subject::Server) {
            server_binary()?
        } else {
            PathBuf::new()
        };
        let folder = target.join("bench");
        fs::create_dir_all(&folder)?;
        Ok(Self {
            server,
            bare: release.join("upload-bench-bare"),
            load: release.join("upload-bench-load"),
            folder,
            gather: gather.to_owned(),
            ticks_per_second: ticks_per_second()?,
        })
    }

    /// Returns where results are kept.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a fresh subject, sends it the load, and tells what that cost.
    ///
    /// # Errors
    ///
    /// The subject or the load generator fails, or a byte is missing.
    pub(crate) fn run(&self, subject: Subject, sink: Sink, load: Load) -> Result<Measured> {
        let data = self.folder.join("data");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(&data)?;
        let server = self.start(subject, sink, load, &data)?;
        let measured = self.measure(&server, sink, load);
        drop(server);
        let _ = fs::remove_dir_all(&data);
        measured
    }

    fn start(&self, subject: Subject, sink: Sink, load: Load, data: &Path) -> Result<Server> {
        let address = free_address()?;
        let mut command = match subject {
            Subject::Bare => {
                let mut command = Command::new(&self.bare);
                command.args(["--listen", &address, "--gather", &self.gather]);
                if sink == Sink::File {
                    command.arg("--folder").arg(data);
                }
                command
            }
            Subject::Server => {
                let config = self.folder.join("server.toml");
                fs::write(&config, server_config(&address, data, load))?;
                let mut command = Command::new(&self.server);
                command.arg("--config").arg(config);
                command
            }
        };
        // Log lines of a level that operators would not run with must not be measured.
        command.env("RUST_LOG", "warn").current_dir(&self.folder);
        Server::start(
            &mut command,
            address,
            &self.folder.join(format!("{subject}.log")),
        )
    }

    fn measure(&self, server: &Server, sink: Sink, load: Load) -> Result<Measured> {
        let mut generator = Command::new(&self.load)
            .args(["--address", &server.address, "--slot", &sink.to_string()])
            .args(["--connections", &load.connections.to_string()])
            .args(["--bytes", &load.bytes.to_string()])
            .args(["--chunk", &load.chunk.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the load generator")?;
        let mut lines = BufReader::new(generator.stdout.take().context("piped")?).lines();
        let mut begin = generator.stdin.take().context("piped")?;
        let ready = lines.next().transpose()?;
        if ready.as_deref() != Some("ready") {
            generator.wait()?;
            bail!("the load generator did not get ready");
        }
        let before = server.cpu_seconds(self.ticks_per_second)?;
        begin.write_all(b"begin\n")?;
        let last = lines.next().transpose()?;
        let status = generator.wait()?;
        // What the server still has to do after its last answer belongs to the bytes as well.
        thread::sleep(Duration::from_millis(50));
        let after = server.cpu_seconds(self.ticks_per_second)?;
        let Some(report) = last.filter(|_| status.success()) else {
            bail!("the load generator failed: {status}");
        };
        let report: LoadReport = serde_json::from_str(&report)?;
        let (mib, gib) = (
            report.bytes as f64 / f64::from(1 << 20),
            report.bytes as f64 / f64::from(1 << 30),
        );
        Ok(Measured {
            mib_per_second: mib / report.seconds,
            cpu_seconds_per_gib: (after - before) / gib,
            peak_rss_mib: server.peak_rss_kib()? as f64 / 1024.0,
        })
    }
}

/// Writes a configuration with a slot per sink, and limits that are out of the way.
fn server_config(address: &str, data: &Path, load: Load) -> String {
    let mut config = format!(
        "listen = \"{address}\"\ndata_dir = \"{data}\"\ntemp_dir = \"{data}/.tmp\"\n\
         require_origin = false\ndemo = false\n\n\
         [state]\nstore = \"memory\"\n\n\
         [limits]\nmax_connections = 20000\nmax_uploads_per_owner = 20000\n",
        data = data.display()
    );
    for sink in [Sink::Discard, Sink::File] {
        config += &format!(
            "\n[slots.{sink}]\nwriter = \"{sink}\"\nmax_entries = 20000\nmax_file_size = {}\nchunk_size = {}\nresumable = false\n",
            load.bytes, load.chunk
        );
    }
    config
}

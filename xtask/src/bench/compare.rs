//! `cargo xtask bench compare`: this server next to others that install here, each pair with the same client.
//!
//! The programs are in `xtask/compare`: the server of the tus project for Node.js, a view of djust, and a client that
//! speaks to either, and to this server, in the same way.
//! rustus is built into the cache of `xtask` the first time.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::{
    process::{Server, free_address},
    report::median,
};
use crate::{
    run::{metadata, output_within, program, root, server_binary},
    services,
};

/// Where the client's file is, below the folder of the bench.
const FILE: &str = "file";

/// The largest body that rustus takes, in bytes: it keeps a body in memory, and the client sends a file in one.
const BODY_MAX: &str = "4294967296";

/// How long the client may take, without the time for what it sends.
const CLIENT_MAX: Duration = Duration::from_secs(60);

/// How long it may take for each MiB, and for each file.
const CLIENT_MAX_EACH: Duration = Duration::from_secs(1);

/// How long after that it is ended, when it did not do so itself.
const CLIENT_GRACE: Duration = Duration::from_secs(10);

/// What to measure.
#[derive(Args)]
pub(crate) struct Compare {
    /// Rounds, each with every run once
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Size of the large file, in MiB
    #[arg(long, default_value_t = 64)]
    mib: usize,
    /// How many small files follow each other
    #[arg(long, default_value_t = 100)]
    files: u32,
    /// Size of a small file, in KiB
    #[arg(long, default_value_t = 256)]
    kib: usize,
    /// Leave rustus out, which is built the first time
    #[arg(long)]
    without_rustus: bool,
    /// Take the release binary as it is
    #[arg(long)]
    no_build: bool,
    /// Only see that it works
    #[arg(long, hide = true)]
    smoke: bool,
}

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    TusNode,
    Rustus,
    Djust,
    Ours,
}

/// Pairs: who receives, and what the client speaks.
const RUNS: [(Peer, &str); 8] = [
    (Peer::TusNode, "tus"),
    (Peer::Rustus, "tus"),
    (Peer::Ours, "tus"),
    (Peer::TusNode, "uppy"),
    (Peer::Rustus, "uppy"),
    (Peer::Ours, "uppy"),
    (Peer::Djust, "djust"),
    (Peer::Ours, "frames"),
];

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::TusNode => "@tus/server",
            Self::Rustus => "rustus",
            Self::Djust => "djust, uvicorn",
            Self::Ours => "upload-server",
        }
    }
}

/// What a run gave.
struct Measured {
    seconds: f64,
    cpu_seconds: f64,
    peak_mib: f64,
}

/// Where everything is.
struct Place {
    programs: PathBuf,
    folder: PathBuf,
    server: PathBuf,
    rustus: Option<PathBuf>,
}

impl Compare {
    /// Runs everything and prints the table.
    ///
    /// # Errors
    ///
    /// Something does not install, a run fails, or a file is not stored as it was sent.
    pub(crate) fn run(&self) -> Result<()> {
        let place = Place::make(self.no_build, self.without_rustus)?;
        let loads = [(self.mib << 20, 1), (self.kib << 10, self.files)];
        self.say_load("before")?;
        let is_there = |(peer, _): &&(Peer, &str)| *peer != Peer::Rustus || place.rustus.is_some();
        let pairs: Vec<_> = RUNS.iter().filter(is_there).collect();
        let mut runs: Vec<_> = pairs.iter().map(|_| [Vec::new(), Vec::new()]).collect();
        for round in 1..=self.rounds {
            eprintln!("round {round} of {}", self.rounds);
            for ((peer, speaks), runs) in pairs.iter().zip(&mut runs) {
                for ((bytes, times), runs) in loads.iter().zip(runs) {
                    let run = format!(
                        "{} by {speaks}, {times} times {} KiB",
                        peer.name(),
                        bytes >> 10
                    );
                    eprintln!("  {run}");
                    let measured = place.measure(*peer, speaks, *bytes, *times);
                    runs.push(measured.context(run)?);
                }
            }
        }
        println!(
            "\n| server | client speaks | {mib} MiB, MiB/s | CPU s per GiB | most memory, MiB | {kib} KiB, files/s | CPU ms per file |\n\
             |---|---|---|---|---|---|---|",
            mib = self.mib,
            kib = self.kib
        );
        let figure =
            |runs: &[Measured], figure: fn(&Measured) -> f64| median(runs.iter().map(figure));
        for ((peer, speaks), [large, small]) in pairs.iter().zip(&runs) {
            let gib = self.mib as f64 / 1024.0;
            println!(
                "| {} | {} | {:.0} | {:.1} | {:.0} | {:.0} | {:.1} |",
                peer.name(),
                words(speaks),
                self.mib as f64 / figure(large, |run| run.seconds),
                figure(large, |run| run.cpu_seconds) / gib,
                figure(large, |run| run.peak_mib),
                f64::from(self.files) / figure(small, |run| run.seconds),
                figure(small, |run| run.cpu_seconds) * 1e3 / f64::from(self.files),
            );
        }
        println!();
        self.say_load("after")
    }

    /// Prints the load averages of the machine, of which figures are worth less.
    fn say_load(&self, when: &str) -> Result<()> {
        let text = fs::read_to_string("/proc/loadavg")?;
        let averages: Vec<_> = text.split_whitespace().take(3).collect();
        if !self.smoke {
            println!("load of the machine {when}: {}", averages.join(", "));
        }
        Ok(())
    }
}

impl Place {
    fn make(is_built: bool, without_rustus: bool) -> Result<Self> {
        let programs = root().join("xtask/compare");
        services::npm_packages(&programs)?;
        services::python_packages(&programs)?;
        let target = metadata()?.target_directory;
        let folder = target.join("bench/compare");
        fs::create_dir_all(&folder)?;
        let server = match is_built {
            true => target.join("release/upload-server"),
            false => server_binary()?,
        };
        let rustus = match without_rustus {
            true => None,
            false => Some(services::rustus()?),
        };
        Ok(Self {
            programs,
            folder,
            server,
            rustus,
        })
    }

    fn measure(&self, peer: Peer, speaks: &str, bytes: usize, times: u32) -> Result<Measured> {
        let file = self.folder.join(FILE);
        fs::write(&file, content(bytes))?;
        let stored = self.folder.join("stored");
        if stored.exists() {
            fs::remove_dir_all(&stored)?;
        }
        fs::create_dir_all(&stored)?;
        let server = self.start(peer, &stored)?;
        let url = match (peer, speaks) {
            (Peer::TusNode | Peer::Rustus, _) => format!("http://{}/files", server.address),
            (Peer::Djust, _) => format!("ws://{}/ws/live/", server.address),
            (Peer::Ours, "tus" | "uppy") => format!("http://{}/uploads/files/any", server.address),
            (Peer::Ours, _) => format!("ws://{}/uploads/ws", server.address),
        };
        server.reset_peak()?;
        let before = server.cpu_seconds()?;
        let mib = u32::try_from(bytes >> 20)?.saturating_mul(times);
        let limit = CLIENT_MAX + CLIENT_MAX_EACH * mib.saturating_add(times);
        let mut client = program("node", ["client.mjs", speaks, &url]);
        client.arg(&file).arg(times.to_string());
        client.arg(limit.as_secs().to_string());
        let seconds = output_within(limit + CLIENT_GRACE, client.current_dir(&self.programs))?;
        let measured = Measured {
            seconds: seconds.trim().parse().context("the client's seconds")?,
            cpu_seconds: server.cpu_seconds()? - before,
            peak_mib: server.peak_rss_kib()? as f64 / 1024.0,
        };
        let (sent, mut count) = (fs::read(&file)?, 0);
        for path in files_of(&stored)? {
            if path.metadata()?.len() == bytes as u64 {
                ensure!(
                    fs::read(&path)? == sent,
                    "{} is another file",
                    path.display()
                );
                count += 1;
            }
        }
        ensure!(count == times, "{count} files are stored, of {times}");
        Ok(measured)
    }

    fn start(&self, peer: Peer, stored: &Path) -> Result<Server> {
        let address = free_address()?;
        let (host, port) = address.rsplit_once(':').context("a port")?;
        let log = self.folder.join(format!("{peer:?}.txt"));
        let mut command = match peer {
            Peer::TusNode => {
                let mut command = program("node", ["tus_server.mjs", host, port]);
                command.arg(stored);
                command
            }
            Peer::Rustus => {
                let rustus = self.rustus.as_ref().context("rustus is left out")?;
                let mut command = program(rustus, ["--host", host, "--port", port]);
                command.args(["--log-level", "WARN", "--max-body-size", BODY_MAX]);
                command.arg("--data-dir").arg(stored);
                command.arg("--info-dir").arg(stored.join("info"));
                command
            }
            Peer::Djust => {
                let uvicorn = self.programs.join("venv/bin/uvicorn");
                let mut command = program(uvicorn, ["--host", host, "--port", port]);
                command.args(["--log-level", "warning", "djust_server:application"]);
                command.env("FILES", stored);
                command
            }
            Peer::Ours => {
                let config = self.folder.join("uploads.toml");
                let text = format!(
                    "listen = \"{address}\"\ndata_dir = \"{}\"\n[slots.any]\nmax_file_size = \"1TiB\"\nresumable = true\n",
                    stored.display()
                );
                fs::write(&config, text)?;
                let mut command = Command::new(&self.server);
                command.arg("--config").arg(config);
                command
            }
        };
        command.current_dir(&self.programs);
        Server::start(&mut command, address.clone(), &log)
    }
}

/// Returns what the table says of a client.
fn words(speaks: &str) -> &str {
    match speaks {
        "tus" => "tus, by tus-js-client",
        "uppy" => "tus, by Uppy",
        _ => "djust's frames",
    }
}

/// Returns bytes without a pattern that a file system or a protocol could make shorter.
fn content(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words
        .take(bytes.div_ceil(8))
        .flatten()
        .take(bytes)
        .collect()
}

/// Returns the files below a folder.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_of(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

//! `cargo xtask bench disks`: a slow disk, one that stalls and one that hangs, and what the others feel of it.
//!
//! Files are written to such a disk over connections of their own, while one uploader sends to another slot and
//! `/healthz` is asked. The disk is a library that is preloaded into the server.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{
    bars::Bar,
    next_to,
    process::Server,
    report::median,
    rounds::Common,
    subject::{Bed, Load, Sink, Subject},
};

/// What another slot keeps of its speed.
const SPEED_MIN: f64 = 0.95;
/// The slowest answer of `/healthz`, in milliseconds.
const HEALTH_MS_MAX: f64 = 100.0;
/// Bytes a second of the slow disk.
const SLOW_RATE: u64 = 20_000_000;
/// How often `/healthz` is asked.
const HEALTH_EVERY: Duration = Duration::from_millis(20);
/// How long uploads to the disk run before anything is measured.
const BEGUN_FOR: Duration = Duration::from_millis(500);
/// How long a write that began before the disk stood still may take.
const LAST_WRITE: Duration = Duration::from_millis(100);
/// What a server writes at most while its disk stands still: its log.
const STILL_BYTES_MAX: u64 = 1 << 16;
/// How long uploads may take until they continue behind a stall.
const CONTINUES_MAX: Duration = Duration::from_secs(30);
/// What stands between the server and its files.
const LIBRARY: &str = include_str!("slow_disk.c");

/// What to measure.
#[derive(Args)]
pub(crate) struct Disks {
    #[command(flatten)]
    common: Common,
    /// Uploads to the disk
    #[arg(long, default_value_t = 8)]
    uploads: u32,
    /// Seconds of each look; as long as the stall
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

/// How the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    /// Nobody writes to it.
    Idle,
    /// It takes 20 MB a second.
    Slow,
    /// It stands still while it is looked at, and continues then.
    Stalls,
    /// It never answers.
    Hangs,
}

const DISKS: [Disk; 4] = [Disk::Idle, Disk::Slow, Disk::Stalls, Disk::Hangs];

/// What the others felt in one look.
struct Felt {
    mib_per_second: f64,
    health_ms: f64,
    /// What went to the disk meanwhile.
    disk_mib_per_second: f64,
}

#[derive(Deserialize)]
struct Steady {
    bytes: u64,
    seconds: f64,
}

impl Disks {
    /// Runs everything, prints table and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// There is no C compiler, something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let bed = Bed::make(&[Subject::Server], "copy", &self.common)?;
        let library = compile(bed.folder())?;
        let mut felt: [Vec<Felt>; DISKS.len()] = Default::default();
        for round in 1..=self.common.rounds {
            eprintln!("round {round} of {}", self.common.rounds);
            for (disk, felt) in DISKS.into_iter().zip(&mut felt) {
                felt.push(self.look(&bed, &library, disk)?);
            }
        }
        let speed = |felt: &[Felt]| median(felt.iter().map(|felt| felt.mib_per_second));
        let health = |felt: &[Felt]| median(felt.iter().map(|felt| felt.health_ms));
        let written = |felt: &[Felt]| median(felt.iter().map(|felt| felt.disk_mib_per_second));
        let alone = speed(&felt[0]);
        println!(
            "{:<9}{:>12}{:>12}{:>14}",
            "disk", "its MiB/s", "other MiB/s", "healthz ms"
        );
        let (mut bars, mut figures) = (Vec::new(), Vec::new());
        for (disk, felt) in DISKS.into_iter().zip(&felt) {
            let (speed, health, written) = (speed(felt), health(felt), written(felt));
            let name = format!("{disk:?}").to_lowercase();
            println!("{name:<9}{written:>12.0}{speed:>12.0}{health:>14.1}");
            figures.push(json!({
                "disk": name, "disk_mib_per_second": written, "mib_per_second": speed,
                "healthz_ms": health,
            }));
            if disk != Disk::Idle {
                let what = format!("disk {name}: speed of another slot over that alone");
                bars.push(Bar::at_least(SPEED_MIN, what, speed / alone));
                let what = format!("disk {name}: slowest answer of /healthz in ms");
                bars.push(Bar::at_most(HEALTH_MS_MAX, what, health));
            }
        }
        println!();
        let figures = json!({"uploads": self.uploads, "disks": figures});
        self.common.keep(&bed, "disks", figures, &bars, Vec::new())
    }

    fn look(&self, bed: &Bed, library: &Path, disk: Disk) -> Result<Felt> {
        let load = Load {
            connections: self.uploads,
            files: 64,
            bytes: 1 << 30,
            ..Load::default()
        };
        let hangs = bed.folder().join("hangs");
        let _ = fs::remove_file(&hangs);
        let rate = if disk == Disk::Slow { SLOW_RATE } else { 0 };
        let env = [
            ("LD_PRELOAD", library.display().to_string()),
            ("DISK_HANGS", hangs.display().to_string()),
            ("DISK_RATE", rate.to_string()),
        ];
        let server = bed.start_with(Subject::Server, Sink::File, load, &env)?;
        let writers = match disk {
            Disk::Idle => None,
            _ => Some(next_to::begin(bed, &server, Sink::File, load)?),
        };
        thread::sleep(BEGUN_FOR);
        if matches!(disk, Disk::Stalls | Disk::Hangs) {
            fs::write(&hangs, "")?;
            thread::sleep(LAST_WRITE);
        }
        let before = server.written()?;
        let felt = self.feel(bed, &server);
        let written = server.written()? - before;
        if disk == Disk::Stalls {
            fs::remove_file(&hangs)?;
            until_written(&server, before + STILL_BYTES_MAX)?;
        }
        drop(writers);
        drop(server);
        let _ = fs::remove_file(&hangs);
        bed.clean();
        let (mut felt, seconds) = felt?;
        felt.disk_mib_per_second = written as f64 / f64::from(1 << 20) / seconds;
        if matches!(disk, Disk::Stalls | Disk::Hangs) {
            ensure!(
                written <= STILL_BYTES_MAX,
                "{written} bytes were written to a disk that stands still"
            );
        }
        Ok(felt)
    }

    /// Uploads to another slot, and asks for `/healthz` meanwhile; returns the seconds it took as well.
    fn feel(&self, bed: &Bed, server: &Server) -> Result<(Felt, f64)> {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let health = scope.spawn(|| slowest_answer(&server.address, &is_over));
            let output = Command::new(bed.program("probe"))
                .args(["--address", &server.address, "--slot", "discard", "steady"])
                .args(["--seconds", &self.seconds.to_string()])
                .stderr(Stdio::inherit())
                .output();
            is_over.store(true, Ordering::Relaxed);
            let health = health.join().ok().context("asking panicked")??;
            let output = output.context("cannot start the probe")?;
            ensure!(output.status.success(), "the uploader failed");
            let steady: Steady = serde_json::from_slice(&output.stdout)?;
            let felt = Felt {
                mib_per_second: steady.bytes as f64 / f64::from(1 << 20) / steady.seconds,
                health_ms: health.as_secs_f64() * 1e3,
                disk_mib_per_second: 0.0,
            };
            Ok((felt, steady.seconds))
        })
    }
}

/// Builds the library.
fn compile(folder: &Path) -> Result<PathBuf> {
    let (source, library) = (folder.join("slow_disk.c"), folder.join("slow_disk.so"));
    fs::write(&source, LIBRARY)?;
    let status = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .context("cannot run cc")?;
    ensure!(status.success(), "the slow disk does not compile");
    Ok(library)
}

/// Waits until more than this has been written.
fn until_written(server: &Server, bytes: u64) -> Result<()> {
    let begun = Instant::now();
    while server.written()? <= bytes {
        ensure!(
            begun.elapsed() < CONTINUES_MAX,
            "uploads do not continue behind a stall"
        );
        thread::sleep(HEALTH_EVERY);
    }
    Ok(())
}

fn slowest_answer(address: &str, is_over: &AtomicBool) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "/healthz said {answer}");
        slowest = slowest.max(begun.elapsed());
        thread::sleep(HEALTH_EVERY);
    }
    Ok(slowest)
}

//! Looks at the server from a client's side: how soon small uploads are done, and many idle connections.

#[path = "probe/bare_files.rs"]
mod bare_files;
#[path = "probe/restart.rs"]
mod restart;

use std::{
    io::{Write, stdin, stdout},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use serde_json::json;
use tokio::{
    sync::watch,
    task::{JoinSet, LocalSet},
    time::sleep,
};
use upload_bench::{connection::Connection, frames::Template, limits::raise_open_files};

/// Bytes of a full chunk.
const CHUNK_BYTES: usize = 65_536;
/// Bytes after which a limited uploader looks whether it is too fast.
const STEP_BYTES: u64 = 4 << 20;
/// How far behind a limited uploader may be and still catch up.
const CATCH_UP_MAX: Duration = Duration::from_millis(20);

/// Probes a server.
#[derive(Parser)]
struct Args {
    /// Address of the server
    #[arg(long)]
    address: String,
    /// Slot to upload to
    #[arg(long)]
    slot: String,
    /// What to do
    #[command(subcommand)]
    probe: Probe,
}

#[derive(Subcommand)]
enum Probe {
    /// One small upload after the other; prints how long each took from its first byte to its receipt
    Latency {
        /// Bytes of an upload, sent as one chunk
        #[arg(long, default_value_t = 65536)]
        bytes: u64,
        /// Uploads
        #[arg(long, default_value_t = 500)]
        uploads: u32,
        /// Milliseconds between two
        #[arg(long, default_value_t = 10)]
        pause_ms: u64,
    },
    /// One upload after the other for a while; prints how many bytes were stored in how long
    Steady {
        /// Bytes of an upload; many enough that the rate of messages does not limit it
        #[arg(long, default_value_t = 256 << 20)]
        bytes: u64,
        /// Seconds
        #[arg(long)]
        seconds: f64,
        /// MiB per second at most; as fast as it can without
        #[arg(long)]
        rate: Option<f64>,
    },
    /// Compares every file in a folder with what this program uploads
    Verify {
        /// The folder
        #[arg(long)]
        folder: PathBuf,
        /// Bytes of an upload
        #[arg(long)]
        bytes: u64,
    },
    /// The least that many small files cost a disk, without a socket: files per second, and the middle time of a sync
    ///
    /// Makes a group of files, syncs them at once, renames them, and syncs both folders.
    Files {
        /// The folder
        #[arg(long)]
        folder: PathBuf,
        /// Files in all
        #[arg(long)]
        files: usize,
        /// Files of a group
        #[arg(long)]
        group: usize,
        /// Syncs at a time
        #[arg(long, default_value_t = 8)]
        syncs: usize,
        /// Bytes of a file
        #[arg(long, default_value_t = 4096)]
        bytes: u64,
    },
    /// Many uploads half way, whose server is then restarted: resumes them all from the moment of a line on its
    /// input, and prints when the first and the last of them went on
    Restart {
        /// Connections
        #[arg(long)]
        connections: u32,
        /// Uploads of each
        #[arg(long)]
        uploads: u32,
        /// Bytes of an upload; its first chunk is sent
        #[arg(long)]
        bytes: u64,
    },
    /// Many connections: each line on the input begins the next phase, each phase is reported when it is reached
    ///
    /// Phases: all idle; some half way in an upload; those done and idle again.
    Crowd {
        /// Connections
        #[arg(long)]
        connections: u32,
        /// How many of them upload
        #[arg(long)]
        active: u32,
        /// Bytes of an upload
        #[arg(long, default_value_t = 2 << 20)]
        bytes: u64,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    raise_open_files()?;
    match args.probe {
        Probe::Latency {
            bytes,
            uploads,
            pause_ms,
        } => latency(&args, bytes, uploads, Duration::from_millis(pause_ms)).await,
        Probe::Steady {
            bytes,
            seconds,
            rate,
        } => steady(&args, bytes, Duration::from_secs_f64(seconds), rate).await,
        Probe::Verify { ref folder, bytes } => verify(folder, bytes),
        Probe::Files {
            ref folder,
            files,
            group,
            syncs,
            bytes,
        } => {
            let file = Template::new(CHUNK_BYTES, bytes).file();
            let (per_second, sync_ms) = bare_files::measure(folder, &file, files, group, syncs)?;
            let report = json!({"files_per_second": per_second, "sync_ms": sync_ms});
            println!("{report}");
            Ok(())
        }
        Probe::Restart {
            connections,
            uploads,
            bytes,
        } => restart::run(&args, connections, uploads, bytes).await,
        Probe::Crowd {
            connections,
            active,
            bytes,
        } => {
            let crowd = crowd(&args, connections, active, bytes);
            LocalSet::new().run_until(crowd).await
        }
    }
}

async fn latency(args: &Args, bytes: u64, uploads: u32, pause: Duration) -> Result<()> {
    let template = Rc::new(Template::new(usize::try_from(bytes)?, bytes));
    let mut connection = Connection::open(&args.address, None, template).await?;
    let mut times = Vec::new();
    for number in 0..uploads {
        connection.register(&args.slot, number).await?;
        let begun = Instant::now();
        connection.send_to(bytes).await?;
        connection.complete().await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        sleep(pause).await;
    }
    println!("{}", json!({"milliseconds": times}));
    Ok(())
}

/// Counts only whole uploads and the time they took, so that a stall at the end counts as well.
async fn steady(args: &Args, bytes: u64, time: Duration, rate: Option<f64>) -> Result<()> {
    let template = Rc::new(Template::new(CHUNK_BYTES, bytes));
    let mut connection = Connection::open(&args.address, None, template).await?;
    let begun = Instant::now();
    let (mut uploads, mut next) = (0, begun);
    while begun.elapsed() < time {
        connection.register(&args.slot, uploads).await?;
        let mut sent = 0;
        while sent < bytes {
            let step = STEP_BYTES.min(bytes - sent);
            sent += step;
            connection.send_to(sent).await?;
            if let Some(rate) = rate {
                // Who was held up for longer does not make up for it.
                let earliest = Instant::now().checked_sub(CATCH_UP_MAX).unwrap_or(begun);
                let takes = Duration::from_secs_f64(step as f64 / (rate * f64::from(1 << 20)));
                next = next.max(earliest) + takes;
                let ahead = next.saturating_duration_since(Instant::now());
                // The timer counts whole milliseconds, so asking for nothing is not free.
                if !ahead.is_zero() {
                    sleep(ahead).await;
                }
            }
        }
        connection.complete().await?;
        uploads += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"bytes": u64::from(uploads) * bytes, "seconds": seconds})
    );
    Ok(())
}

fn verify(folder: &Path, bytes: u64) -> Result<()> {
    let expected = Template::new(CHUNK_BYTES, bytes).file();
    let mut files = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if std::fs::read(&path)? != expected {
            bail!("{} is not what was uploaded", path.display());
        }
        files += 1;
    }
    println!("{}", json!({"files": files}));
    Ok(())
}

/// How far a crowd is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Phase {
    Idle,
    HalfWay,
    Done,
}

async fn crowd(args: &Args, connections: u32, active: u32, bytes: u64) -> Result<()> {
    let template = Rc::new(Template::new(CHUNK_BYTES, bytes));
    let (told, phase) = watch::channel(Phase::Idle);
    let (reached, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        let opened = Connection::open(&args.address, None, Rc::clone(&template)).await;
        let connection = opened.with_context(|| format!("connection {number}"))?;
        let member = Member {
            connection,
            number,
            slot: args.slot.clone(),
            phase: phase.clone(),
            reached: reached.clone(),
            is_active: number < active,
        };
        tasks.spawn_local(member.live());
    }
    say("idle")?;
    for (next, word) in [(Phase::HalfWay, "half way"), (Phase::Done, "done")] {
        line().await?;
        told.send_replace(next);
        for _ in 0..active {
            tokio::select! {
                report = reports.recv() => report.context("the channel is open")?,
                Some(ended) = tasks.join_next() => ended??,
            }
        }
        say(word)?;
    }
    line().await
}

struct Member {
    connection: Connection,
    number: u32,
    slot: String,
    phase: watch::Receiver<Phase>,
    reached: tokio::sync::mpsc::UnboundedSender<()>,
    is_active: bool,
}

impl Member {
    async fn live(mut self) -> Result<()> {
        if self.is_active {
            self.wait_for(Phase::HalfWay).await?;
            self.connection.register(&self.slot, self.number).await?;
            self.connection.send_to(self.connection.size() / 2).await?;
            self.reached.send(())?;
            self.wait_for(Phase::Done).await?;
            self.connection.send_to(self.connection.size()).await?;
            self.connection.complete().await?;
            self.reached.send(())?;
        }
        self.connection.stay().await
    }

    async fn wait_for(&mut self, phase: Phase) -> Result<()> {
        tokio::select! {
            gone = self.connection.stay() => gone,
            changed = self.phase.wait_for(|now| *now >= phase) => Ok(changed.map(drop)?),
        }
    }
}

/// Waits for a line, while the connections live on.
async fn line() -> Result<()> {
    tokio::task::spawn_blocking(|| stdin().read_line(&mut String::new())).await??;
    Ok(())
}

fn say(word: &str) -> Result<()> {
    println!("{word}");
    Ok(stdout().flush()?)
}

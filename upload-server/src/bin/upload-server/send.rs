//! `upload-server send`: uploads files, resumes what was cut off, and says how it went.

#[path = "send/link.rs"]
mod link;
#[path = "send/memory.rs"]
mod memory;
#[path = "send/reader.rs"]
mod reader;
#[path = "send/upload.rs"]
mod upload;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio_websockets::upgrade;
use upload_core::Outcome;
use uuid::Uuid;

use memory::Memory;
use upload::{Job, Sent};

/// What is sent, and where.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Files to upload, one after the other
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Where the server's socket is, such as ws://host/uploads/ws
    #[arg(long)]
    url: http::Uri,

    /// The slot that takes the files
    #[arg(long)]
    slot: String,

    /// Print one line of JSON for each file
    #[arg(long)]
    json: bool,

    /// Name of this sender: a later run of the same name takes over its uploads at once
    #[arg(long)]
    client_id: Option<String>,

    /// Forget what an earlier run of the same file left off
    #[arg(long)]
    restart: bool,
}

/// Sends every file; fails if one of them did.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.url.scheme_str() {
        Some("ws") if args.url.host().is_some() => {}
        Some("wss") => {
            bail!("--url: wss:// is not part of this build; use ws:// or a local TLS tunnel")
        }
        _ => bail!("--url must be such as ws://host/uploads/ws"),
    }
    memory::forget_old();
    let mut code = ExitCode::SUCCESS;
    for path in &args.files {
        let begun = Instant::now();
        let sent = send(path, &args).await;
        let is_complete =
            matches!(&sent, Ok(sent) if matches!(sent.outcome, Outcome::Complete { .. }));
        if !is_complete {
            code = ExitCode::FAILURE;
        }
        if args.json {
            println!("{}", line(path, &args.slot, &sent, begun.elapsed()));
        } else if let Some(trouble) = trouble(&sent) {
            eprintln!("{}: {trouble}", path.display());
        }
    }
    Ok(code)
}

async fn send(path: &Path, args: &Args) -> anyhow::Result<Sent> {
    let path = std::fs::canonicalize(path).context("cannot be read")?;
    let metadata = std::fs::metadata(&path).context("cannot be read")?;
    if !metadata.is_file() {
        bail!("is not a file");
    }
    let changed = metadata.modified().ok();
    let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let changed = changed.and_then(|since| u64::try_from(since.as_millis()).ok());
    let mut memory = Memory::of(&path, metadata.len(), changed, &args.url, &args.slot);
    if args.restart {
        memory.forget();
    }
    if let Some(client_id) = &args.client_id {
        memory.note.client_id.clone_from(client_id);
    }
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let bar = bar(metadata.len(), &name);
    let job = Job {
        path,
        name,
        size: metadata.len(),
        last_modified: changed,
        slot: args.slot.clone(),
        url: args.url.clone(),
    };
    let sent = upload::run(job, &mut memory, &bar).await;
    match &sent {
        Ok(Sent {
            outcome: Outcome::Complete { .. },
            ..
        }) => bar.finish(),
        _ => bar.abandon(),
    }
    // What was only cut off is kept for the next run.
    if sent
        .as_ref()
        .is_ok_and(|sent| sent.outcome != Outcome::Unreachable)
    {
        memory.forget();
    }
    sent
}

fn bar(size: u64, name: &str) -> ProgressBar {
    let style = "{msg} {wide_bar} {percent}% {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(style).expect("the template is well-formed");
    // Control characters in a name could rewrite the terminal.
    let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    ProgressBar::new(size).with_style(style).with_message(name)
}

/// Returns what went wrong, for people.
fn trouble(sent: &anyhow::Result<Sent>) -> Option<String> {
    let outcome = match sent {
        Ok(sent) => &sent.outcome,
        Err(error) => return Some(format!("{error:#}")),
    };
    Some(match outcome {
        Outcome::Complete { .. } => return None,
        Outcome::Refused { code, text } => format!("{text} ({code})"),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::FileChanged => "the file changed while it was sent".to_owned(),
        Outcome::Unreachable => "no connection; run the same command again to go on".to_owned(),
    })
}

/// Returns the line of `--json`.
fn line(path: &Path, slot: &str, sent: &anyhow::Result<Sent>, took: Duration) -> Value {
    let mut line = json!({
        "file": path.to_string_lossy(),
        "slot": slot,
        "ok": false,
        "seconds": took.as_secs_f64(),
    });
    let mut set = |key: &str, value: Value| line[key] = value;
    if let Ok(sent) = sent {
        set("upload_id", json!(sent.upload));
        set("size", json!(sent.size));
        set("connections", json!(sent.connections));
    }
    match sent.as_ref().map(|sent| &sent.outcome) {
        Ok(Outcome::Complete { result, crc32c }) => {
            set("ok", json!(true));
            set("result", result.clone());
            set("crc32c", json!(crc32c));
        }
        Ok(Outcome::Refused { code, .. }) => set("code", json!(code)),
        _ => {}
    }
    if let Some(trouble) = trouble(sent) {
        set("error", json!(trouble));
    }
    line
}

/// Returns a new ref or client id.
fn fresh() -> Uuid {
    Uuid::new_v4()
}

/// The answer of a server's handshake.
type Handshake = upgrade::Response;

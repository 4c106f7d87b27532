//! `upload-server send`: uploads files, resumes what was cut off, and says how it went.

mod address;
mod answer_head;
mod cookies;
mod link;
mod memory;
mod open;
mod owner;
mod queue;
mod reader;
mod report;
mod sources;
mod tls;
mod token;
mod upload;
mod worker;

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::Args as ClapArgs;
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, header};
use uuid::Uuid;

use address::Address;
use link::Server;
use memory::Stored;
use owner::Owner;
use queue::Queue;
use report::{Report, Style};
use sources::Filter;
use worker::Run;

/// What is sent, and where.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Files, directories, patterns such as 'photos/*.jpg', or - for the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The server: https://host, or its socket, such as wss://host/uploads/ws
    #[arg(long, value_parser = Address::parse)]
    url: Address,

    /// The slot that takes the files
    #[arg(long)]
    slot: String,

    /// A header of the handshake, such as 'X-Api-Key: …'; can be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = address::header)]
    header: Vec<(HeaderName, HeaderValue)>,

    /// Token to sign in with; an environment variable is not shown in lists of processes
    #[arg(long, env = "SEND_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Of directories, send what fits this pattern only; can be repeated
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,

    /// Of directories, do not send what fits this pattern; can be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Name of what comes from the standard input
    #[arg(long, default_value = "stdin", value_name = "NAME")]
    stdin_name: String,

    /// Files that are sent at a time, each over a connection; by default 4, and of many small ones up to 48
    #[arg(long, short, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: Option<u8>,

    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,

    /// Print one line of JSON for each file
    #[arg(long)]
    json: bool,

    /// Name of this sender: a later run of the same name takes over its uploads at once
    #[arg(long)]
    client_id: Option<String>,

    /// Forget what an earlier run left off, and send again what it stored
    #[arg(long)]
    restart: bool,
}

impl Args {
    fn server(&self) -> anyhow::Result<Server> {
        let mut headers = self.header.clone();
        if let Some(token) = &self.token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .context("--token: not a token")?;
            value.set_sensitive(true);
            headers.push((header::AUTHORIZATION, value));
        }
        let tls = self.url.is_tls().then(tls::connector).transpose()?;
        Ok(Server {
            address: self.url.clone(),
            tls,
            headers,
        })
    }
}

/// Sends every file; fails if one of them did.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = Filter::new(&args.include, &args.exclude)?;
    let server = args.server()?;
    let stored = Stored::find();
    let found = sources::find(&args.files, &filter, &args.stdin_name);
    let style = Style::new(args.quiet, args.json);
    let report = Report::new(style, &args.slot, &found.sources);
    if found.skipped > 0 {
        report.notice(&format!(
            "{} sockets and devices are left out",
            found.skipped
        ));
    }
    for (path, trouble) in &found.troubles {
        report.ended(path, &Err(anyhow!("{trouble}")), Duration::ZERO);
    }
    let queue = Queue::new(found.sources, args.jobs.map(usize::from));
    let run = Run {
        args: &args,
        server: &server,
        report: &report,
        queue: RefCell::new(queue),
        owner: Owner::new(),
        sending: Cell::new(0),
        all_stored: Cell::new(found.troubles.is_empty()),
        stored,
    };
    // Files for which there was no place wait for the others to end. The last worker of a round sends alone, so
    // each round is the end of one file at least.
    while !run.queue.borrow().is_empty() {
        let workers = run.queue.borrow().workers();
        let workers = workers.into_iter().enumerate();
        join_all(workers.map(|(number, takes)| worker::work(&run, number, takes))).await;
    }
    report.finish();
    if !run.all_stored.get() {
        return Ok(ExitCode::FAILURE);
    }
    run.stored.forget();
    Ok(ExitCode::SUCCESS)
}

/// Returns a new ref or client id.
fn fresh() -> Uuid {
    Uuid::new_v4()
}

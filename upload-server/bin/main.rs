//! The ready upload server: serves, checks its configuration, removes what expired, and sends files.

mod admin;
mod check_config;
mod errors;
mod gc;
mod send;
mod serve;

use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Keeps freed chunk buffers at hand: the system's allocator gives them back and faults them in anew.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Receives files over WebSocket: resumable, checked, streamed to where they belong.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// TOML file; `UPLOAD_*` variables override it
    #[arg(long, short, global = true, env = "UPLOAD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Address to listen on, instead of the configured one
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the demo page and its slots, whatever is configured
    Demo,
    /// Check the configuration and show what it comes to
    CheckConfig,
    /// Remove what expired uploads left behind
    Gc {
        /// Only show what would be removed
        #[arg(long)]
        dry_run: bool,
    },
    /// List what is in flight at the server that runs with this configuration
    List,
    /// Show one upload that is in flight there
    Show {
        /// The upload's ref
        upload: String,
    },
    /// Cancel one upload that is in flight there
    Cancel {
        /// The upload's ref
        upload: String,
    },
    /// Upload files, with a progress bar
    Send(Box<send::Args>),
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A log that can not be written, as on a full disk, must not take a connection with it.
        .log_internal_errors(false)
        .init();
    let cli = Cli::parse();
    let config = cli.config.as_deref();
    let done = match cli.command {
        None => serve::run(serve::What::Configured(config), cli.listen),
        Some(Command::Demo) => serve::run(serve::What::Demo, cli.listen),
        Some(Command::CheckConfig) => check_config::run(config),
        Some(Command::Gc { dry_run }) => gc::run(config, dry_run),
        Some(Command::List) => admin::run(config, admin::Ask::List),
        Some(Command::Show { upload }) => admin::run(config, admin::Ask::Show(upload)),
        Some(Command::Cancel { upload }) => admin::run(config, admin::Ask::Cancel(upload)),
        Some(Command::Send(args)) => send::run(*args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", errors::line(&error));
            ExitCode::FAILURE
        }
    }
}

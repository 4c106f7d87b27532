//! Peers that mean harm: many sockets that do one bad thing each, again and again, at a stated rate.
//!
//! It runs in a separate process, prints `ready` when the first connections are up, and ends with one line
//! of JSON that says how much of it took place.

#[path = "attack/acts.rs"]
mod acts;
#[path = "attack/floods.rs"]
mod floods;
#[path = "attack/kind.rs"]
mod kind;
#[path = "attack/peer.rs"]
mod peer;

use std::{
    io::{Write, stdout},
    rc::Rc,
    time::Duration,
};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;
use tokio::{
    task::LocalSet,
    time::{Instant, sleep, timeout},
};
use upload_bench::limits::raise_open_files;

use self::{acts::Villain, kind::Kind, peer::Tally};

/// How long a peer waits after its connection ended before it comes back.
const REST: Duration = Duration::from_millis(50);

/// Attacks a server.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints every kind of attack with its rate per socket, as JSON
    List,
    /// Attacks for a while
    Run {
        /// Address of the server
        #[arg(long)]
        address: String,
        /// What to do
        #[arg(long, value_enum)]
        kind: Kind,
        /// Sockets at a time
        #[arg(long, default_value_t = 200)]
        sockets: u32,
        /// Seconds
        #[arg(long, default_value_t = 20.0)]
        seconds: f64,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Args::parse().command {
        Command::List => list(),
        Command::Run {
            address,
            kind,
            sockets,
            seconds,
        } => {
            raise_open_files()?;
            let attack = run(address, kind, sockets, Duration::from_secs_f64(seconds));
            LocalSet::new().run_until(attack).await
        }
    }
}

fn list() -> Result<()> {
    let kinds = Kind::value_variants().iter().map(|kind| {
        json!({
            "name": kind.to_possible_value().map(|value| value.get_name().to_owned()),
            "per_second": kind.per_second(),
            "what": kind.what(),
            "leaves_parked": kind.leaves_parked(),
        })
    });
    println!("{}", kinds.collect::<serde_json::Value>());
    Ok(())
}

async fn run(address: String, kind: Kind, sockets: u32, time: Duration) -> Result<()> {
    let tally = Rc::new(Tally::default());
    let begun = Instant::now();
    for number in 0..sockets {
        let mut villain = Villain::new(kind, address.clone(), number, Rc::clone(&tally));
        let tally = Rc::clone(&tally);
        // Not all in the same instant, and not in step with each other.
        let first = Duration::from_millis(u64::from(number) * 2);
        tokio::task::spawn_local(async move {
            sleep(first).await;
            loop {
                if villain.live().await.is_err() {
                    tally.ended.set(tally.ended.get() + 1);
                }
                sleep(REST).await;
            }
        });
    }
    println!("ready");
    stdout().flush()?;
    // The peers never end by themselves; what they hold is dropped with this process.
    let _ = timeout(time, std::future::pending::<()>()).await;
    println!(
        "{}",
        json!({
            "seconds": begun.elapsed().as_secs_f64(),
            "connections": tally.connections.get(),
            "acts": tally.acts.get(),
            "bytes": tally.bytes.get(),
            "ended_by_server": tally.ended.get(),
        })
    );
    Ok(())
}

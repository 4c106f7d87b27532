//! `cargo xtask bench stores`: how many records a second each store keeps, and so where it ends.

mod postgres;

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use self::postgres::Postgres;
use super::{
    process::{Server, free_address},
    report::median,
    rounds::{Common, Groups},
    subject::Bed,
};
use crate::{
    run::{cargo, must_succeed},
    services::redis,
};

/// The stores, in the order of the table.
const STORES: [&str; 4] = ["memory", "embedded", "redis", "postgres"];

/// What to measure.
#[derive(Args)]
pub(crate) struct Stores {
    #[command(flatten)]
    common: Common,
    /// Uploads of a run
    #[arg(long, default_value_t = 20_000)]
    uploads: u32,
    /// Uploads at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    in_flight: Vec<u32>,
}

/// What one run gives.
#[derive(Clone, Copy, Deserialize)]
struct Rate {
    calls_per_second: f64,
    uploads_per_second: f64,
    save_ms: f64,
}

impl Stores {
    /// Runs everything, prints the table, and keeps it.
    ///
    /// # Errors
    ///
    /// Something does not build, there is no Redis or no Postgres, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let bed = Bed::unbuilt(&self.common)?;
        if !self.common.no_build {
            let mut build = cargo(["build", "--release", "--package", "upload-bench"]);
            must_succeed(build.args(["--features", "stores", "--bin", "upload-bench-stores"]))?;
        }
        let folder = bed.folder().join("stores");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let address = free_address()?;
        let port = address.rsplit_once(':').context("an address has a port")?.1;
        let mut command = Command::new(redis()?);
        // Records outlive the death of Redis, as docs/resume-and-stores.md asks for.
        command.args(["--port", port, "--bind", "127.0.0.1"]);
        command.args(["--appendonly", "yes", "--appendfsync", "everysec"]);
        let redis = Server::start(
            command.current_dir(&folder),
            address.clone(),
            &folder.join("redis.log"),
        )?;
        let postgres = Postgres::start(&folder)?;
        let mut cells: Vec<(u32, &str, Vec<Rate>)> = Vec::new();
        for in_flight in &self.in_flight {
            cells.extend(STORES.map(|store| (*in_flight, store, Vec::new())));
        }
        for round in 1..=self.common.rounds {
            eprintln!("round {round} of {}", self.common.rounds);
            for (in_flight, store, rates) in &mut cells {
                let at = match *store {
                    "redis" => format!("redis://{}/0", redis.address),
                    "postgres" => postgres.url(),
                    _ => folder.join(*store).display().to_string(),
                };
                let rate = self.rate(&bed, store, &at, *in_flight);
                rates.push(rate.with_context(|| (*store).to_owned())?);
            }
        }
        drop((redis, postgres));
        let _ = fs::remove_dir_all(&folder);
        self.report(&bed, &cells)
    }

    fn report(&self, bed: &Bed, cells: &[(u32, &str, Vec<Rate>)]) -> Result<()> {
        let mut groups: Groups = Vec::new();
        let mut figures = Vec::new();
        println!(
            "{:>10}{:>10}{:>10}{:>12}{:>10}",
            "in flight", "store", "calls/s", "uploads/s", "save ms"
        );
        for (in_flight, store, rates) in cells {
            let of = |figure: fn(&Rate) -> f64| median(rates.iter().map(figure));
            let calls = of(|rate| rate.calls_per_second);
            let uploads = of(|rate| rate.uploads_per_second);
            let save = of(|rate| rate.save_ms);
            println!("{in_flight:>10}{store:>10}{calls:>10.0}{uploads:>12.0}{save:>10.2}");
            figures.push(json!({
                "store": store, "in_flight": in_flight, "calls_per_second": calls,
                "uploads_per_second": uploads, "save_ms": save,
            }));
            let bar = ((*store).to_owned(), calls);
            let name = format!("{in_flight} at a time");
            match groups.last_mut() {
                Some((group, bars)) if *group == name => bars.push(bar),
                _ => groups.push((name, vec![bar])),
            }
        }
        println!();
        let title = "Calls of a store per second".to_owned();
        let figures = json!({"stores": figures});
        self.common
            .keep(bed, "stores", figures, &[], vec![("stores", title, groups)])
    }

    fn rate(&self, bed: &Bed, store: &str, at: &str, in_flight: u32) -> Result<Rate> {
        let output = Command::new(bed.program("stores"))
            .args(["--store", store, "--at", at])
            .args(["--uploads", &self.uploads.to_string()])
            .args(["--in-flight", &in_flight.to_string()])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start the program")?;
        ensure!(output.status.success(), "it failed");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

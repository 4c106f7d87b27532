//! `cargo xtask bench s3`: our writer next to a bare loop of the SDK's `upload_part`.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use super::{
    bars::Bar,
    garage::Garage,
    process::{Server, free_address},
    report::median,
    rounds::Common,
    subject::Bed,
};
use crate::run::{cargo, must_succeed, output_of};

/// The least part of the bare loop's throughput that the writer has to reach.
const SPEED: f64 = 0.85;
/// The most memory allocated besides the payload, divided by the payload: a copy would be 1.
const ALLOCATED: f64 = 0.05;

/// What to measure.
#[derive(Args)]
pub(crate) struct S3 {
    #[command(flatten)]
    common: Common,
    /// Parts of the file
    #[arg(long, default_value_t = 200)]
    parts: u32,
    /// Parts sent at a time
    #[arg(long, default_value_t = 4)]
    in_flight: u32,
    /// Measure with Garage as well; the first time, this installs it
    #[arg(long)]
    garage: bool,
}

/// A bucket, and what the load has to know of it.
struct Bucket {
    name: &'static str,
    args: Vec<String>,
}

impl S3 {
    /// Runs everything, prints figures and bars, and keeps them.
    ///
    /// # Errors
    ///
    /// Something does not build, or a run fails.
    pub(crate) fn run(&self) -> Result<()> {
        let bed = Bed::unbuilt(&self.common)?;
        if !self.common.no_build {
            let mut build = cargo(["build", "--release", "--package", "upload-bench"]);
            must_succeed(build.args(["--features", "s3", "--bin", "upload-bench-s3"]))?;
        }
        let address = free_address()?;
        let mut sink = Command::new(bed.program("s3"));
        sink.args(["sink", "--listen", &address]);
        let sink = Server::start(&mut sink, address, &bed.folder().join("sink.log"))?;
        let mut buckets = vec![Bucket {
            name: "sink",
            args: vec![format!("--endpoint=http://{}", sink.address)],
        }];
        let garage = self
            .garage
            .then(|| Garage::start(bed.folder()))
            .transpose()?;
        if let Some(garage) = &garage {
            buckets.push(Bucket {
                name: "garage",
                args: garage.args(),
            });
        }
        let (mut figures, mut bars, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for bucket in &buckets {
            let mut runs = [Vec::new(), Vec::new()];
            for round in 1..=self.common.rounds {
                eprintln!("{}: round {round} of {}", bucket.name, self.common.rounds);
                for (way, runs) in ["bare", "writer"].iter().zip(&mut runs) {
                    runs.push(self.send(&bed, way, bucket)?);
                }
            }
            let of = |runs: &[Value], figure: fn(&Value) -> Option<f64>| {
                median(runs.iter().filter_map(figure))
            };
            let speeds = runs.each_ref().map(|runs| of(runs, mib_per_second));
            let allocated = runs.each_ref().map(|runs| of(runs, allocated_per_byte));
            let counts = runs.each_ref().map(|runs| of(runs, allocations_per_mib));
            println!(
                "{:<8}{:>8}{:>10}{:>26}{:>22}",
                "bucket", "way", "MiB/s", "bytes allocated per byte", "allocations per MiB"
            );
            for (row, way) in ["bare", "writer"].iter().enumerate() {
                println!(
                    "{:<8}{way:>8}{:>10.0}{:>26.4}{:>22.1}",
                    bucket.name, speeds[row], allocated[row], counts[row]
                );
            }
            let [bare, writer] = speeds;
            let what = format!(
                "{}: throughput of the writer over bare upload_part",
                bucket.name
            );
            bars.push(Bar::at_least(SPEED, what, writer / bare));
            let what = format!(
                "{}: bytes the writer allocates per byte of payload",
                bucket.name
            );
            bars.push(Bar::at_most(ALLOCATED, what, allocated[1] - allocated[0]));
            let bar = |(way, speed): (&str, f64)| (way.to_owned(), speed);
            let ways = ["bare", "writer"].into_iter().zip(speeds);
            groups.push((bucket.name.to_owned(), ways.map(bar).collect()));
            let [bare, writer] = runs;
            figures.push(json!({"bucket": bucket.name, "bare": bare, "writer": writer}));
        }
        println!();
        let figures = json!({"buckets": figures, "parts": self.parts, "in_flight": self.in_flight});
        let title = "Throughput to a bucket, in MiB/s".to_owned();
        self.common
            .keep(&bed, "s3", figures, &bars, vec![("s3", title, groups)])
    }

    fn send(&self, bed: &Bed, way: &str, bucket: &Bucket) -> Result<Value> {
        let mut command = Command::new(bed.program("s3"));
        command
            .arg(way)
            .args(&bucket.args)
            .args(["--parts", &self.parts.to_string()])
            .args(["--in-flight", &self.in_flight.to_string()]);
        let told = output_of(&mut command).with_context(|| format!("{way} to {}", bucket.name))?;
        Ok(serde_json::from_str(&told)?)
    }
}

fn mib_per_second(run: &Value) -> Option<f64> {
    Some(run["bytes"].as_f64()? / f64::from(1 << 20) / run["seconds"].as_f64()?)
}

fn allocated_per_byte(run: &Value) -> Option<f64> {
    Some(run["allocated"].as_f64()? / run["bytes"].as_f64()?)
}

fn allocations_per_mib(run: &Value) -> Option<f64> {
    Some(run["allocations"].as_f64()? / run["bytes"].as_f64()? * f64::from(1 << 20))
}

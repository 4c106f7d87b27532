//! Small uploads next to something else that continues.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{
    driving::Generator,
    process::Server,
    report::median,
    subject::{Bed, Load, Sink, Subject},
};

/// Small uploads of one look.
const UPLOADS: u32 = 60;

#[derive(Deserialize)]
struct Times {
    milliseconds: Vec<f64>,
}

/// Starts uploads that continue until they are dropped, which has to be before the server is.
///
/// # Errors
///
/// The load generator does not get ready.
pub(crate) fn begin(bed: &Bed, server: &Server, sink: Sink, load: Load) -> Result<Generator> {
    let mut generator = Generator::start(bed, server, sink, load)?;
    generator.begin()?;
    Ok(generator)
}

/// Returns how many milliseconds each of so many small uploads of so many bytes took, one after the other.
///
/// # Errors
///
/// One of them fails.
pub(crate) fn times(
    bed: &Bed,
    server: &Server,
    sink: Sink,
    (uploads, bytes): (u32, u64),
) -> Result<Vec<f64>> {
    let output = Command::new(bed.program("probe"))
        .args(["--address", &server.address])
        .args(["--slot", &sink.to_string(), "latency"])
        .args(["--bytes", &bytes.to_string()])
        .args(["--uploads", &uploads.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the probe")?;
    if !output.status.success() {
        bail!("the probe failed: {}", output.status);
    }
    let times: Times = serde_json::from_slice(&output.stdout)?;
    if times.milliseconds.is_empty() {
        bail!("the probe uploaded nothing");
    }
    Ok(times.milliseconds)
}

/// Returns the median time to the receipt of small files, while one large file after the other is written.
///
/// # Errors
///
/// The server does not start, or an upload fails.
pub(crate) fn receipt_ms(bed: &Bed, bytes: u64, large_bytes: u64) -> Result<f64> {
    let load = Load {
        files: 64,
        bytes: large_bytes,
        ..Load::default()
    };
    let server = bed.start(Subject::Server, Sink::File, load)?;
    let generator = begin(bed, &server, Sink::File, load)?;
    let times = times(bed, &server, Sink::File, (UPLOADS, bytes));
    drop(generator);
    drop(server);
    bed.clean();
    Ok(median(times?.into_iter()))
}

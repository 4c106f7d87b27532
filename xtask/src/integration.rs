//! `cargo xtask integration`: the tests that need the real binary and real services.
//!
//! They are the test targets with `test = false` in their manifest, so that a plain `cargo test`, which
//! has no binary to offer, leaves them alone instead of skipping them.

use anyhow::{Result, bail};

use crate::{
    run::{cargo, metadata, server_binary, watch},
    services,
    stages::Tally,
};

/// The variable that tells a test which server to start.
const SERVER: &str = "UPLOAD_SERVER_BINARY";
/// The variable that tells a test which Redis to start.
const REDIS: &str = "REDIS_SERVER";

/// Builds the server, finds the services, and runs each target.
///
/// # Errors
///
/// Something is missing, or there is no such target.
pub(crate) fn run(args: &[String]) -> Result<Tally> {
    let redis = services::redis()?;
    let server = server_binary()?;
    let metadata = metadata()?;
    let mut command = cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    let mut targets = 0;
    for package in &metadata.packages {
        for target in package
            .targets
            .iter()
            .filter(|target| target.is("test") && !target.test)
        {
            command.args(["--test", &target.name]);
            targets += 1;
        }
    }
    if targets == 0 {
        bail!("no test target says `test = false` in its manifest, so there is nothing to run");
    }
    let mut tally = Tally::default();
    command
        .env(SERVER, server)
        .env(REDIS, redis)
        .arg("--")
        .args(args);
    let status = watch(&mut command, |line| tally.add_line(line))?;
    Ok(tally.of_run(status.success()))
}

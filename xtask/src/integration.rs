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

/// Returns the names of the test targets that only this command runs.
///
/// # Errors
///
/// Cargo cannot read the manifests.
pub(crate) fn targets() -> Result<Vec<String>> {
    let packages = metadata()?.packages.into_iter();
    let targets = packages.flat_map(|package| package.targets);
    let own = targets.filter(|target| target.is("test") && !target.test);
    Ok(own.map(|target| target.name).collect())
}

/// Builds the server, finds the services, and runs each target.
///
/// # Errors
///
/// Something is missing, or there is no such target.
pub(crate) fn run(args: &[String]) -> Result<Tally> {
    let targets = targets()?;
    if targets.is_empty() {
        bail!("no test target says `test = false` in its manifest, so there is nothing to run");
    }
    let redis = services::redis()?;
    let server = server_binary()?;
    let mut command = cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    command.args(targets.iter().flat_map(|name| ["--test", name]));
    command
        .env(SERVER, server)
        .env(REDIS, redis)
        .arg("--")
        .args(args);
    let mut tally = Tally::default();
    let status = watch(&mut command, |line| tally.add_line(line))?;
    Ok(tally.of_run(status.success()))
}

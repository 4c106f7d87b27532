//! `cargo xtask integration`: the tests that need the real binary and real services.
//!
//! They are the test targets called `integration`, and those with `test = false` in their manifest, which a
//! plain `cargo test` leaves alone.

use anyhow::{Result, bail};

use crate::{
    run::{cargo, metadata, root, server_binary, server_binary_with, watch},
    services,
    stages::Tally,
};

/// The variable that tells a test which server to start.
const SERVER: &str = "UPLOAD_SERVER_BINARY";
/// The variable that tells a test which Redis to start.
const REDIS: &str = "REDIS_SERVER";

/// The variable that tells a test which Postgres to start.
const POSTGRES: &str = "POSTGRES";

/// The target that is always among them.
const NAME: &str = "integration";
/// The target of [`Suite::S3`], whose services take long to install.
const ENGINES: &str = "engines";
/// What the binary needs to write to them.
const ENGINE_FEATURES: &str = "s3,object-store-s3,gcs,azure";

/// Which of the tests to run.
#[derive(Clone, Debug)]
pub(crate) enum Suite {
    /// Object storage: Garage for S3, Azurite for Azure; installs both the first time.
    S3,
    /// Those whose names contain this text.
    Named(String),
}

impl From<&str> for Suite {
    fn from(word: &str) -> Self {
        match word {
            "s3" => Self::S3,
            name => Self::Named(name.to_owned()),
        }
    }
}

/// Returns the names of the test targets that this command runs.
///
/// # Errors
///
/// Cargo cannot read the manifests.
pub(crate) fn targets() -> Result<Vec<String>> {
    let packages = metadata()?.packages.into_iter();
    let targets = packages.flat_map(|package| package.targets);
    let own = targets.filter(|target| target.is("test") && (target.name == NAME || !target.test));
    Ok(own.map(|target| target.name).collect())
}

/// Installs Garage and Azurite unless that is done, builds the server with all its writers, and runs the
/// tests that start them.
///
/// # Errors
///
/// Something cannot be installed, or does not build.
pub(crate) fn run_engines(args: &[String]) -> Result<Tally> {
    let garage = services::garage()?;
    let azurite = services::azurite()?;
    let server = server_binary_with(&["--features", ENGINE_FEATURES])?;
    let mut command = cargo(["test", "--package", "upload-server", "--all-features"]);
    command
        .args(["--test", ENGINES])
        .env(SERVER, server)
        .env("GARAGE", garage)
        .env("AZURITE", azurite)
        // One after the other: some of them look at the memory of a server at full speed.
        .args(["--", "--test-threads", "1", "--nocapture"])
        .args(args);
    let mut tally = Tally::default();
    let status = watch(&mut command, |line| tally.add_line(line))?;
    Ok(tally.of_run(status.success()))
}

/// Builds the server, finds the services, and runs each target, or what a name stands for.
///
/// # Errors
///
/// Something is missing, or there is no such target.
pub(crate) fn run(name: Option<&str>, args: &[String]) -> Result<Tally> {
    let mut targets = targets()?;
    targets.retain(|name| name != ENGINES);
    if targets.is_empty() {
        bail!("no test target is called {NAME} or says `test = false`, so there is nothing to run");
    }
    let redis = services::redis()?;
    let postgres = services::postgres()?;
    services::strace()?;
    services::script()?;
    services::proxies()?;
    let doors = root().join("upload-server/tests/integration/doors");
    services::npm_packages(&doors)?;
    services::python_packages(&doors)?;
    let server = server_binary()?;
    let mut command = cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    command.args(targets.iter().flat_map(|name| ["--test", name]));
    command
        .env(SERVER, server)
        .env(REDIS, redis)
        .env(POSTGRES, postgres)
        .arg("--")
        .args(name)
        .args(args);
    let mut tally = Tally::default();
    let status = watch(&mut command, |line| tally.add_line(line))?;
    Ok(tally.of_run(status.success()))
}

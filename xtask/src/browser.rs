//! `cargo xtask browser`: the client in real browsers against the real binary.

use anyhow::{Context, Result, bail};

use crate::{
    client, examples,
    run::{program, server_binary, watch},
    services,
    stages::Tally,
};

/// Finds or installs what is needed, builds the server and the examples, and runs the browser's tests.
///
/// # Errors
///
/// Something is missing.
pub(crate) fn run(args: &[String]) -> Result<Tally> {
    let folder = client::test_folder();
    let script = folder.join("browser/run.mjs");
    if !script.is_file() {
        bail!("{} is missing", script.display());
    }
    let chromium = services::chromium()?;
    services::xvfb()?;
    services::other_browsers()?;
    services::npm_packages(&folder)?;
    let server = server_binary()?;
    let examples = examples::build()?;
    let example = examples.get("axum_app").and_then(|path| path.parent());
    let folder = example.context("there is no example axum_app")?;
    let mut command = program("node", []);
    command
        .arg(script)
        .arg("--server-binary")
        .arg(server)
        .arg("--examples")
        .arg(folder)
        .args(args);
    let mut tally = Tally::default();
    let status = watch(command.env("CHROMIUM", chromium), |line| {
        tally.add_line(line)
    })?;
    if status.success() && tally == Tally::default() {
        return Ok(Tally::ONE);
    }
    Ok(tally.of_run(status.success()))
}

//! Runs every example of every crate: each must end by itself with status 0, or serve until it is stopped.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    run::{cargo, metadata, output_of, root},
    stages::Tally,
};

/// Examples that serve until they are stopped, and so pass once they print an address.
const SERVERS: &[&str] = &[
    "axum_app",
    "getting_started",
    "react_page",
    "several_nodes",
    "signed_in",
    "to_bucket",
    "user_folders",
];

/// How long an example may take.
const TIME_MAX: Duration = Duration::from_secs(120);
/// How often a running example is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Builds all examples as the tests do, and runs each one from the workspace's folder; a server, which keeps
/// files where it is started, from a separate folder.
///
/// # Errors
///
/// They do not build, or a crate that should have an example has none.
pub(crate) fn run() -> Result<Tally> {
    let scratch = metadata()?.target_directory.join("examples-output");
    std::fs::create_dir_all(&scratch)?;
    let mut tally = Tally::default();
    for (name, binary) in build()? {
        let log = scratch.join(format!("{name}.txt"));
        let begun = Instant::now();
        let result = run_one(&name, &binary, &log);
        let seconds = begun.elapsed().as_secs_f64();
        match &result {
            Ok(()) => println!("example {name} ... ok ({seconds:.1} s)"),
            Err(error) => {
                println!("example {name} ... FAILED ({seconds:.1} s): {error:#}");
                println!("{}", read(&log));
            }
        }
        tally.count(result.is_ok());
    }
    Ok(tally.of_run(true))
}

/// Builds the examples with the very features the tests were built with, so that little is built twice; returns
/// where each is.
///
/// # Errors
///
/// They do not build.
pub(crate) fn build() -> Result<BTreeMap<String, PathBuf>> {
    let json = output_of(&mut cargo([
        "build",
        "--workspace",
        "--all-features",
        "--examples",
        "--message-format",
        "json-render-diagnostics",
    ]))?;
    let mut examples = BTreeMap::new();
    for line in json.lines() {
        let message: Value =
            serde_json::from_str(line).context("cargo printed something unexpected")?;
        let is_example = message["target"]["kind"] == serde_json::json!(["example"]);
        if let (true, Some(name), Some(path)) = (
            is_example,
            message["target"]["name"].as_str(),
            message["executable"].as_str(),
        ) {
            examples.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    Ok(examples)
}

fn run_one(name: &str, binary: &Path, log: &Path) -> Result<()> {
    let output = File::create(log)?;
    let serves = SERVERS.contains(&name);
    let folder = if serves {
        log.parent().map(Path::to_path_buf)
    } else {
        None
    };
    let mut child = Command::new(binary)
        .current_dir(folder.unwrap_or_else(root))
        .env("RUST_BACKTRACE", "1")
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let ended = if serves {
        wait_until(&mut child, || read(log).contains("http://"))
    } else {
        wait_until(&mut child, || false)
    };
    let _ = child.kill();
    let _ = child.wait();
    match ended? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("{status}"),
        None => Ok(()),
    }
}

/// Waits until the example ends, or `is_up` says it serves; `None` is the latter.
fn wait_until(child: &mut Child, is_up: impl Fn() -> bool) -> Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if is_up() {
            return Ok(None);
        }
        if begun.elapsed() > TIME_MAX {
            bail!("still running after {} s", TIME_MAX.as_secs());
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn read(log: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let _ = file.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

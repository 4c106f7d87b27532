//! Running other programs: where the workspace is, what cargo knows of it, and commands that must succeed.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// How often a command with a time limit is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Returns the workspace's folder.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest
        .parent()
        .map_or(manifest.clone(), Path::to_path_buf)
}

/// Returns a `cargo` command that runs in the workspace's folder.
pub(crate) fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root()).args(args);
    command
}

/// Returns a command that runs in the workspace's folder.
pub(crate) fn program<const N: usize>(name: impl AsRef<OsStr>, args: [&str; N]) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).args(args);
    command
}

/// Runs a command to its end, its output shown as it comes.
///
/// # Errors
///
/// It cannot be started, or ends with another status than 0.
pub(crate) fn must_succeed(command: &mut Command) -> Result<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command
        .status()
        .with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs a command to its end, its output shown as it comes, and ends it after a time.
///
/// # Errors
///
/// It cannot be started, ends with another status than 0, or takes longer.
pub(crate) fn must_succeed_within(limit: Duration, command: &mut Command) -> Result<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let child = command.spawn();
    let child = child.with_context(|| format!("cannot start {shown}"))?;
    ended_within(limit, child).with_context(|| shown)
}

/// Waits until a child has ended with status 0, and ends it after a time.
fn ended_within(limit: Duration, mut child: Child) -> Result<()> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "{status}");
            return Ok(());
        }
        if begun.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("no end after {} s", limit.as_secs());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Runs a command to its end, shows each line it prints, and hands it to `line` too.
///
/// # Errors
///
/// It cannot be started or read.
pub(crate) fn watch(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let stdout = child.stdout.take().context("the output was piped")?;
    for read in BufReader::new(stdout).split(b'\n') {
        let bytes = read.with_context(|| format!("reading the output of {shown}"))?;
        let text = String::from_utf8_lossy(&bytes);
        println!("{text}");
        line(&text);
    }
    child.wait().with_context(|| format!("waiting for {shown}"))
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
///
/// It cannot be started, ends with another status than 0, or prints what is not UTF-8.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!("{shown}: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown} printed invalid UTF-8"))
}

/// Runs a command that prints little to its end and returns what it printed, and ends it after a time.
///
/// # Errors
///
/// It cannot be started, ends with another status than 0, takes longer, or prints what is not UTF-8.
pub(crate) fn output_within(limit: Duration, command: &mut Command) -> Result<String> {
    let shown = show(command);
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("cannot start {shown}"))?;
    let mut stdout = child.stdout.take().context("the output was piped")?;
    ended_within(limit, child).with_context(|| shown)?;
    let mut text = String::new();
    stdout.read_to_string(&mut text)?;
    Ok(text)
}

/// Returns a command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let mut words = vec![Path::new(command.get_program()).file_name().map_or_else(
        || command.get_program().to_string_lossy().into_owned(),
        |name| name.to_string_lossy().into_owned(),
    )];
    words.extend(
        command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

/// What `cargo metadata` tells of the workspace.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    /// The members.
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds.
    pub(crate) target_directory: PathBuf,
}

/// One member of the workspace.
#[derive(Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// What it builds.
    pub(crate) targets: Vec<Target>,
    /// Its features, with what each turns on.
    pub(crate) features: BTreeMap<String, Vec<String>>,
    /// Its version.
    pub(crate) version: String,
    /// Its manifest.
    pub(crate) manifest_path: PathBuf,
    /// Where it may be published; `None` for everywhere.
    publish: Option<Vec<String>>,
    /// What it needs of others.
    pub(crate) dependencies: Vec<Dependency>,
    /// What crates.io shows first.
    pub(crate) description: Option<String>,
    /// The licence, in SPDX's words.
    pub(crate) license: Option<String>,
    /// Where the source is.
    pub(crate) repository: Option<String>,
    /// The oldest compiler it is for.
    pub(crate) rust_version: Option<String>,
    /// Where crates.io lists it.
    pub(crate) categories: Vec<String>,
    /// What it is found by.
    pub(crate) keywords: Vec<String>,
    /// What other tools receive.
    #[serde(default)]
    pub(crate) metadata: Value,
}

impl Package {
    /// Tells whether it is published.
    pub(crate) fn is_public(&self) -> bool {
        self.publish
            .as_ref()
            .is_none_or(|places| !places.is_empty())
    }
}

/// One thing a member needs.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    /// The other's name.
    pub(crate) name: String,
    /// Which versions will do.
    pub(crate) req: String,
    /// `dev` or `build`; `None` for what users need too.
    pub(crate) kind: Option<String>,
}

/// One thing a member builds.
#[derive(Deserialize)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// `lib`, `bin`, `test`, `example`.
    pub(crate) kind: Vec<String>,
    /// Whether a plain `cargo test` runs it.
    pub(crate) test: bool,
    /// Without which features it is not built.
    #[serde(default, rename = "required-features")]
    pub(crate) required_features: Vec<String>,
}

impl Target {
    /// Tells whether it is of this kind.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|own| own == kind)
    }
}

/// Asks cargo what the workspace holds.
///
/// # Errors
///
/// Cargo cannot read the manifests.
pub(crate) fn metadata() -> Result<Metadata> {
    let json = output_of(&mut cargo([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    serde_json::from_str(&json).context("cargo metadata printed something unexpected")
}

/// Builds the server as its users run it and returns where it is.
///
/// # Errors
///
/// It does not build.
pub(crate) fn server_binary() -> Result<PathBuf> {
    server_binary_with(&[])
}

/// Builds the server with more arguments for cargo, such as features, and returns where it is.
///
/// # Errors
///
/// It does not build.
pub(crate) fn server_binary_with(more: &[&str]) -> Result<PathBuf> {
    let build = ["build", "--release", "--package", "upload-server", "--bins"];
    must_succeed(cargo(build).args(more))?;
    Ok(metadata()?
        .target_directory
        .join("release")
        .join("upload-server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(100);

    #[test]
    fn command_that_takes_too_long_is_ended_and_named() {
        let error = must_succeed_within(SOON, &mut program("sleep", ["60"])).unwrap_err();
        assert_eq!(format!("{error:#}"), "sleep 60: no end after 0 s");
        let error = output_within(SOON, &mut program("sleep", ["60"])).unwrap_err();
        assert_eq!(format!("{error:#}"), "sleep 60: no end after 0 s");
    }

    #[test]
    fn output_of_command_in_time_is_returned() {
        let printed = output_within(Duration::from_secs(60), &mut program("echo", ["3"]));
        assert_eq!(printed.unwrap(), "3\n");
        let failed = output_within(Duration::from_secs(60), &mut program("false", []));
        assert!(format!("{:#}", failed.unwrap_err()).contains("exit status: 1"));
    }
}

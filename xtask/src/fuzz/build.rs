//! The two programs: one that libFuzzer drives, and one that counts regions over a corpus.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::run::{cargo, must_succeed, output_of};

/// What LLVM adds for libFuzzer: a counter per edge, the table of where they are, and calls that tell
/// what is compared, so that the fuzzer finds the constants.
const INSTRUMENTED: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    // The linker must not drop the counters' sections.
    "-Clink-dead-code",
];

/// Counts regions, of our crates and of what they use.
const COUNTED: &[&str] = &["-Cinstrument-coverage"];

const PACKAGE: &str = "upload-fuzz";

/// Where they are.
pub(super) struct Programs {
    pub(super) fuzzer: PathBuf,
    pub(super) counted: PathBuf,
}

impl Programs {
    /// Builds both below `place`.
    ///
    /// Flags for a named target leave build scripts and macros alone, which have no fuzzer to link to.
    pub(super) fn build(place: &Path) -> Result<Self> {
        Ok(Self {
            fuzzer: build(place, "libfuzzer", "fuzz", INSTRUMENTED)?,
            counted: build(place, "counted", "dev", COUNTED)?,
        })
    }

    /// Returns the program that lists, packs and replays; it writes no counts unless told where.
    pub(super) fn replay(&self) -> Command {
        let mut command = Command::new(&self.counted);
        command.env("LLVM_PROFILE_FILE", "/dev/null");
        command
    }
}

fn build(place: &Path, folder: &str, profile: &str, flags: &[&str]) -> Result<PathBuf> {
    let host = host()?;
    let folder = place.join(folder);
    let mut command = cargo([
        "build",
        "--package",
        PACKAGE,
        "--profile",
        profile,
        "--target",
        &host,
    ]);
    command.arg("--target-dir").arg(&folder);
    must_succeed(command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")))?;
    let profile = if profile == "dev" { "debug" } else { profile };
    Ok(folder.join(&host).join(profile).join(PACKAGE))
}

/// Returns the triple of this machine.
fn host() -> Result<String> {
    let version = rustc_version()?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc names its host")?.to_owned())
}

/// Returns what the compiler says of itself.
pub(super) fn rustc_version() -> Result<String> {
    output_of(Command::new(rustc()).arg("-vV"))
}

/// Returns the compiler that cargo uses.
pub(super) fn rustc() -> std::ffi::OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

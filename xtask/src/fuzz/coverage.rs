//! How much of a parser its corpus reaches: regions as the compiler counts them, read by llvm-cov.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{
    Target,
    build::{Programs, rustc, rustc_version},
};
use crate::run::{must_succeed, output_of, root};

/// Regions of a target's files.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Regions {
    pub(super) all: u64,
    pub(super) covered: u64,
}

#[derive(Deserialize)]
struct Export {
    data: Vec<Data>,
}

#[derive(Deserialize)]
struct Data {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: PathBuf,
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    regions: Count,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
    covered: u64,
}

/// Replays a corpus and counts.
pub(super) fn measure(
    programs: &Programs,
    target: &Target,
    corpus: &Path,
    place: &Path,
) -> Result<Regions> {
    let folder = place.join("coverage");
    fs::create_dir_all(&folder)?;
    let raw = folder.join(format!("{}.profraw", target.name));
    let merged = folder.join(format!("{}.profdata", target.name));
    let mut replay = Command::new(&programs.counted);
    replay.env("LLVM_PROFILE_FILE", &raw);
    must_succeed(replay.args(["replay", &target.name]).arg(corpus))?;
    let mut merge = Command::new(tool("llvm-profdata")?);
    must_succeed(
        merge
            .args(["merge", "--sparse", "-o"])
            .args([&merged, &raw]),
    )?;

    let sources: Vec<_> = target
        .sources
        .iter()
        .map(|source| root().join(source))
        .collect();
    let mut export = Command::new(tool("llvm-cov")?);
    export.args(["export", "--summary-only", "--instr-profile"]);
    export.arg(&merged).arg(&programs.counted).args(&sources);
    let export: Export = serde_json::from_str(&output_of(&mut export)?)?;
    let files = export.data.iter().flat_map(|data| &data.files);
    let mut regions = Regions::default();
    for file in files.filter(|file| sources.contains(&file.filename)) {
        regions.all += file.summary.regions.count;
        regions.covered += file.summary.regions.covered;
    }
    if regions.all == 0 {
        bail!("no region of {} was found", target.sources.join(", "));
    }
    Ok(regions)
}

/// Finds what it needs, before minutes are spent on what could not be shown.
///
/// # Errors
///
/// A tool is missing; the error says how to get it.
pub(super) fn find_tools() -> Result<()> {
    tool("llvm-profdata")
        .and_then(|_| tool("llvm-cov"))
        .map(drop)
}

/// Finds a tool of the compiler's own LLVM version; an older one cannot read its counts.
fn tool(name: &str) -> Result<PathBuf> {
    let version = rustc_version()?;
    let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name));
    let host = field("host: ").context("rustc names its host")?;
    let llvm = field("LLVM version: ").context("rustc names its LLVM")?;
    let major = llvm.split('.').next().unwrap_or(llvm);
    let sysroot = output_of(Command::new(rustc()).args(["--print", "sysroot"]))?;
    let component = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(host)
        .join("bin")
        .join(name);
    if component.exists() {
        return Ok(component);
    }
    let versioned = format!("{name}-{major}");
    let is_there = Command::new(&versioned).arg("--version").output().is_ok();
    if !is_there {
        bail!(
            "{name} is missing: rustup component add llvm-tools, or apt-get install llvm-{major}"
        );
    }
    Ok(versioned.into())
}

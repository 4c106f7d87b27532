//! `cargo xtask release --dry-run`: checks what is to be published, and prints in which order it would be.

mod client;
mod manifests;
mod semver;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{
    run::{Metadata, Package, cargo, metadata, must_succeed, output_of, program, root},
    stages::Tally,
};

/// Says why nothing is published, or rehearses it.
///
/// # Errors
///
/// It was not to be a rehearsal, or a step could not be taken.
pub(crate) fn run(dry_run: bool) -> Result<Tally> {
    if !dry_run {
        bail!("publishing takes credentials and is done by hand: --dry-run prints the commands");
    }
    rehearse()
}

/// Takes every step of a release but the last.
///
/// # Errors
///
/// A step could not be taken; what does not hold is printed and counted instead.
pub(crate) fn rehearse() -> Result<Tally> {
    let metadata = metadata()?;
    let crates = in_order(&metadata)?;
    let version = &crates.first().context("no crate is published")?.version;
    let mut tally = Tally::default();

    step("manifests");
    for package in &crates {
        tally.count(say(&package.name, manifests::troubles(package, version)));
    }
    step("release notes");
    let notes = notes(version)?;
    println!("{notes}");
    tally.count(say("CHANGELOG.md", no_notes(&notes)));

    step("packages, each built from what would be uploaded");
    must_succeed(&mut package_command()?)?;
    tally.count(true);

    step("semantic versioning");
    tally.count(semver::check(version)?);

    step("npm package");
    tally.count(say("upload-client", client::troubles(version)?));

    step("what would be published, in this order");
    for package in &crates {
        let name = format!("{}-{version}.crate", package.name);
        let file = metadata.target_directory.join("package").join(&name);
        let bytes = fs::metadata(&file).with_context(|| name.clone())?.len();
        println!(
            "cargo publish --package {:<16} # {name}, {bytes} bytes",
            package.name
        );
    }
    println!("npm publish ./{}", client::FOLDER);
    println!("git tag v{version}");
    Ok(tally)
}

fn step(title: &str) {
    println!("\n--> {title}");
}

/// Prints what is wrong with something; answers whether nothing is.
fn say(name: &str, troubles: Vec<String>) -> bool {
    for trouble in &troubles {
        println!("{name}: {trouble}");
    }
    if troubles.is_empty() {
        println!("{name}: ok");
    }
    troubles.is_empty()
}

/// Returns the members that are published, each behind those it needs.
fn in_order(metadata: &Metadata) -> Result<Vec<&Package>> {
    let mut waiting: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| package.is_public())
        .collect();
    let mut ordered: Vec<&Package> = Vec::new();
    while !waiting.is_empty() {
        let needs = |package: &Package, other: &Package| {
            let mut lasting = package
                .dependencies
                .iter()
                .filter(|needed| needed.kind.is_none());
            lasting.any(|needed| needed.name == other.name)
        };
        let ready = |package: &&Package| !waiting.iter().any(|other| needs(package, other));
        let Some(next) = waiting.iter().position(ready) else {
            bail!("the crates need each other in a circle");
        };
        ordered.push(waiting.remove(next));
    }
    Ok(ordered)
}

/// Returns what the changelog says of this version, or of what comes next.
fn notes(version: &str) -> Result<String> {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).context("CHANGELOG.md")?;
    let newest = text.split("\n## ").nth(1).unwrap_or_default();
    let (title, notes) = newest.split_once('\n').unwrap_or((newest, ""));
    if title != "Unreleased" && !title.starts_with(version) {
        bail!("CHANGELOG.md begins with {title}, neither Unreleased nor {version}");
    }
    Ok(format!("{title}\n{}", notes.trim()))
}

fn no_notes(notes: &str) -> Vec<String> {
    let is_empty = !notes.lines().any(|line| line.starts_with("- "));
    is_empty
        .then(|| "says nothing about the newest version".to_owned())
        .into_iter()
        .collect()
}

/// Packs and builds all crates, as crates.io would see them; changes that are not committed may be among them.
fn package_command() -> Result<std::process::Command> {
    let mut command = cargo(["package", "--workspace", "--locked"]);
    for package in metadata()?
        .packages
        .iter()
        .filter(|package| !package.is_public())
    {
        command.args(["--exclude", &package.name]);
    }
    let changes = output_of(&mut program("git", ["status", "--porcelain"]))?;
    if !changes.is_empty() {
        println!("the working tree has changes that are not committed; a release would not");
        command.arg("--allow-dirty");
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a crate needs is published before it.
    #[test]
    fn crates_come_behind_what_they_need() {
        let metadata = metadata().unwrap();
        let names: Vec<_> = in_order(&metadata)
            .unwrap()
            .iter()
            .map(|package| &*package.name)
            .collect();
        let place = |name: &str| names.iter().position(|own| *own == name).unwrap();
        assert!(place("upload-proto") < place("upload-core"));
        assert!(place("upload-core") < place("upload-server"));
        assert!(place("upload-writers") < place("upload-server"));
        assert!(!names.contains(&"xtask"));
    }
}

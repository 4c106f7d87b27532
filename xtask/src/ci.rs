//! `cargo xtask ci`: `test`, and what is only worth checking now and then.

use anyhow::{Context, Result, bail};

use crate::{
    release,
    run::{cargo, metadata, must_succeed, output_of, program},
    services, site,
    stages::{Stage, Tally},
    test,
};

/// The stages of `test` and those that only `ci` has.
pub(crate) fn stages() -> Vec<Stage> {
    let extras: &[Stage] = &[
        ("msrv", msrv),
        ("docs", docs),
        ("site", site::build),
        ("features", features),
        ("release", release::rehearse),
        ("deny", deny),
        ("advisories", advisories),
    ];
    test::STAGES.iter().chain(extras).copied().collect()
}

/// Every public item's documentation, without a warning.
///
/// # Errors
///
/// There is a warning.
pub(crate) fn docs() -> Result<Tally> {
    must_succeed(
        cargo(["doc", "--workspace", "--no-deps", "--all-features"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )?;
    Ok(Tally::ONE)
}

/// Each crate alone: without features, with each of them by itself, with its defaults and with all.
///
/// In a build of the whole workspace, one crate's features hide what another forgot to ask for.
fn features() -> Result<Tally> {
    let mut tally = Tally::default();
    for package in metadata()?.packages {
        let all = package
            .features
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(",");
        let mut sets: Vec<_> = package.features.keys().map(String::as_str).collect();
        sets.insert(0, "");
        if sets.len() > 2 {
            sets.push(&all);
        }
        for set in sets {
            let mut command = cargo(["check", "--package", &package.name, "--no-default-features"]);
            let passed = must_succeed(command.args(["--features", set]));
            if let Err(error) = &passed {
                eprintln!("{error:#}");
            }
            tally.count(passed.is_ok());
        }
    }
    Ok(tally)
}

/// Licences, sources and duplicates of what we depend on: all of it is known here.
fn deny() -> Result<Tally> {
    let checks = ["--all-features", "check", "bans", "licenses", "sources"];
    must_succeed(&mut program(services::cargo_deny()?, checks))?;
    Ok(Tally::ONE)
}

/// Known vulnerabilities and yanked versions; without the database nothing is known, and that is no
/// success.
fn advisories() -> Result<Tally> {
    let checks = ["--all-features", "check", "advisories"];
    must_succeed(&mut program(services::cargo_deny()?, checks)).context(
        "an advisory, or no database: it comes from https://github.com/RustSec/advisory-db",
    )?;
    Ok(Tally::ONE)
}

/// That the oldest compiler we promise is the one that everything here was checked with.
fn msrv() -> Result<Tally> {
    let version = output_of(&mut program("rustc", ["--version"]))?;
    let used = version.split_whitespace().nth(1).unwrap_or_default();
    for package in metadata()?.packages {
        let promised = package.rust_version.unwrap_or_default();
        if !is_of(used, &promised) {
            bail!(
                "{} promises Rust {promised}, and this is {used}: rustup toolchain install {promised}, \
                 and run this with RUSTUP_TOOLCHAIN={promised}",
                package.name
            );
        }
    }
    Ok(Tally::ONE)
}

/// Tells whether a version is one of the promised release.
fn is_of(version: &str, promised: &str) -> bool {
    let rest = version.strip_prefix(promised);
    !promised.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_belong_to_their_release() {
        assert!(is_of("1.95.0", "1.95") && is_of("1.95.0", "1.95.0"));
        assert!(!is_of("1.96.0", "1.95") && !is_of("1.950.0", "1.95") && !is_of("1.95.0", ""));
    }
}

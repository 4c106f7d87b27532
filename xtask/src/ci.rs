//! `cargo xtask ci`: `test`, and what is only worth checking now and then.

use anyhow::Result;

use crate::{
    release,
    run::{cargo, metadata, must_succeed},
    services,
    stages::{Stage, Tally},
    test,
};

/// The stages of `test` and those that only `ci` has.
pub(crate) fn stages() -> Vec<Stage> {
    let extras: &[Stage] = &[
        ("docs", docs),
        ("features", features),
        ("release", release::rehearse),
        ("deny", deny),
    ];
    test::STAGES.iter().chain(extras).copied().collect()
}

/// Every public item's documentation, without a warning.
fn docs() -> Result<Tally> {
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

/// Licences, sources, duplicates and known vulnerabilities of what we depend on.
fn deny() -> Result<Tally> {
    services::cargo_deny()?;
    must_succeed(&mut cargo(["deny", "--all-features", "check"]))?;
    Ok(Tally::ONE)
}

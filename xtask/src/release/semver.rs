//! Whether what changed since the last release fits the new version, by `cargo semver-checks`.

use anyhow::Result;

use crate::run::{cargo, metadata, must_succeed, output_of, program};

/// Compares with the newest tag of a release, and says plainly where there is nothing to compare.
///
/// Answers whether it is all right: without a baseline it is, without the tool only then.
///
/// # Errors
///
/// Git does not answer.
pub(super) fn check(version: &str) -> Result<bool> {
    let tool = cargo(["semver-checks", "--version"]).output();
    let has_tool = tool.is_ok_and(|output| output.status.success());
    if !has_tool {
        println!("cargo-semver-checks is missing: cargo install --locked cargo-semver-checks");
    }
    let tags = output_of(&mut program(
        "git",
        ["tag", "--list", "v*", "--sort=-version:refname"],
    ))?;
    let Some(baseline) = tags.lines().find(|tag| *tag != format!("v{version}")) else {
        println!(
            "there is no baseline: no tag v* names an earlier release, so nothing is compared"
        );
        return Ok(true);
    };
    if !has_tool {
        return Ok(false);
    }
    let mut command = cargo(["semver-checks", "--workspace", "--baseline-rev", baseline]);
    for package in metadata()?
        .packages
        .iter()
        .filter(|package| !package.is_public())
    {
        command.args(["--exclude", &package.name]);
    }
    let compared = must_succeed(&mut command);
    if let Err(error) = &compared {
        println!("{error:#}");
    }
    Ok(compared.is_ok())
}

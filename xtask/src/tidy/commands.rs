//! Commands that documents tell readers to run: each names packages, examples, features and stages that exist.
//!
//! What is run of `upload-server` itself is held against the real binary by that crate's test `guides`.

use anyhow::Result;
use clap::{CommandFactory, error::ErrorKind};

use super::Findings;
use crate::{
    Cli, guides,
    run::{Metadata, Package, metadata},
    tree::TextFile,
};

/// Checks the commands of all documents.
///
/// # Errors
///
/// Cargo cannot tell what there is.
pub(super) fn check(tree: &[TextFile], findings: &mut Findings) -> Result<()> {
    let metadata = metadata()?;
    // Their blocks are run, or say why they are not.
    let guides = guides::all()?;
    for file in tree.iter().filter(|file| file.is(".md")) {
        for (number, command) in commands(&file.text) {
            findings.checked += 1;
            let place = format!("{}:{number}: {command}", file.path);
            match judge(&command, &metadata) {
                Ok(true) => {}
                Ok(false) if guides.contains(&file.path) => {}
                Ok(false) => findings.warn(format!("{place}: nothing checks such a command")),
                Err(trouble) => findings.error(format!("{place}: {trouble}")),
            }
        }
    }
    Ok(())
}

/// Returns the lines of `sh` blocks, and the pieces of code in prose that are a command of cargo.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut block = None;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(mark) = line.trim_start().strip_prefix("```") {
            block = block.is_none().then_some(mark);
        } else if block == Some("sh") {
            found.push((number, line.to_owned()));
        } else if block.is_none() {
            let code = line.split('`').skip(1).step_by(2);
            let cargo = code.filter(|code| code.starts_with("cargo ") && code.contains(" -"));
            found.extend(cargo.map(|code| (number, code.to_owned())));
        }
    }
    found
}

/// Programs of others, which readers run as they are.
const FOREIGN: &[&str] = &["apt-get", "cd", "curl", "git", "npm"];

/// Finds out whether a command can be what a reader should run; `false` if nothing here knows it.
fn judge(command: &str, metadata: &Metadata) -> Result<bool, String> {
    let command = command.split(" # ").next().unwrap_or("");
    // Variables before the program's name.
    let is_variable = |word: &&str| word.contains('=') && !word.starts_with('-');
    let words: Vec<_> = command.split_whitespace().skip_while(is_variable).collect();
    match words.as_slice() {
        [] | ["upload-server", ..] => Ok(true),
        ["cargo", "xtask", rest @ ..] => xtask(rest).map(|()| true),
        ["cargo", "install", rest @ ..] if !rest.contains(&"--path") => Ok(true),
        ["cargo", "run" | "test" | "install", rest @ ..] => built(rest, metadata).map(|()| true),
        ["cargo", ..] => Ok(true),
        [program, ..] => Ok(FOREIGN.contains(program)),
    }
}

/// Has the arguments of `cargo xtask` parsed, up to the help that is asked for behind them.
fn xtask(arguments: &[&str]) -> Result<(), String> {
    let line = ["xtask"].iter().chain(arguments).chain(&["--help"]);
    match Cli::command().try_get_matches_from(line) {
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("xtask would not show its help".to_owned()),
    }
}

/// Looks up what `cargo run`, `cargo test` and `cargo install` are asked to build.
fn built(arguments: &[&str], metadata: &Metadata) -> Result<(), String> {
    let after = |names: [&str; 2]| {
        let place = arguments.iter().position(|word| names.contains(word))?;
        arguments.get(place + 1).copied()
    };
    let name = after(["-p", "--package"]).or(after(["--path", "--path"]));
    let Some(package) = metadata
        .packages
        .iter()
        .find(|package| Some(&*package.name) == name)
    else {
        return Err(format!(
            "there is no package {}",
            name.unwrap_or("without a name")
        ));
    };
    let features: Vec<_> = after(["--features", "-F"])
        .unwrap_or("")
        .split(',')
        .collect();
    for feature in features.iter().filter(|feature| !feature.is_empty()) {
        if !package.features.contains_key(*feature) {
            return Err(format!("{} has no feature {feature}", package.name));
        }
    }
    let all = arguments.contains(&"--all-features");
    for kind in ["example", "test", "bin"] {
        if let Some(target) = after([&format!("--{kind}"), ""]) {
            target_exists(package, kind, target, |needed| {
                all || features.contains(&needed)
            })?;
        }
    }
    Ok(())
}

fn target_exists(
    package: &Package,
    kind: &str,
    name: &str,
    has: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let mut targets = package.targets.iter();
    let Some(target) = targets.find(|target| target.is(kind) && target.name == name) else {
        return Err(format!("{} has no {kind} {name}", package.name));
    };
    let defaults = package
        .features
        .get("default")
        .map_or(&[][..], Vec::as_slice);
    let mut needed = target.required_features.iter();
    match needed.find(|needed| !defaults.contains(needed) && !has(needed)) {
        None => Ok(()),
        Some(missing) => Err(format!("needs --features {missing}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_in_blocks_and_in_prose() {
        let text = "Try `cargo run -p a` or `cargo test`.\n```sh\nls\n```\n```text\nno\n```\n";
        let found: Vec<_> = commands(text)
            .into_iter()
            .map(|(_, command)| command)
            .collect();
        assert_eq!(found, ["cargo run -p a", "ls"]);
    }

    #[test]
    fn what_does_not_exist_is_seen() {
        let metadata = metadata().unwrap();
        let judge = |command: &str| judge(command, &metadata) == Ok(true);
        for good in [
            "cargo xtask test --only format,tidy",
            "cargo run -p upload-core --features testing --example by_hand",
            "cargo run -p upload-writers --features testing --example custom_writer",
            "PROPTEST_CASES=1 cargo test -p upload-core --test model # more",
        ] {
            assert!(judge(good), "{good}");
        }
        assert_eq!(super::judge("rm -r .", &metadata), Ok(false));
        for bad in [
            "cargo xtask tets",
            "cargo xtask test --onyl format",
            "cargo run -p upload-cor --example by_hand",
            "cargo run -p upload-core --example by_foot",
            "cargo run -p upload-writers --example custom_writer",
            "cargo run -p upload-writers --features tasting --example custom_writer",
        ] {
            assert!(super::judge(bad, &metadata).is_err(), "{bad}");
        }
    }
}

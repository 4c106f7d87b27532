//! `cargo xtask tidy`: what the compiler does not check.

mod commands;
mod files;
mod links;
mod map;
mod markdown;
mod rules;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{
    blocks,
    run::{cargo, output_of, root},
    stages::Tally,
    tree::{self, TextFile},
};

/// Where the protocol's rules and codes are written down.
const PROTOCOL: &str = "docs/PROTOCOL.md";
/// Where the map of the code is.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// What the checks found.
#[derive(Default)]
struct Findings {
    /// What has to be mended.
    errors: Vec<String>,
    /// What should be looked at.
    warnings: Vec<String>,
    /// How many things were looked at.
    checked: usize,
}

impl Findings {
    fn error(&mut self, text: impl Into<String>) {
        self.errors.push(text.into());
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}

/// Checks everything, or first writes what is generated.
///
/// # Errors
///
/// A file cannot be read or written, or the table of codes cannot be made.
pub(crate) fn command(write: bool) -> Result<Tally> {
    let root = root();
    if write {
        write_block(
            &root.join(ARCHITECTURE),
            map::BLOCK,
            &map::render(&tree::read(&root)?),
        )?;
        write_block(&root.join(PROTOCOL), CODES, &code_table()?)?;
    }
    let (files, codes) = (check()?, check_codes()?);
    Ok(Tally {
        passed: files.passed + codes.passed,
        failed: files.failed + codes.failed,
    })
}

/// Prints the addresses outside the workspace that documents name, for whoever wants to visit them.
///
/// # Errors
///
/// A file cannot be read.
pub(crate) fn list_links() -> Result<()> {
    for (address, place) in links::elsewhere(&tree::read(&root())?) {
        println!("{address}\t{place}");
    }
    Ok(())
}

/// Checks what can be told from the files alone.
///
/// # Errors
///
/// A file cannot be read.
pub(crate) fn check() -> Result<Tally> {
    let findings = look(&root())?;
    for warning in &findings.warnings {
        println!("warning: {warning}");
    }
    for error in &findings.errors {
        println!("error: {error}");
    }
    Ok(Tally {
        passed: findings.checked.saturating_sub(findings.errors.len()),
        failed: findings.errors.len(),
    })
}

/// Compares the table of codes in the protocol's document with the one its crate prints.
///
/// # Errors
///
/// The example does not run, or the document has no such table.
pub(crate) fn check_codes() -> Result<Tally> {
    let document = fs::read_to_string(root().join(PROTOCOL)).context(PROTOCOL)?;
    if blocks::find(&document, CODES)?.trim() != code_table()?.trim() {
        bail!("the table of codes in {PROTOCOL} is not the crate's: cargo xtask tidy --write");
    }
    Ok(Tally::ONE)
}

/// The name of the generated part with the codes.
const CODES: &str = "codes";

fn look(root: &Path) -> Result<Findings> {
    let tree = tree::read(root)?;
    let anchors = links::Anchors::of(&tree);
    let mut findings = Findings::default();
    for file in &tree {
        files::check(file, &mut findings);
        if file.is(".md") {
            markdown::check(file, &mut findings);
            links::check(root, file, &anchors, &mut findings);
        }
    }
    files::check_crates(&tree, &mut findings);
    commands::check(&tree, &mut findings)?;
    rules::check(document(&tree, PROTOCOL)?, &tree, &mut findings);
    map::check(document(&tree, ARCHITECTURE)?, &tree, &mut findings);
    Ok(findings)
}

fn document<'a>(tree: &'a [TextFile], path: &str) -> Result<&'a TextFile> {
    tree.iter()
        .find(|file| file.path == path)
        .with_context(|| format!("{path} is missing"))
}

fn code_table() -> Result<String> {
    output_of(&mut cargo([
        "run",
        "--quiet",
        "--package",
        "upload-proto",
        "--example",
        "code_table",
    ]))
}

fn write_block(path: &Path, name: &str, block: &str) -> Result<()> {
    let document = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let new = blocks::replace(&document, name, block)?;
    if new != document {
        fs::write(path, new)?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let findings = look(&root()).unwrap();
        assert!(findings.checked > 0);
        assert!(
            findings.errors.is_empty(),
            "\n{}\n",
            findings.errors.join("\n")
        );
    }
}

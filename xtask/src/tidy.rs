//! `cargo xtask tidy`: what the compiler does not check.

mod commands;
mod doc_examples;
mod faults;
mod files;
mod folders;
mod lines;
mod links;
mod markdown;
mod media_types;
mod names;
mod reading;
mod rules;
mod words;

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
/// Where the codes are explained.
const ERRORS: &str = "docs/errors.md";
/// What pages show for each code.
const TEXTS: &str = "upload-server/client/texts.js";
/// Where the order of folders is written down.
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
        for (path, table) in code_tables()? {
            write_block(&root.join(path), CODES, &table)?;
        }
        fs::write(root.join(media_types::TABLE), media_types::generate(&root)?)?;
        let words = words::lowered(&tree::read(&root)?)?;
        fs::write(root.join(words::LIST), words)?;
    }
    let (files, codes) = (check()?, check_codes()?);
    Ok(Tally {
        passed: files.passed + codes.passed,
        failed: files.failed + codes.failed,
    })
}

/// Prints the addresses outside the workspace that documents name, for a reader who wants to visit them.
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
    let root = root();
    let findings = look(&root)?;
    print!("{}", lines::table(&lines::count(&tree::read(&root)?)));
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

/// Compares the tables of codes in the documents with those that the code prints.
///
/// # Errors
///
/// The example does not run, or a document has no such table.
pub(crate) fn check_codes() -> Result<Tally> {
    let mut tally = Tally::default();
    for (path, table) in code_tables()? {
        let document = fs::read_to_string(root().join(path)).context(path)?;
        if blocks::find(&document, CODES)?.trim() != table.trim() {
            bail!("the table of codes in {path} is not the code's: cargo xtask tidy --write");
        }
        tally.count(true);
    }
    Ok(tally)
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
    files::check_lengths(&tree, &mut findings);
    files::check_crates(&tree, &mut findings);
    faults::check(&tree, &mut findings);
    commands::check(&tree, &mut findings)?;
    rules::check(document(&tree, PROTOCOL)?, &tree, &mut findings);
    folders::check(document(&tree, ARCHITECTURE)?, &tree, &mut findings)?;
    doc_examples::check(&tree, &mut findings);
    media_types::check(root, &tree, &mut findings)?;
    words::check(&tree, &mut findings)?;
    names::check(&tree, &mut findings);
    reading::check(&tree, &words::refused(&tree)?, &mut findings);
    lines::check(&lines::count(&tree), &mut findings);
    Ok(findings)
}

fn document<'a>(tree: &'a [TextFile], path: &str) -> Result<&'a TextFile> {
    tree.iter()
        .find(|file| file.path == path)
        .with_context(|| format!("{path} is missing"))
}

/// Returns the documents that have a table of codes, with their tables.
fn code_tables() -> Result<[(&'static str, String); 2]> {
    let example = || {
        cargo([
            "run",
            "--quiet",
            "--package",
            "upload-proto",
            "--example",
            "code_table",
        ])
    };
    let protocol = output_of(&mut example())?;
    let errors = output_of(example().args(["--", TEXTS]))?;
    Ok([(PROTOCOL, protocol), (ERRORS, errors)])
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

//! The browser client's checks that need no browser: its tests under Node.js and its types.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{
    run::{must_succeed, program, root, watch},
    services,
    stages::Tally,
};

/// Returns the folder with the client's tests and what they need from npm.
pub(crate) fn test_folder() -> PathBuf {
    root().join("upload-server/client/test")
}

/// Runs the client's tests under Node.js.
///
/// # Errors
///
/// Something is missing, or there is no test.
pub(crate) fn tests() -> Result<Tally> {
    let folder = test_folder();
    services::npm_packages(&folder)?;
    let files = test_files(&folder)?;
    if files.is_empty() {
        bail!("no *.test.js or *.test.mjs in {}", folder.display());
    }
    let mut tally = Tally::default();
    let mut command = program("node", ["--test", "--test-reporter=spec"]);
    let status = watch(command.args(files), |line| tally.add_line(line))?;
    Ok(tally.of_run(status.success()))
}

/// Checks the client's JSDoc types, and the hand-written declarations against them.
///
/// # Errors
///
/// Something is missing, or a type is wrong.
pub(crate) fn types() -> Result<Tally> {
    let folder = test_folder();
    services::npm_packages(&folder)?;
    let compiler = folder.join("node_modules/.bin/tsc");
    if !compiler.exists() {
        bail!("typescript is not among the client's development packages");
    }
    let mut command = program(&compiler, ["--noEmit", "--project"]);
    must_succeed(command.arg(project(&folder)?))?;
    Ok(Tally::ONE)
}

/// Finds the tests that Node.js runs; those for a browser are in a folder of their own.
fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.ends_with(".test.js") || name.ends_with(".test.mjs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The compiler's settings are next to the client or next to its tests.
fn project(folder: &Path) -> Result<PathBuf> {
    let places = [
        folder.join("tsconfig.json"),
        folder.join("../tsconfig.json"),
    ];
    let Some(found) = places.iter().find(|place| place.is_file()) else {
        bail!("no tsconfig.json in upload-server/client or its test folder");
    };
    Ok(found.clone())
}

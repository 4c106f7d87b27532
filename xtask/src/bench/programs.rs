//! The programs that benches measure with.

use anyhow::Result;

use crate::run::{cargo, must_succeed};

/// Builds all of them with one set of features, so that a test run builds only once what they share.
///
/// A measured program is built by itself instead, as its users have it.
///
/// # Errors
///
/// They do not build.
pub(crate) fn build_all() -> Result<()> {
    let build = ["build", "--release", "--package", "upload-bench"];
    must_succeed(cargo(build).args(["--all-features", "--bins"]))
}

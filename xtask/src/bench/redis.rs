//! A Redis server for one bench.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};

use super::process::{Server, free_address};
use crate::services;

/// Starts one that keeps nothing on the disk.
///
/// # Errors
///
/// There is no Redis, or it does not start.
pub(super) fn start(folder: &Path) -> Result<Server> {
    let address = free_address()?;
    let port = address.rsplit_once(':').context("an address has a port")?.1;
    let mut command = Command::new(services::redis()?);
    command.args(["--port", port, "--bind", "127.0.0.1", "--save", ""]);
    Server::start(
        command.current_dir(folder),
        address.clone(),
        &folder.join("redis.log"),
    )
}

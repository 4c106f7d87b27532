//! A Postgres for a bench.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::process::{Server, free_address};
use crate::services;

/// Makes a cluster in `folder`, in place of an older one, and starts a server on it, which syncs what it commits.
///
/// # Errors
///
/// There is no Postgres, or it does not start.
pub(super) fn start(folder: &Path) -> Result<Server> {
    let cluster = folder.join("postgres");
    let _ = fs::remove_dir_all(&cluster);
    fs::create_dir_all(&cluster)?;
    let postgres = services::postgres()?;
    let user = other_user();
    if let Some((user, group)) = user {
        chown(&cluster, Some(user), Some(group)).context("cannot give the cluster away")?;
    }
    let command = |program: &str| {
        let mut command = Command::new(postgres.with_file_name(program));
        if let Some((user, group)) = user {
            command.uid(user).gid(group);
        }
        command.current_dir(&cluster);
        command
    };
    let made = command("initdb")
        .args(["--no-sync", "--auth", "trust", "--username", "uploads"])
        .args(["--encoding", "UTF8", "--locale", "C", "--pgdata", "data"])
        .stdout(Stdio::null())
        .status()
        .context("initdb does not start")?;
    ensure!(made.success(), "initdb failed");
    let address = free_address()?;
    let port = address.rsplit_once(':').context("an address has a port")?.1;
    let mut command = command("postgres");
    command.args(["-D", "data", "-p", port]).args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
    ]);
    Server::start(&mut command, address.clone(), &folder.join("postgres.log"))
}

/// Returns the user and group to run it as, if this is root, for whom it refuses to run.
fn other_user() -> Option<(u32, u32)> {
    let id = |option: &str, user: &[&str]| {
        let output = Command::new("id").arg(option).args(user).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.trim().parse::<u32>().ok()
    };
    if id("-u", &[]) != Some(0) {
        return None;
    }
    ["postgres", "daemon"]
        .iter()
        .find_map(|user| Some((id("-u", &[user])?, id("-g", &[user])?)))
}

//! A Postgres as it is installed: synced to the disk with each commit.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    bench::process::{Server, free_address},
    run::output_of,
    services,
};

/// A server with an empty cluster.
pub(super) struct Postgres(Server);

impl Postgres {
    /// Makes a cluster and starts a server on it.
    ///
    /// # Errors
    ///
    /// There is no Postgres, or it does not start.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let program = services::postgres()?;
        // Its user must be able to get there, which folders of another user may prevent.
        let data = std::env::temp_dir().join(format!("upload-postgres-{}", std::process::id()));
        let _ = fs::remove_dir_all(&data);
        fs::create_dir(&data)?;
        let user = other_user();
        if let Some((user, group)) = user {
            chown(&data, Some(user), Some(group))?;
        }
        let command = |program: PathBuf| {
            let mut command = Command::new(program);
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command.current_dir(&data);
            command
        };
        let made = command(program.with_file_name("initdb"))
            .args(["--auth", "trust", "--username", "uploads", "--pgdata"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .context("initdb")?;
        ensure!(made.success(), "initdb: {made}");
        let address = free_address()?;
        let port = address.rsplit_once(':').context("an address has a port")?.1;
        let mut command = command(program);
        command
            .arg("-D")
            .arg(&data)
            .args(["-p", port, "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="]);
        let server = Server::start(&mut command, address, &folder.join("postgres.log"))?;
        Ok(Self(server))
    }

    /// Returns its URL.
    pub(super) fn url(&self) -> String {
        format!("postgres://uploads@{}/postgres", self.0.address)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = std::env::temp_dir().join(format!("upload-postgres-{}", std::process::id()));
        let _ = fs::remove_dir_all(data);
    }
}

/// Returns the user and group to run it as, if this is root, whom it refuses.
fn other_user() -> Option<(u32, u32)> {
    let id = |words: &[&str]| {
        let text = output_of(Command::new("id").args(words)).ok()?;
        text.trim().parse::<u32>().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?))
}

//! A server with a second owner, before the attackers come.

use anyhow::{Result, bail};

use super::{
    ground::Ground,
    neighbour::{Neighbour, SECRET},
};
use crate::bench::process::{Server, free_address};

/// A slot to files, one that outlives connections, one to nowhere, one that is signed for, and the other routes.
const SLOTS: &str = r#"
[slots.file]
max_entries = 64
max_file_size = "1GiB"

[slots.resumable]
max_entries = 64
max_file_size = "1GiB"
resumable = true

[slots.discard]
max_entries = 64
max_file_size = "1GiB"
writer = "discard"

[slots.direct]
direct = true

[slots.direct.s3]
bucket = "bucket"
region = "eu-central-1"
"#;

/// What is attacked, and who shares it.
pub(crate) struct Scene<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) server: Server,
    pub(crate) neighbour: Neighbour,
}

impl<'a> Scene<'a> {
    /// Starts a server with `more` in its configuration, and the second owner, whose hook takes `hook_ms` for
    /// the calls of others.
    ///
    /// # Errors
    ///
    /// One of them does not start.
    pub(crate) fn begin(ground: &'a Ground, more: &str, hook_ms: u32) -> Result<Self> {
        let hook = free_address()?;
        let config = format!(
            "trusted_proxies = [\"127.0.0.1\"]\n{more}{SLOTS}\n[webhook]\nsecret = \"{SECRET}\"\n\n\
             [[hooks]]\nname = \"second-owner\"\nurl = \"http://{hook}/\"\nsecret = \"{SECRET}\"\n"
        );
        let server = ground.start(&config)?;
        let neighbour = Neighbour::start(ground, &server.address, &hook, hook_ms)?;
        Ok(Self {
            ground,
            server,
            neighbour,
        })
    }

    /// Looks for a panic in the server's log.
    ///
    /// # Errors
    ///
    /// There is one.
    pub(crate) fn check_log(&self) -> Result<()> {
        let log = self.ground.log()?;
        match log.lines().find(|line| line.contains("panic")) {
            Some(line) => bail!("the server's log says: {line}"),
            None => Ok(()),
        }
    }
}

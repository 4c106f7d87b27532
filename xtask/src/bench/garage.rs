//! Garage, an S3 server, for `bench s3`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::Result;

use super::process::{Server, free_address};
use crate::services;

const BUCKET: &str = "bucket";
const KEY_ID: &str = "GK31c2f218a2e44f485b94239e";
const SECRET: &str = "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835";
const REGION: &str = "garage";
/// How long it may take from its port to its bucket.
const SETTLES: Duration = Duration::from_secs(3);

/// One node with one bucket; its data goes with it.
pub(crate) struct Garage {
    server: Server,
    folder: PathBuf,
}

impl Garage {
    /// Starts one with an empty bucket below `folder`.
    ///
    /// # Errors
    ///
    /// It cannot be installed, or does not start.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let program = services::garage()?;
        let folder = folder.join("garage");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let (address, rpc) = (free_address()?, free_address()?);
        let config = format!(
            "metadata_dir = \"{dir}/meta\"\ndata_dir = \"{dir}/data\"\ndb_engine = \"sqlite\"\n\
             replication_factor = 1\nrpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\n\
             rpc_secret = \"{secret}\"\n[s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"{address}\"\n",
            dir = folder.display(),
            secret = "5a".repeat(32),
        );
        let file = folder.join("garage.toml");
        fs::write(&file, config)?;
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(&file)
            .args(["server", "--single-node", "--default-bucket"])
            .env("GARAGE_DEFAULT_ACCESS_KEY", KEY_ID)
            .env("GARAGE_DEFAULT_SECRET_KEY", SECRET)
            .env("GARAGE_DEFAULT_BUCKET", BUCKET);
        let server = Server::start(&mut command, address, &folder.join("log"))?;
        thread::sleep(SETTLES);
        Ok(Self { server, folder })
    }

    /// Returns what the load has to be told.
    pub(crate) fn args(&self) -> Vec<String> {
        vec![
            format!("--endpoint=http://{}", self.server.address),
            format!("--bucket={BUCKET}"),
            format!("--region={REGION}"),
            format!("--key-id={KEY_ID}"),
            format!("--secret={SECRET}"),
        ]
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

//! Garage: one node, one bucket, one key, in a directory that goes with it.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    bucket::{BUCKET, Engine, KEY_ID, REGION, SECRET},
    server::free_port,
};

/// Longest time it may take to serve its bucket.
const START_MAX: Duration = Duration::from_secs(60);

/// A running Garage, killed when dropped.
struct Garage {
    child: Child,
    /// Its data and log.
    dir: TempDir,
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- log of Garage\n{log}");
        }
    }
}

/// Starts one with an empty bucket.
pub async fn garage() -> Engine {
    let program = std::env::var_os("GARAGE").expect("GARAGE names the program; see this target");
    let dir = TempDir::new().expect("a temporary directory");
    let port = free_port();
    let config = format!(
        r#"
metadata_dir = "{dir}/meta"
data_dir = "{dir}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{port}"
"#,
        dir = dir.path().display(),
        rpc = free_port(),
        secret = "5a".repeat(32),
    );
    let file = dir.path().join("garage.toml");
    fs::write(&file, config).expect("written");
    let log = fs::File::create(dir.path().join("log")).expect("a log");
    let child = Command::new(PathBuf::from(program))
        .arg("-c")
        .arg(&file)
        .args(["server", "--single-node", "--default-bucket"])
        .env("GARAGE_DEFAULT_ACCESS_KEY", KEY_ID)
        .env("GARAGE_DEFAULT_SECRET_KEY", SECRET)
        .env("GARAGE_DEFAULT_BUCKET", BUCKET)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("Garage starts");
    let engine = Engine::new(port, Garage { child, dir });
    let begun = Instant::now();
    loop {
        let looked = engine.client.head_bucket().bucket(BUCKET).send().await;
        let Err(error) = looked else {
            return engine;
        };
        assert!(begun.elapsed() < START_MAX, "no bucket in time: {error:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

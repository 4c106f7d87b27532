//! A bucket, a server of ours before it, and what lies between them.

pub mod guide;
pub mod operator;
pub mod programs;
pub mod proxy;
pub mod scenarios;

use std::{any::Any, fs, sync::Arc};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

use self::proxy::Proxy;
use super::server::Server;

pub const BUCKET: &str = "bucket";
pub const REGION: &str = "garage";
/// In the form that Garage wants.
pub const KEY_ID: &str = "GK31c2f218a2e44f485b94239e";
pub const SECRET: &str = "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835";

/// What server and bucket hold apart from what the budget counts, in MiB: code, connections,
/// allocator, and messages between the socket and the writers.
pub const BASE_MIB: u64 = 96;
/// The budget of the servers here, in MiB.
pub const BUDGET_MIB: u64 = 64;

/// An S3 server with one bucket.
pub struct Engine {
    pub port: u16,
    pub client: Client,
    /// Makes unfinished uploads look old, where the engine can be told.
    pub age: Option<Box<dyn Fn(u64) + Send + Sync>>,
    /// Lives as long as this does.
    pub keeper: Box<dyn Any + Send + Sync>,
}

impl Engine {
    /// Knows the bucket of an S3 server on `port`.
    pub fn new(port: u16, keeper: impl Any + Send + Sync) -> Self {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(Credentials::new(KEY_ID, SECRET, None, None, "test"))
            .region(Region::new(REGION))
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .force_path_style(true)
            .build();
        Self {
            port,
            client: Client::from_conf(config),
            age: None,
            keeper: Box::new(keeper),
        }
    }

    /// Asserts that an upload's result names an object of exactly these bytes.
    pub async fn assert_holds(&self, result: &Value, expected: &Bytes) {
        assert_eq!(result["size"], expected.len(), "{result}");
        let key = result["key"].as_str().expect("a key");
        let request = self.client.get_object().bucket(BUCKET).key(key);
        let mut body = request.send().await.expect("the object is there").body;
        let mut at = 0;
        while let Some(piece) = body.try_next().await.expect("reads") {
            let end = at + piece.len();
            assert!(
                expected.get(at..end) == Some(&piece[..]),
                "differs in {at}..{end}"
            );
            at = end;
        }
        assert_eq!(at, expected.len());
    }

    /// Lists the keys of unfinished multipart uploads.
    pub async fn unfinished(&self) -> Vec<String> {
        let request = self.client.list_multipart_uploads().bucket(BUCKET);
        let listed = request.send().await.expect("lists");
        assert_ne!(listed.is_truncated, Some(true));
        let keys = listed.uploads().iter().filter_map(|one| one.key.clone());
        keys.collect()
    }

    /// Lists the keys of objects.
    pub async fn objects(&self) -> Vec<String> {
        let request = self.client.list_objects_v2().bucket(BUCKET);
        let listed = request.send().await.expect("lists");
        let keys = listed.contents().iter().filter_map(|one| one.key.clone());
        keys.collect()
    }
}

/// What the binary finds in its environment.
pub fn credentials() -> Vec<(String, String)> {
    [
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// A server whose slots `once` and `kept` write to a bucket, through a proxy.
pub struct Bed {
    pub proxy: Proxy,
    pub server: Server,
}

impl Bed {
    /// Starts both before `engine`, with more of the configuration.
    pub async fn start(engine: &Engine, more: &str) -> Self {
        Self::start_with(engine, more, credentials()).await
    }

    /// Starts both, with this environment.
    pub async fn start_with(engine: &Engine, more: &str, env: Vec<(String, String)>) -> Self {
        let proxy = Proxy::start(engine.port).await;
        let config = config(proxy.port) + more;
        let server = tokio::task::spawn_blocking(move || {
            let dir = Arc::new(TempDir::new().expect("a temporary directory"));
            Server::start_with(dir, &config, env)
        });
        let server = server.await.expect("starts");
        Self { proxy, server }
    }

    /// Asserts that the server never held more than its budget and what it needs besides.
    pub fn assert_memory_is_bounded(&self) {
        let peak = peak_mib(&self.server);
        let most = BUDGET_MIB + BASE_MIB;
        println!("the server held {peak} MiB at most, of {BUDGET_MIB} + {BASE_MIB}");
        assert!(peak <= most, "{peak} MiB are more than {most}");
    }
}

/// Returns the most memory a server has held at a time, in MiB.
pub fn peak_mib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.expect("a figure").parse().expect("a number");
    kib >> 10
}

/// Configures such a server for a bucket behind `port`.
pub fn config(port: u16) -> String {
    let slot = |name: &str, resumable: bool| {
        format!(
            "
[slots.{name}]
writer = \"s3\"
max_entries = 64
max_file_size = \"8GiB\"
resumable = {resumable}

[slots.{name}.s3]
bucket = \"{BUCKET}\"
region = \"{REGION}\"
endpoint = \"http://127.0.0.1:{port}\"
prefix = \"{name}/\"
force_path_style = true
provider = \"garage\"
"
        )
    };
    let direct = slot("direct", false).replace("writer = \"s3\"", "direct = true");
    format!(
        "data_dir = \"{{dir}}/files\"\ndemo = false\nbuffer_budget = \"{BUDGET_MIB}MiB\"\n{}{}{direct}",
        slot("once", false),
        slot("kept", true),
    )
}

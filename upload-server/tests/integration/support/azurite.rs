//! Azurite: Azure's blobs, which the binary reaches through object_store.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use object_store::{
    ObjectStoreExt,
    azure::{AzureAuthorizer, MicrosoftAzure, MicrosoftAzureBuilder},
    path::Path,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::{
    bucket::{
        BASE_MIB, BUDGET_MIB, guide, peak_mib,
        proxy::{Asked, Proxy},
        scenarios::MIB,
    },
    pattern,
    server::{Server, free_port},
    uploader::{Uploader, until},
};

/// The account every Azurite has.
const ACCOUNT: &str = "devstoreaccount1";
const CONTAINER: &str = "uploads";
/// Longest time it may take to answer.
const START_MAX: Duration = Duration::from_secs(60);

/// A running Azurite, killed when dropped.
struct Azurite {
    child: Child,
    port: u16,
    store: MicrosoftAzure,
    _dir: TempDir,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Azurite {
    async fn start() -> Self {
        let script =
            std::env::var_os("AZURITE").expect("AZURITE names the script; see this target");
        let dir = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let child = Command::new("node")
            .arg(script)
            .args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"])
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
            .arg("--location")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("Azurite starts");
        let emulated = MicrosoftAzureBuilder::new()
            .with_use_emulator(true)
            .with_container_name(CONTAINER)
            .build()
            .expect("the emulator's key");
        let store = MicrosoftAzureBuilder::new()
            .with_container_name(CONTAINER)
            .with_credentials(Arc::clone(emulated.credentials()))
            .with_endpoint(format!("http://127.0.0.1:{port}/{ACCOUNT}"))
            .with_account(ACCOUNT)
            .with_allow_http(true)
            .build()
            .expect("a store");
        let azurite = Self {
            child,
            port,
            store,
            _dir: dir,
        };
        let begun = Instant::now();
        while !azurite.makes_the_container().await {
            assert!(begun.elapsed() < START_MAX, "no container in time");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        azurite
    }

    async fn makes_the_container(&self) -> bool {
        let address = format!(
            "http://127.0.0.1:{}/{ACCOUNT}/{CONTAINER}?restype=container",
            self.port
        );
        let mut request = http::Request::builder()
            .method("PUT")
            .uri(address)
            .body(object_store::client::HttpRequestBody::empty())
            .expect("a request");
        let credential = self.store.credentials().get_credential().await;
        let credential = credential.expect("the emulator's");
        AzureAuthorizer::new(&credential, ACCOUNT)
            .try_authorize(&mut request)
            .expect("signs");
        let (head, _) = request.into_parts();
        let request = http::Request::from_parts(head, Full::new(Bytes::new()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answered = client.request(request).await;
        answered.is_ok_and(|answer| matches!(answer.status().as_u16(), 201 | 409))
    }

    async fn assert_holds(&self, result: &Value, expected: &Bytes) {
        assert_eq!(result["size"], expected.len(), "{result}");
        let path = Path::parse(result["key"].as_str().expect("a key")).expect("a path");
        let found = self.store.get(&path).await.expect("the blob is there");
        let bytes = found.bytes().await.expect("reads");
        assert!(bytes == expected, "{} bytes differ", expected.len());
    }
}

async fn server(port: u16) -> Server {
    let config = format!(
        r#"
data_dir = "{{dir}}/files"
demo = false
buffer_budget = "{BUDGET_MIB}MiB"

[slots.azure]
writer = "object_store"
max_file_size = "8GiB"
resumable = true

[slots.azure.object_store]
url = "az://{CONTAINER}/kept"
"#
    );
    let start = move || {
        let dir = Arc::new(TempDir::new().expect("a temporary directory"));
        Server::start_with(dir, &config, emulator(port))
    };
    tokio::task::spawn_blocking(start).await.expect("starts")
}

/// What the binary finds in its environment.
fn emulator(port: u16) -> Vec<(String, String)> {
    let address = format!("http://127.0.0.1:{port}");
    vec![
        ("AZURE_STORAGE_USE_EMULATOR".to_owned(), "true".to_owned()),
        ("AZURITE_BLOB_STORAGE_URL".to_owned(), address),
    ]
}

/// What the guide prints works as it is printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_block_of_the_guide_stores_a_file() {
    let azurite = Azurite::start().await;
    let mut blocks = guide::blocks();
    blocks.retain(|block| block.text.contains("az://"));
    assert_eq!(blocks.len(), 1);
    let (file, result) = guide::stored(&blocks[0], emulator(azurite.port)).await;
    azurite.assert_holds(&result, &file).await;
}

/// COMPLETE-3: every size is byte-exact, with bounded memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_of_every_size() {
    let azurite = Azurite::start().await;
    let server = server(azurite.port).await;
    for size in [
        0,
        1,
        5 * MIB - 1,
        5 * MIB,
        5 * MIB + 1,
        64 * MIB,
        1024 * MIB,
    ] {
        let file = Bytes::from(pattern::file(size as u64, size));
        let report = Uploader::new(&server.ws(), "azure", file.clone())
            .complete()
            .await;
        azurite.assert_holds(report.result(), &file).await;
    }
    let peak = peak_mib(&server);
    println!("the server held {peak} MiB at most, of {BUDGET_MIB} + {BASE_MIB}");
    assert!(peak <= BUDGET_MIB + BASE_MIB, "{peak} MiB");
}

/// RESUME-3: a server that is killed goes on from the blocks it had announced as durable, and sends
/// none of them again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_goes_on() {
    let azurite = Azurite::start().await;
    let proxy = Proxy::start(azurite.port).await;
    let mut server = server(proxy.port).await;
    let size = 48 * MIB;
    let file = Bytes::from(pattern::file(3, size));
    let uploader = Uploader::new(&server.ws(), "azure", file.clone());
    let mut heard = uploader.watch();
    let gate = uploader.gate.clone();
    gate.open_to(size as u64 / 2 + 1);
    let sending = tokio::spawn(uploader.complete());
    until(&mut heard, |heard| heard.durable >= 19 * MIB as u64).await;
    block_in_place(|| server.kill());
    let before = blocks(&proxy);
    block_in_place(|| server.restart());
    gate.open_wide();
    let report = sending.await.expect("the upload ends complete");
    assert_eq!((report.heard.resumes, report.heard.restarts), (1, 0));
    assert!(report.heard.offered >= 19 * MIB as u64);
    azurite.assert_holds(report.result(), &file).await;
    let after = blocks(&proxy) - before;
    println!("{before} blocks before the kill, {after} after it");
    assert!(after <= size.div_ceil(5 * MIB) - 4, "{after} blocks");
}

fn blocks(proxy: &Proxy) -> usize {
    let is_stored = |asked: Asked, status: u16| asked == Asked::Block && status == 201;
    let seen = proxy.seen();
    seen.iter()
        .filter(|seen| is_stored(seen.asked, seen.status))
        .count()
}

//! The kit on our own server, which passes every check, and on servers that are wrong.

mod own;
mod wrong;

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tempfile::TempDir;
use tokio::net::TcpListener;
use upload_conformance::{Ietf, Report, Site, Socket, Tus};
use upload_server::{SlotOptions, Uploads};

/// How long a server may take for anything; reached only by a failing test.
const DEADLINE: Duration = Duration::from_secs(30);
/// The origin whose pages may use the server.
const ORIGIN: &str = "https://app.example";

/// Our own server in this process, behind what a test puts before it.
struct Server {
    address: SocketAddr,
    _uploads: Uploads,
    _dir: Arc<TempDir>,
}

impl Server {
    /// Starts a server, whose routes are changed by `wrap`.
    async fn start(wrap: impl FnOnce(Router) -> Router) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a directory"));
        let slot = || {
            SlotOptions::new()
                .resumable(true)
                .max_entries(1000)
                .max_file_size(50_000_000)
        };
        let uploads = Uploads::builder()
            .data_dir(dir.path())
            .allowed_origins([ORIGIN])
            .allow_upload("files", slot())
            // So that messages may be longer than a chunk of the slot that is used.
            .allow_upload("large", slot().accept(".iso").chunk_size(1 << 20))
            .build()
            .expect("good options");
        let app = wrap(Router::new().nest("/uploads", uploads.router()));
        Self {
            address: serve(app).await,
            _uploads: uploads,
            _dir: dir,
        }
    }
}

/// Serves routes, and returns where.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn site(address: SocketAddr, path: &str) -> Site {
    let address = format!("http://{address}{path}");
    let address = address.parse().expect("an address");
    Site::new(address).origin(ORIGIN).deadline(DEADLINE)
}

/// Runs all checks of tus.
async fn tus(address: SocketAddr) -> Report {
    apart(move || Tus::new(site(address, "/uploads/files/files")).run()).await
}

/// Runs all checks of the IETF's draft.
async fn ietf(address: SocketAddr) -> Report {
    apart(move || Ietf::new(site(address, "/uploads/files/files")).run()).await
}

/// Runs all checks of the socket.
async fn socket(address: SocketAddr) -> Report {
    apart(move || Socket::new(site(address, "/uploads/ws")).run()).await
}

/// Checks block, so they need a thread of their own.
async fn apart(run: impl FnOnce() -> Report + Send + 'static) -> Report {
    let ran = tokio::task::spawn_blocking(run).await;
    ran.expect("a check never panics")
}

/// Returns the rules of the checks that failed.
fn failed(report: &Report) -> BTreeSet<&'static str> {
    let failed = report.rows().iter().filter(|row| row.has_failed());
    failed.flat_map(|row| row.rules).copied().collect()
}

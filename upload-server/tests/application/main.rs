//! What an application writes against the library, over a real server.

mod entries;
mod files;
mod guide;
mod handlers;
mod owners;
mod refusals;
mod wrong;

use axum::Router;
use tempfile::TempDir;
use upload_server::{SlotOptions, Uploads, UploadsBuilder, testing::TestClient};

/// An app whose files are in a temporary directory.
struct App {
    client: TestClient,
    dir: TempDir,
}

/// Serves a slot `notes` for text, and what `more` adds.
fn app<S>(more: impl FnOnce(UploadsBuilder) -> UploadsBuilder<S>) -> App {
    app_with(more, |_, app| app)
}

/// Serves as [`app`], and what `routes` adds.
fn app_with<S>(
    more: impl FnOnce(UploadsBuilder) -> UploadsBuilder<S>,
    routes: impl FnOnce(&Uploads, Router) -> Router,
) -> App {
    let dir = TempDir::new().expect("a directory");
    let notes = SlotOptions::new().accept(".txt").max_entries(5);
    let builder = Uploads::builder()
        .data_dir(dir.path())
        .allow_upload("notes", notes);
    let uploads = more(builder).build().expect("the uploads");
    let app = Router::new().nest("/uploads", uploads.router());
    let client = TestClient::new(routes(&uploads, app)).expect("a port");
    App { client, dir }
}

//! An axum app of which several nodes may run: what one of them stored, another one saves.
//!
//! In one folder, `REDIS_URL=redis://127.0.0.1:6379 cargo run -p upload-server --example several_nodes -- 127.0.0.1:3000`,
//! and the same once more with another port. Without `REDIS_URL` it is one node, which keeps its records in a file and
//! finds them after a restart.

use std::{env, error::Error, path::Path, path::PathBuf, sync::Arc};

use axum::{Router, extract::State, response::Html, routing::get};
use tokio::net::TcpListener;
use upload_server::stores::{RedbDurability, RedbStore, RedisStore, UploadStateStore};
use upload_server::{Entries, HandlerError, SlotOptions, Uploads, terminated};

const PAGE: &str = r#"<!doctype html>
<title>Application</title>
<script type="module" src="/uploads/client/index.js"></script>
<form dj-submit="save">
  <label>Photo <input type="file" dj-upload="photo"></label>
  <div dj-upload-progress="photo"></div>
  <label>Papers <input type="file" dj-upload="papers" multiple></label>
  <div dj-upload-progress="papers"></div>
  <button>Save</button>
  <output></output>
</form>"#;

/// Signs the cookies of visitors; the same on all nodes. A real application reads it from where it keeps its secrets.
const SECRET: [u8; 32] = *b"only for an example on a machine";

/// Saves what the page shows as finished, whichever node or connection it came to. A node that dies half way leaves
/// files that are lent again, under the same take id and so the same name.
async fn save(saved: State<PathBuf>, entries: Entries) -> Result<String, HandlerError> {
    let mut names = Vec::new();
    for slot in ["photo", "papers"] {
        for file in entries.of(slot).await? {
            let name = format!("{}-{}", file.take_id(), file.safe_client_name());
            let file = file.persist(saved.join(name)).await?;
            names.push(file.client_name().to_owned());
        }
    }
    Ok(match names.is_empty() {
        true => "Nothing to save".to_owned(),
        false => format!("Saved {}", names.join(", ")),
    })
}

/// Makes the app; files end in `dir`'s `saved`.
fn app(
    dir: &Path,
    store: Arc<dyn UploadStateStore>,
) -> Result<(Router, Uploads), upload_server::BuildError> {
    let papers = SlotOptions::new().accept(".pdf,.txt").max_entries(10);
    let uploads = Uploads::builder()
        .data_dir(dir.join("uploads"))
        .store(store)
        .secret(SECRET)
        .allow_upload("photo", SlotOptions::new().accept(".jpg,.jpeg,.png"))
        .allow_upload("papers", papers.resumable(true))
        .with_state(dir.join("saved"))
        .handle_event("save", save)
        .build()?;
    let app = Router::new()
        .route("/", get(async || Html(PAGE)))
        .nest("/uploads", uploads.router());
    Ok((app, uploads))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store: Arc<dyn UploadStateStore> = match env::var("REDIS_URL") {
        Ok(url) => Arc::new(RedisStore::connect(&url, "several_nodes:")?),
        Err(_) => Arc::new(RedbStore::open("state", RedbDurability::Process).await?),
    };
    let (app, uploads) = app(Path::new("."), store)?;
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        stop = terminated() => stop?,
    }
    uploads.shutdown().await;
    Ok(())
}

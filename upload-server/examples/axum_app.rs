//! An axum app with an avatar: `cargo run -p upload-server --example axum_app`, then open
//! <http://127.0.0.1:3000>.

use std::path::Path;

use axum::{Router, response::Html, routing::get};
use serde_json::json;
use tokio::net::TcpListener;
use upload_server::{BuildError, SlotOptions, Uploads, terminated};

const PAGE: &str = r#"<!doctype html>
<title>Avatar</title>
<script type="module" src="/uploads/client/index.js"></script>
<form dj-submit="save">
  <input type="file" dj-upload="avatar">
  <span dj-upload-preview="avatar"></span>
  <div dj-upload-progress="avatar"></div>
  <button>Save</button>
</form>"#;

/// Makes the app; the avatar ends as `avatar.jpg` or `avatar.png` in `dir`.
pub(crate) fn app(dir: &Path) -> Result<(Router, Uploads), BuildError> {
    let avatars = dir.to_owned();
    let uploads = Uploads::builder()
        .data_dir(dir.join("uploads"))
        .allow_upload("avatar", SlotOptions::new().accept(".jpg,.png"))
        .on_event("save", move |event| {
            let avatars = avatars.clone();
            async move {
                let entries = event.uploads.consume_uploaded_entries("avatar").await;
                for entry in &entries {
                    let name = entry.safe_client_name();
                    let end = if name.ends_with("png") { "png" } else { "jpg" };
                    entry.persist(avatars.join(format!("avatar.{end}"))).await?;
                }
                Ok(json!({ "saved": entries.len() }))
            }
        })
        .build()?;
    let app = Router::new()
        .route("/", get(async || Html(PAGE)))
        .nest("/uploads", uploads.router());
    Ok((app, uploads))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (app, uploads) = app(Path::new("."))?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        stop = terminated() => stop?,
    }
    uploads.shutdown().await;
    Ok(())
}

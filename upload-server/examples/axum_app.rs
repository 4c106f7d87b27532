//! An axum app with an avatar: `cargo run -p upload-server --example axum_app`, then open
//! <http://127.0.0.1:3000>.

use std::{env, path::Path};

use axum::{Router, response::Html, routing::get};
use serde_json::json;
use tokio::net::TcpListener;
use upload_server::{BuildError, HandlerError, SlotOptions, Uploads, terminated};

const PAGE: &str = r#"<!doctype html>
<title>Avatar</title>
<script type="module" src="/uploads/client/index.js"></script>
<form dj-submit="save">
  <input name="name" placeholder="Your name">
  <input type="file" dj-upload="avatar">
  <span dj-upload-preview="avatar"></span>
  <div dj-upload-progress="avatar"></div>
  <button>Save</button>
  <output><template>Saved <b dj-value="saved"></b> for <b dj-value="name"></b></template></output>
</form>
<button dj-click="forget" data-end="jpg">Forget the JPEG</button>
<p dj-result="forget"></p>"#;

/// Makes the app; the avatar ends as `avatar.jpg` or `avatar.png` in `dir`.
pub(crate) fn app(dir: &Path) -> Result<(Router, Uploads), BuildError> {
    let (avatars, forgotten) = (dir.to_owned(), dir.to_owned());
    let uploads = Uploads::builder()
        .data_dir(dir.join("uploads"))
        .allow_upload("avatar", SlotOptions::new().accept(".jpg,.jpeg,.png"))
        .on_event("save", move |event| {
            let avatars = avatars.clone();
            async move {
                let entries = event.uploads.consume_uploaded_entries("avatar").await;
                for entry in &entries {
                    let name = entry.safe_client_name();
                    let end = if name.ends_with("png") { "png" } else { "jpg" };
                    let target = avatars.join(format!("avatar.{end}"));
                    entry.persist_replacing(target).await?;
                }
                let name = event.params.get("name");
                Ok(json!({ "saved": entries.len(), "name": name }))
            }
        })
        .on_event("forget", move |event| {
            // What a page sends is anybody's word: it chooses among names, it does not make one.
            let is_png = event.params.get("end") == Some(&json!("png"));
            let avatar = forgotten.join(if is_png { "avatar.png" } else { "avatar.jpg" });
            async move {
                std::fs::remove_file(avatar).map_err(|_| HandlerError::new("There is none"))?;
                Ok(json!("Forgotten"))
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

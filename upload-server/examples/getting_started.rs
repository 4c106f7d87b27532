//! The program of the guide `docs/getting-started.md`, with its test.
//!
//! `cargo run -p upload-server --features testing --example getting_started`, then open <http://127.0.0.1:3000>.

use std::path::{Path, PathBuf};

use axum::{Router, extract::State, response::Html, routing::get};
use serde::Deserialize;
use upload_server::{Entries, HandlerError, Params, SlotOptions, Uploads};

const PAGE: &str = r#"<!doctype html>
<title>Avatar</title>
<link rel="stylesheet" href="/uploads/client/uploads.css">
<script type="module" src="/uploads/client/index.js"></script>
<form dj-submit="save">
  <input name="name" placeholder="Your name" required>
  <input type="file" dj-upload="avatar" required>
  <span dj-upload-preview="avatar"></span>
  <div dj-upload-progress="avatar"></div>
  <button>Save</button>
  <output></output>
</form>"#;

/// What handlers share; a pool of database connections would be another field.
#[derive(Clone)]
struct Site {
    avatars: PathBuf,
}

#[derive(Deserialize)]
struct Profile {
    name: String,
}

async fn save(
    State(site): State<Site>,
    Params(profile): Params<Profile>,
    entries: Entries,
) -> Result<String, HandlerError> {
    for avatar in entries.of("avatar").await? {
        let name = format!("{}-{}", avatar.upload_ref(), avatar.safe_client_name());
        avatar.persist(site.avatars.join(name)).await?;
    }
    Ok(format!("{} is saved", profile.name))
}

fn app(dir: &Path) -> Result<(Router, Uploads), Box<dyn std::error::Error>> {
    let avatars = dir.join("avatars");
    let uploads = Uploads::builder()
        .data_dir(dir.join("uploads"))
        .allow_upload("avatar", SlotOptions::new().accept("image/jpeg,image/png"))
        .with_state(Site { avatars })
        .handle_event("save", save)
        .build()?;
    let app = Router::new()
        .route("/", get(async || Html(PAGE)))
        .nest("/uploads", uploads.router());
    Ok((app, uploads))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (app, uploads) = app(Path::new("."))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://127.0.0.1:3000");
    let server = axum::serve(listener, app);
    server.with_graceful_shutdown(uploads.terminated()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use upload_server::testing::TestClient;

    use super::*;

    #[tokio::test]
    async fn an_avatar_is_saved() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let (app, _uploads) = app(dir.path())?;
        let mut ann = TestClient::new(app)?.owner("ann");
        ann.upload("avatar", "me.png", b"\x89PNG\r\n\x1a\n").await?;
        let answer = ann.event("save", json!({ "name": "Ann" })).await?;
        assert_eq!(answer, "Ann is saved");
        assert_eq!(std::fs::read_dir(dir.path().join("avatars"))?.count(), 1);
        Ok(())
    }
}

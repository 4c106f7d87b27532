//! The whole test of the guide to testing, as it is printed.

use std::path::Path;

use axum::Router;
use serde_json::json;
use upload_server::{Entries, HandlerError, SlotOptions, Uploads, testing::TestClient};

async fn save(entries: Entries) -> Result<usize, HandlerError> {
    let mut saved = 0;
    for photo in entries.of("photos").await? {
        photo
            .take()
            .await
            .map_err(|_| HandlerError::new("It was saved already"))?;
        saved += 1;
    }
    Ok(saved)
}

fn app(data_dir: &Path) -> Router {
    let uploads = Uploads::builder()
        .data_dir(data_dir)
        .allow_upload("photos", SlotOptions::new().accept(".png").max_entries(3))
        .handle_event("save", save)
        .build()
        .expect("a configuration without contradictions");
    Router::new().nest("/uploads", uploads.router())
}

#[tokio::test]
async fn photos_are_stored_and_saved() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let mut ann = TestClient::new(app(dir.path()))?.owner("ann");

    // A file that is accepted, and where it is.
    let png = b"\x89PNG\r\n\x1a\n and more";
    let stored = ann.upload("photos", "harbour.png", png).await?;
    let path = stored.result["path"].as_str().expect("a path");
    assert_eq!(std::fs::read(dir.path().join(path))?, png);

    // A file that is refused.
    let refused = ann
        .upload("photos", "setup.exe", "MZ")
        .await
        .expect_err("a refusal");
    assert_eq!(refused.code(), Some("type_not_accepted"));

    // Another visitor has nothing to save; Ann has one photo.
    let mut bob = ann.another().owner("bob");
    assert_eq!(bob.event("save", json!({})).await?, 0);
    assert_eq!(ann.event("save", json!({})).await?, 1);
    Ok(())
}

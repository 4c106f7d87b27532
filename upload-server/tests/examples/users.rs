//! The sign-in example: by its socket, by a plain form and by JSON.

#[path = "../../examples/user_folders.rs"]
#[expect(dead_code, reason = "the example's main is not called")]
mod user_folders;

use serde_json::json;
use upload_server::testing::{TestClient, TestError};

#[tokio::test]
async fn files_of_a_user_end_in_their_folder_by_socket_form_and_json()
-> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let dir = tempfile::tempdir()?;
    let (app, _uploads) = user_folders::app(dir.path()).await?;
    let client = TestClient::new(app)?;
    let stranger = client.another().upload("documents", "a.txt", "a").await;
    assert!(matches!(stranger, Err(TestError::Closed(4401))));
    for (id, name) in [("1", "alice"), ("2", "bob")] {
        let login = [("name", name), ("password", "secret")];
        let cookie = client.form("/sign-in", &login).await?.cookie();
        let mut user = client.another().header("cookie", &cookie);

        user.upload("documents", "a.txt", name).await?;
        user.event("publish", json!({})).await?;
        let b = user.upload("documents", "b.txt", name).await?.upload;
        let form = [("documents", &*b.to_string())];
        assert_eq!(user.form("/documents", &form).await?.status, 201);
        let c = user.upload("documents", "c.txt", name).await?.upload;
        let named = json!({ "documents": c });
        assert_eq!(user.post("/documents", named).await?.status, 201);

        let paths = user.get("/documents").await?.text();
        let folder = format!("/files/{id}/documents/");
        assert_eq!(paths.matches(&folder).count(), 3, "{paths}");
    }
    Ok(())
}

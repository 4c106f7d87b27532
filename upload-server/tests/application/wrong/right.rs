//! A handler that is right, by which the build is found that the others are compiled against.

use upload_server::{HandlerError, Owner, Params, Uploads, testing::axum::extract::State};

#[derive(Clone)]
pub struct Db;

pub async fn save(
    State(_db): State<Db>,
    Owner(_owner): Owner,
    Params(name): Params<String>,
) -> Result<String, HandlerError> {
    Ok(name)
}

pub fn build() {
    let _ = Uploads::builder().with_state(Db).handle_event("save", save);
}

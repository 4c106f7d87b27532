//! A state that the builder was not given.

use upload_server::{HandlerError, Uploads, testing::axum::extract::State};

#[derive(Clone)]
pub struct Db;

#[derive(Clone)]
pub struct Other;

pub async fn save(State(_other): State<Other>) -> Result<(), HandlerError> {
    Ok(())
}

pub fn build() {
    let _ = Uploads::builder().with_state(Db).handle_event("save", save);
}

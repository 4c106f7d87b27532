//! An argument that the call does not have.

use upload_server::{HandlerError, Owner, Uploads};

pub async fn save(_owner: Owner, _is_new: bool) -> Result<(), HandlerError> {
    Ok(())
}

pub fn build() {
    let _ = Uploads::builder().handle_event("save", save);
}

//! A function that is not async.

use upload_server::{HandlerError, Uploads};

pub fn save() -> Result<(), HandlerError> {
    Ok(())
}

pub fn build() {
    let _ = Uploads::builder().handle_event("save", save);
}

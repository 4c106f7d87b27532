//! Parameters of a type that cannot be read.

use upload_server::{HandlerError, Params, Uploads};

pub struct Profile;

pub async fn save(Params(_profile): Params<Profile>) -> Result<(), HandlerError> {
    Ok(())
}

pub fn build() {
    let _ = Uploads::builder().handle_event("save", save);
}

//! An error that clients cannot be told of.

use upload_server::Uploads;

pub struct AppError;

pub async fn save() -> Result<(), AppError> {
    Err(AppError)
}

pub fn build() {
    let _ = Uploads::builder().handle_event("save", save);
}

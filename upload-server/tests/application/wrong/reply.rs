//! A result that is none.

use upload_server::Uploads;

pub async fn save() -> String {
    String::new()
}

pub fn build() {
    let _ = Uploads::builder().handle_event("save", save);
}

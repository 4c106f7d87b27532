//! A closure that captures what cannot be cloned.

use std::sync::Mutex;

use upload_server::Uploads;

pub fn build() {
    let names = Mutex::new(Vec::<String>::new());
    let _ = Uploads::builder().handle_event("save", async move || {
        names.lock().unwrap().clear();
    });
}

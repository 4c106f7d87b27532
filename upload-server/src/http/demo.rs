//! The demo page: a widget for each slot, on one page.

use axum::{
    Json, Router,
    extract::Path,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{assets, state::App};

/// What the demo page shows of a slot.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DemoSlot {
    /// The slot's name.
    pub name: String,
    /// The heading; the page makes one of the name by default.
    pub title: Option<String>,
    /// What is below the heading; the slot's rules by default.
    pub hint: Option<String>,
    /// The words on the button.
    pub label: Option<String>,
}

impl DemoSlot {
    /// Names a slot, with the page's own words.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            title: None,
            hint: None,
            label: None,
        }
    }
}

/// Returns the page, its files, and the list of slots that it is made of.
pub(crate) fn routes(app: &App, slots: Vec<DemoSlot>) -> Router {
    let list = get(async move || -> Response {
        let no_cache = HeaderValue::from_static("no-cache");
        ([(header::CACHE_CONTROL, no_cache)], Json(&slots)).into_response()
    });
    let page = get(async |headers: HeaderMap| assets::demo("index.html", &headers));
    let router = Router::new()
        .route("/", page)
        .route("/uploads/demo/slots.json", list)
        .route("/uploads/demo/{file}", get(file));
    app.guard(router)
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::demo(&name, &headers)
}

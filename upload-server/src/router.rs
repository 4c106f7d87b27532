//! The routes of [`Uploads`], to be nested at any path (PROTOCOL section 11).

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{app::App, assets, status, upgrade, uploads::Uploads};

impl Uploads {
    /// Returns the routes `/ws`, `/client/{file}`, `/session`, `/{ref}/status` and, with the feature
    /// `presign`, `/presign`.
    ///
    /// Pages expect them below `/uploads`: `.nest("/uploads", uploads.router())`.
    pub fn router(&self) -> Router {
        self.app.start_tasks();
        let router = Router::new();
        #[cfg(feature = "presign")]
        let router = router.route("/presign", axum::routing::post(crate::presign::presign));
        router
            .route("/ws", get(upgrade::upgrade))
            .route("/client/{file}", get(client))
            .route("/session", get(session))
            .route("/{ref}/status", get(status::status))
            .with_state(Arc::clone(&self.app))
    }

    /// Returns the demo page and its files, for `/`.
    pub fn demo_router(&self) -> Router {
        Router::new()
            .route(
                "/",
                get(async |headers: HeaderMap| assets::demo("index.html", &headers)),
            )
            .route("/uploads/demo/{file}", get(demo))
    }
}

async fn client(Path(file): Path<String>, headers: HeaderMap) -> Response {
    assets::client(&file, &headers)
}

async fn demo(Path(file): Path<String>, headers: HeaderMap) -> Response {
    assets::demo(&file, &headers)
}

/// Makes sure that whoever asks has an owner, without a socket.
async fn session(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let Ok(who) = app.identity.identify(&parts) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = who.set_cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

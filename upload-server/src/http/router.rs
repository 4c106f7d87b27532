//! The routes of a server, to be nested at any path (PROTOCOL section 11).

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::time::Instant;

use super::{assets, handshake, state::App, status};

/// Returns the routes below `/uploads`.
pub(crate) fn routes(app: &Arc<App>) -> Router {
    behind(app, |routes| routes)
}

/// Returns the same routes behind a layer, which no request reaches whose address asks too much.
pub(crate) fn behind(app: &Arc<App>, layer: impl FnOnce(Router) -> Router) -> Router {
    let router = Router::new();
    #[cfg(feature = "presign")]
    let router = router.route("/presign", axum::routing::post(super::presign::presign));
    #[cfg(feature = "doors")]
    let router = super::doors::routes(router);
    let router = router
        .route("/ws", get(handshake::upgrade))
        .route("/client/{*file}", get(client))
        .route("/session", get(session))
        .route("/{ref}/status", get(status::status))
        .with_state(Arc::clone(app));
    let bound = middleware::from_fn_with_state(Arc::clone(app), bound);
    app.guard(layer(router).layer(bound))
}

/// Answers an address that asks too much with 429, before anything is found out about the request.
pub(crate) async fn bound(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let address = app.identity.transport.address(&parts);
    if !app.shared.rates.may_ask(address, Instant::now()) {
        #[cfg(feature = "doors")]
        if parts.uri.path().starts_with("/files") {
            return super::doors::too_many(app, parts, body);
        }
        let retry_after = [(header::RETRY_AFTER, "1")];
        return (StatusCode::TOO_MANY_REQUESTS, retry_after).into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

async fn client(Path(file): Path<String>, headers: HeaderMap) -> Response {
    assets::client(&file, &headers)
}

/// Gives the visitor an owner, without a socket.
async fn session(State(app): State<Arc<App>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let who = match app.identity.identify(&mut parts).await {
        Ok(who) => who,
        Err(no_owner) => return no_owner.into_response(),
    };
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = who.set_cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

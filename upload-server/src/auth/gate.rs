//! The layer that finds out who sent a request, and the route that gives tickets.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use super::{Auth, Refusal, tickets::LIFE};
use crate::http::{
    identity::NoOwner,
    visitor::{NotAllowed, SignIn},
};

/// The files of the browser client, which anyone may read.
const OPEN: &str = "/client/";
/// The route of sockets.
const SOCKET: &str = "/ws";
/// What pages without a socket ask first.
const SLOTS: &str = "/slots";
/// Uploads by HTTP requests.
const FILES: &str = "/files";

impl Auth {
    /// Puts the layer around the routes below `/uploads`, and adds the one that gives tickets. What bounds the
    /// requests of an address belongs around it.
    pub(crate) fn protect(self: &Arc<Self>, routes: Router) -> Router {
        let tickets = Router::new()
            .route("/ticket", post(ticket))
            .with_state(Arc::clone(self));
        routes
            .merge(tickets)
            .layer(middleware::from_fn_with_state(Arc::clone(self), gate))
    }
}

async fn gate(State(auth): State<Arc<Auth>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // A question before a request of another origin carries no credentials.
    if path.starts_with(OPEN) || request.method() == Method::OPTIONS {
        return next.run(request).await;
    }
    let (is_socket, is_door) = (path == SOCKET, is_door(path));
    let (parts, body) = request.into_parts();
    let admitted = match is_socket {
        true => auth.admit_socket(&parts).await,
        false => auth.admit(&parts).await,
    };
    request = Request::from_parts(parts, body);
    let sign_in = match admitted {
        Ok(visitor) => SignIn::Visitor(visitor),
        Err(Refusal::Unauthenticated) => SignIn::Unauthenticated,
        // Without the words of the door, its clients would take the answer for that of a firewall.
        Err(Refusal::Forbidden) if is_door => {
            request.extensions_mut().insert(NotAllowed);
            return next.run(request).await;
        }
        Err(Refusal::Forbidden) => return StatusCode::FORBIDDEN.into_response(),
        // The route that is asked knows how its clients take that.
        Err(Refusal::Unavailable) => SignIn::Unavailable,
    };
    request.extensions_mut().insert(sign_in);
    next.run(request).await
}

/// Returns whether a path is one of the doors, which answer in the words of a protocol.
fn is_door(path: &str) -> bool {
    let below = path.strip_prefix(FILES);
    path == SLOTS || below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// Gives a ticket to the visitor who signed in with the request.
async fn ticket(State(auth): State<Arc<Auth>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let mut response = match SignIn::of(&parts) {
        None | Some(SignIn::Unauthenticated) => NoOwner::Unauthenticated.into_response(),
        Some(SignIn::Unavailable) => {
            NoOwner::Failed(StatusCode::SERVICE_UNAVAILABLE).into_response()
        }
        Some(SignIn::Visitor(visitor)) => match auth.tickets.give(Arc::clone(visitor)) {
            Some(ticket) => {
                let answer = json!({ "ticket": ticket, "expires_in": LIFE.as_secs() });
                Json(answer).into_response()
            }
            None => {
                let retry_after = [(header::RETRY_AFTER, LIFE.as_secs().to_string())];
                (StatusCode::TOO_MANY_REQUESTS, retry_after).into_response()
            }
        },
    };
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

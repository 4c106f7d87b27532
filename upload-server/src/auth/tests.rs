//! Sign-in as a router behind it sees it.

mod forward;
mod keys;
mod tokens;

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::ConnectInfo, routing::get};
use http::{Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use super::{Auth, ClaimNames};
use crate::http::visitor::SignIn;

/// The names that claims have by default.
fn names() -> ClaimNames {
    ClaimNames {
        owner: "sub".to_owned(),
        slots: "upload_slots".to_owned(),
        max_file_size: "upload_max_file_size".to_owned(),
        max_uploads: "upload_max_uploads".to_owned(),
        max_bytes: "upload_max_bytes".to_owned(),
        max_stored_bytes: "upload_max_stored_bytes".to_owned(),
    }
}

/// Routes that answer with who sent the request.
fn app(auth: &Arc<Auth>) -> Router {
    let who = async |request: axum::extract::Request| {
        let (parts, _) = request.into_parts();
        match SignIn::of(&parts) {
            Some(SignIn::Visitor(visitor)) => (StatusCode::OK, visitor.owner().to_owned()),
            Some(SignIn::Unavailable) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            Some(SignIn::Unauthenticated) | None => (StatusCode::UNAUTHORIZED, String::new()),
        }
    };
    let routes = Router::new().route("/ws", get(who)).route("/who", get(who));
    auth.protect(routes)
}

/// Sends a request; returns the status and who it belongs to.
async fn send(app: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(axum::body::Body::empty()).expect("a request");
    let peer = SocketAddr::from(([192, 0, 2, 7], 1));
    request.extensions_mut().insert(ConnectInfo(peer));
    let answer = TowerToHyperService::new(app.clone())
        .call(request)
        .await
        .expect("infallible");
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
    let body = body.expect("a body").to_vec();
    (status, String::from_utf8(body).expect("text"))
}

/// Serves an application on a separate port.
async fn served(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

//! An app whose pages sign in with tickets, each good for one connection: `cargo run -p upload-server
//! --example signed_in`, then open <http://127.0.0.1:3001>.
//!
//! A socket's address ends up in logs, so what stands in it should be worth nothing afterwards. A ticket
//! that was used is refused with the close code 4401, and the page's client asks for the next one.

use std::{
    collections::HashMap,
    env,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, http::request::Parts, response::Html, routing::post};
use tokio::net::TcpListener;
use upload_server::{BuildError, SlotOptions, Unauthenticated, Uploads, terminated};
use uuid::Uuid;

const PAGE: &str = r#"<!doctype html>
<title>Signed in</title>
<script type="module">
  import { bind, createUploads } from "/uploads/client/index.js";
  let ticket;
  const token = async ({ refresh }) => {
    if (refresh || !ticket) ticket = await (await fetch("/ticket", { method: "POST" })).text();
    return ticket;
  };
  bind(createUploads({ url: "/uploads/ws", token }));
</script>
<input type="file" dj-upload="video">
<ul dj-upload-progress="video"></ul>"#;

/// Tickets that are issued at most; the sign-in of a real application is rate-limited.
const TICKETS_MAX: usize = 1000;

/// Tickets that were not used yet, and whom each is for.
#[derive(Default)]
struct Tickets(Mutex<HashMap<String, String>>);

impl Tickets {
    fn issue(&self, user: &str) -> String {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= TICKETS_MAX {
            tickets.clear();
        }
        let ticket = Uuid::new_v4().simple().to_string();
        tickets.insert(ticket.clone(), user.to_owned());
        ticket
    }

    fn redeem(&self, request: &Parts) -> Result<Option<String>, Unauthenticated> {
        let query = request.uri.query().unwrap_or_default();
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, ticket) = pairs
            .find(|(name, _)| *name == "token")
            .ok_or(Unauthenticated)?;
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.remove(ticket).map(Some).ok_or(Unauthenticated)
    }
}

/// Makes the app, which keeps files in `dir`.
pub(crate) fn app(dir: &Path) -> Result<(Router, Uploads), BuildError> {
    let tickets = Arc::new(Tickets::default());
    let issued = Arc::clone(&tickets);
    let uploads = Uploads::builder()
        .data_dir(dir.join("uploads"))
        .owner(move |request| tickets.redeem(request))
        .allow_upload("video", SlotOptions::new().accept(".mp4").resumable(true))
        .build()?;
    let app = Router::new()
        .route("/", axum::routing::get(async || Html(PAGE)))
        // A real application gives tickets to whom it knows by its own session.
        .route("/ticket", post(async move || issued.issue("ann")))
        .nest("/uploads", uploads.router());
    Ok((app, uploads))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (app, uploads) = app(Path::new("."))?;
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        stop = terminated() => stop?,
    }
    uploads.shutdown().await;
    Ok(())
}

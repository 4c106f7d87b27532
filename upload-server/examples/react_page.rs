//! A React page that uploads photos; what the browser gets is in `react/`, and nothing is built.
//!
//! `cargo run -p upload-server --example react_page`, then open <http://127.0.0.1:3000>.
//! React itself comes from a server of others, as the import map in `react/index.html` says.

use std::env;

use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::{Html, IntoResponse},
    routing::get,
};
use tokio::net::TcpListener;
use upload_server::{SlotOptions, Uploads, terminated};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let photos = SlotOptions::new()
        .accept("image/*")
        .max_entries(20)
        .max_file_size(50_000_000)
        .resumable(true)
        .consume_on_complete(true);
    let uploads = Uploads::builder().allow_upload("photos", photos).build()?;
    let app = Router::new()
        .route("/", get(Html(include_str!("react/index.html"))))
        .route("/page.js", get(module(include_str!("react/page.js"))))
        .route(
            "/useUploads.js",
            get(module(include_str!("react/useUploads.js"))),
        )
        .nest("/uploads", uploads.router());
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        stop = terminated() => stop?,
    }
    uploads.shutdown().await;
    Ok(())
}

fn module(text: &'static str) -> impl IntoResponse + Clone {
    ([(CONTENT_TYPE, "text/javascript")], text)
}

//! An axum app whose videos are streamed into an S3 bucket, in parts, while they arrive.
//!
//! The S3 server runs in this very process, over a directory; a real one differs in `client` only.
//! `cargo run -p upload-server --features s3 --example to_bucket`, then open
//! <http://127.0.0.1:3000>.

use std::{error::Error, path::Path};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use axum::{Router, response::Html, routing::get};
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::net::TcpListener;
use upload_server::{SlotOptions, Uploads, terminated};
use upload_writers::{S3Provider, S3WriterConfig, S3WriterFactory};

const PAGE: &str = r#"<!doctype html>
<title>Videos</title>
<script type="module" src="/uploads/client/index.js"></script>
<input type="file" dj-upload="video">
<ul dj-upload-progress="video"></ul>"#;

/// Makes the app; videos end in the bucket `videos` of `client`.
pub(crate) async fn app(
    client: &Client,
    data_dir: &Path,
) -> Result<(Router, Uploads), Box<dyn Error>> {
    client.create_bucket().bucket("videos").send().await?;
    let bucket = S3WriterFactory::new(
        client,
        S3WriterConfig {
            provider: S3Provider::GENERIC,
            ..S3WriterConfig::new("videos")
        },
    )?;
    let video = SlotOptions::new()
        .accept(".mp4,.webm")
        .max_file_size(20_000_000_000)
        .resumable(true)
        .writer(bucket)
        .on_complete(async |done| {
            println!("{:?}", done.entry.writer_result());
        });
    let uploads = Uploads::builder()
        .data_dir(data_dir) // for the secret of the cookies; no file of a user is ever there
        .allow_upload("video", video)
        .build()?;
    let app = Router::new()
        .route("/", get(async || Html(PAGE)))
        .nest("/uploads", uploads.router());
    Ok((app, uploads))
}

/// A client as any user of the SDK makes it; a real one would have TLS and its own credentials.
pub(crate) fn client(endpoint: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(Credentials::new("key", "secret", None, None, "example"))
        .region(Region::new("example"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

/// Starts an S3 server over a directory and returns its address.
pub(crate) async fn s3_server(dir: &Path) -> Result<String, Box<dyn Error>> {
    let files = s3s_fs::FileSystem::new(dir).map_err(|error| format!("{error:?}"))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single("key", "secret"));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service.clone()));
        }
    });
    Ok(format!("http://{address}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let client = client(&s3_server(dir.path()).await?);
    let (app, uploads) = app(&client, Path::new("uploads")).await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        stop = terminated() => stop?,
    }
    uploads.shutdown().await;
    Ok(())
}

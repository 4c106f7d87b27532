//! A file straight into a bucket, in parts, through an S3 server in this very process.
//!
//! `cargo run -p upload-writers --features s3 --example to_s3`

use std::collections::VecDeque;

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::net::TcpListener;
use upload_writers::{S3Provider, S3WriterConfig, S3WriterFactory, UploadFacts, WriterFactory};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let client = client(&serve(dir.path()).await?);
    client.create_bucket().bucket("bucket").send().await?;

    let factory = S3WriterFactory::new(
        &client,
        S3WriterConfig {
            provider: S3Provider::GENERIC,
            ..S3WriterConfig::new("bucket")
        },
    )?;
    let chunk = Bytes::from(vec![7; 64 * 1024]);
    let size = 200 * chunk.len() as u64;
    let upload = "3b0ed1a7-4be5-4bfa-9d50-9b9a94e6d6c1";
    let mut facts = UploadFacts::new(upload, "video", size);
    facts.owner = "alice".to_owned();
    facts.safe_client_name = "Holiday film.mp4".to_owned();
    facts.client_type = "video/mp4".to_owned();
    facts.resumable = true;
    let mut writer = factory.create(&facts).await?;
    for number in 1..=200 {
        let mut chunks = VecDeque::from([chunk.clone()]);
        writer.write_chunks(&mut chunks).await?;
        if number % 80 == 0 {
            // As a driver does when nothing more has come for a while.
            let written = writer.flush().await?;
            let (received, durable) = (written.received, written.durable);
            println!(
                "received {received}, durable {durable}, in memory {}",
                writer.buffered().bytes
            );
        }
    }
    let result = writer.close().await?;
    println!("stored as {result}");

    let key = result["key"].as_str().unwrap_or_default();
    let head = client
        .head_object()
        .bucket("bucket")
        .key(key)
        .send()
        .await?;
    assert_eq!(head.content_length(), i64::try_from(size).ok());
    Ok(())
}

/// An S3 server over a directory.
async fn serve(dir: &std::path::Path) -> Result<String, Box<dyn std::error::Error>> {
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

/// A client as any user of the SDK makes it; a real one would have TLS and its own credentials.
fn client(endpoint: &str) -> Client {
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

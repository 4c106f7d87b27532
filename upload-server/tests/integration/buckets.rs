//! The real binary before an S3 server in this process: what `cargo xtask integration s3` shows with
//! a real one and large files, as far as it goes with small ones.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "nothing of a test target is reachable from anywhere, and not every one needs all"
)]

#[path = "../../../upload-writers/tests/s3/ledger.rs"]
mod ledger;
mod secure;
#[path = "../../../upload-writers/tests/s3/stage.rs"]
mod stage;

/// What the scenarios stand on.
mod support {
    pub mod bucket;
    pub mod client;
    pub mod pattern;
    pub mod server;
    pub mod uploader;
}

use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::net::TcpListener;

use stage::Stage;
use support::bucket::{
    self, Engine, guide, operator, programs,
    scenarios::{self, MIB},
};

/// Starts a stand-in with an empty bucket.
async fn stand_in() -> Engine {
    let stage = Arc::new(Stage::new().await);
    let mut engine = Engine::new(stage.addr.port(), Arc::clone(&stage));
    engine.age = Some(Box::new(move |seconds| stage.ledger().age_by(seconds)));
    engine
}

/// COMPLETE-3: sizes at and around one part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes_around_a_part() {
    let sizes = [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 16 * MIB];
    scenarios::sizes(&stand_in().await, &sizes).await;
}

/// RESUME-3: SIGKILL between parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_sends_no_part_again() {
    scenarios::killed(&stand_in().await, 48 * MIB).await;
}

/// What the guide prints works as it is printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_of_the_guide_store_files() {
    guide::blocks_store_files(&checking().await).await;
}

/// The operator's script: sign-in, Postgres, TLS, hooks, tus, `send` and a restart, before this stand-in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_script_runs() {
    let engine = checking().await;
    operator::the_script_runs(&[
        ("S3_ENDPOINT", &format!("http://127.0.0.1:{}", engine.port)),
        ("S3_BUCKET", bucket::BUCKET),
        ("S3_REGION", bucket::REGION),
        ("AWS_ACCESS_KEY_ID", bucket::KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", bucket::SECRET),
    ]);
}

/// The programs that the guide prints store files too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_the_guide_store_files() {
    programs::store_files(&checking().await).await;
}

/// Uploads by HTTP requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_by_http_requests() {
    scenarios::over_http(&stand_in().await, 17 * MIB + 5).await;
}

/// CREDIT-4: a bucket that takes 1 MiB/s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_bucket_slows_nobody_else() {
    scenarios::slow_bucket(&stand_in().await, 32).await;
}

/// CREDIT-2: more parts that are not full than there is memory for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_shares_the_budget() {
    scenarios::crowd(&stand_in().await).await;
}

/// COMPLETE-6: cancelled, too large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_leave_nothing() {
    scenarios::failures_leave_nothing(&stand_in().await).await;
}

/// RESUME-8: crashed, expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reaper_leaves_nothing() {
    scenarios::the_reaper_leaves_nothing(&stand_in().await).await;
}

/// The signature is checked by s3s, which knows nothing of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_urls_are_good_for_one_file() {
    scenarios::presigned(&checking().await).await;
}

/// What a container's role lends is asked for at an address that the container knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_urls_need_no_key_where_there_is_a_role() {
    let role = serde_json::json!({
        "AccessKeyId": bucket::KEY_ID, "SecretAccessKey": bucket::SECRET,
        "Token": "a/session+", "Expiration": "2099-01-01T00:00:00Z",
    });
    let answer = axum::routing::get(async move || axum::Json(role));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let app = axum::Router::new().route("/role", answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let key = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let mut env = bucket::credentials();
    env.retain(|(name, _)| !key.contains(&name.as_str()));
    let name = "AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned();
    env.push((name, format!("http://{address}/role")));
    let engine = checking().await;
    let bed = bucket::Bed::start_with(&engine, "", env).await;
    scenarios::presigned_by(&engine, &bed).await;
}

/// Starts an S3 server that checks signatures and nothing else.
async fn checking() -> Engine {
    let dir = tempfile::tempdir().expect("temp dir");
    std::fs::create_dir(dir.path().join(bucket::BUCKET)).expect("makes the bucket");
    let files = s3s_fs::FileSystem::new(dir.path()).expect("opens the directory");
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(bucket::KEY_ID, bucket::SECRET));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let service = service.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body
                        .collect()
                        .await
                        .map_err(std::io::Error::other)?
                        .to_bytes();
                    let request = Request::from_parts(head, s3s::Body::from(body));
                    service.call(request).await.map_err(std::io::Error::other)
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(connection);
        }
    });
    Engine::new(port, dir)
}

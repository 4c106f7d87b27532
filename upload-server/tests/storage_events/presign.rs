//! `POST …/presign`: the checks of a registration, in their order, before anything is signed.

use std::future::ready;

use axum::Router;
use serde_json::{Value, json};
use upload_server::{AwsCredentials, PresignConfig, Presigner, SlotOptions, Uploads};
use upload_writers::DiscardWriterFactory;

use crate::http::{Answer, send, serve};

async fn start() -> String {
    start_uploads().await.0
}

async fn start_uploads() -> (String, Uploads) {
    let presigner = |has_credentials: bool| {
        let config = PresignConfig::new("b", "eu-west-1");
        Presigner::new(config, move || {
            ready(has_credentials.then(|| AwsCredentials {
                access_key_id: "AKID".to_owned(),
                secret: "secret".to_owned(),
                session_token: None,
            }))
        })
        .expect("good")
    };
    let reports = SlotOptions::new().accept(".pdf,.png").max_file_size(1000);
    let uploads = Uploads::builder()
        .secret([7; 32])
        .allow_upload("reports", reports.clone().direct(presigner(true)))
        .allow_upload(
            "guarded",
            reports
                .clone()
                .authorize(async |request| request.client_name == "mine.pdf")
                .direct(presigner(true)),
        )
        .allow_upload("keyless", reports.clone().direct(presigner(false)))
        .allow_upload("files", reports.writer(DiscardWriterFactory))
        .build()
        .expect("good options");
    let app = Router::new().nest("/uploads", uploads.router());
    let url = format!("http://{}/uploads/presign", serve(app).await);
    (url, uploads)
}

async fn ask(url: &str, body: &Value) -> Answer {
    let headers = [("content-type", &b"application/json"[..])];
    send("POST", url, &headers, body.to_string()).await
}

fn body(slot: &str, name: &str, media_type: &str, size: u64) -> Value {
    json!({ "upload_name": slot, "client_name": name, "client_type": media_type, "client_size": size })
}

#[tokio::test]
async fn a_good_file_is_signed_for() {
    let url = start().await;
    let answer = ask(
        &url,
        &body("reports", "../x/my report.pdf", "application/pdf", 1000),
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.headers.contains_key("set-cookie"),
        "the first contact"
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    let spec = answer.json();
    let id = spec["upload_id"].as_str().expect("an id");
    assert_eq!(id.len(), 36);
    assert_eq!(spec["mode"], "presigned");
    assert_eq!(spec["method"], "PUT");
    assert_eq!(spec["key"], format!("uploads/{id}/my report.pdf"));
    assert_eq!(spec["expires_in"], 3600);
    assert_eq!(
        spec["fields"],
        json!({ "content-type": "application/pdf", "content-length": "1000" })
    );
    let signed = spec["url"].as_str().expect("a URL");
    assert!(signed.starts_with(&format!(
        "https://b.s3.eu-west-1.amazonaws.com/uploads/{id}/my%20report.pdf?"
    )));
    let other = ask(&url, &body("reports", "a.pdf", "", 0)).await.json();
    assert_ne!(other["upload_id"], spec["upload_id"]);
}

/// MSG-1a: the first trouble in that order is the answer.
#[tokio::test]
async fn msg_1a_checks_come_in_their_order() {
    let url = start().await;
    let mut no_name = body("none", "a.pdf", "", 1);
    no_name["client_name"] = json!(5);
    let mut no_size = body("none", "a.pdf", "", 1);
    no_size["client_size"] = json!(-1);
    let mut no_meta = body("none", "a.pdf", "", 1);
    no_meta["meta"] = json!([]);
    for (body, status, code) in [
        (json!([]), 400, "bad_message"),
        (json!({}), 400, "bad_message"),
        (no_name, 400, "bad_name"),
        (no_size, 400, "bad_size"),
        (no_meta, 400, "bad_meta"),
        (body("none", "a.exe", "", 5000), 404, "unknown_slot"),
        (body("files", "a.pdf", "", 5), 404, "unknown_slot"),
        (body("guarded", "a.exe", "", 5000), 403, "forbidden"),
        (body("reports", "a.svg", "", 1001), 413, "too_large"),
        (body("reports", "a.svg", "", 5), 415, "active_content"),
        (
            body("reports", "a.pdf", "text/html", 5),
            415,
            "active_content",
        ),
        (body("reports", "a.exe", "", 5), 415, "type_not_accepted"),
        (body("keyless", "a.pdf", "", 5), 503, "storage_failed"),
    ] {
        let answer = ask(&url, &body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        let told = answer.json();
        assert_eq!(told["code"], code, "{body}");
        assert_eq!(told["retry"], "never", "{body}");
        assert!(told["error"].is_string() && !answer.body.contains("amazonaws"));
    }
    let welcome = ask(&url, &body("guarded", "mine.pdf", "", 5)).await;
    assert_eq!(welcome.status, 200);
}

/// MSG-3: a server that is about to restart says that it is worth asking again.
#[tokio::test]
async fn msg_3_a_draining_server_is_to_be_asked_later() {
    let (url, uploads) = start_uploads().await;
    uploads.shutdown().await;
    let answer = ask(&url, &body("reports", "a.pdf", "", 5)).await;
    assert_eq!(answer.status, 503);
    let told = answer.json();
    assert_eq!(
        (&told["code"], &told["retry"]),
        (&json!("draining"), &json!("later"))
    );
}

/// CONN-1: other pages get nothing signed; neither does another method.
#[tokio::test]
async fn conn_1_foreign_pages_get_403() {
    let url = start().await;
    let good = body("reports", "a.pdf", "", 5).to_string();
    for origin in ["http://evil.example", "null"] {
        let answer = send("POST", &url, &[("origin", origin.as_bytes())], good.clone()).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.json()["code"], "forbidden");
    }
    let own = url.strip_suffix("/uploads/presign").expect("a path");
    let answer = send("POST", &url, &[("origin", own.as_bytes())], good.clone()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(send("GET", &url, &[], "").await.status, 405);
    let large = format!("{good}{}", " ".repeat(70_000));
    assert_eq!(send("POST", &url, &[], large).await.status, 413);
}

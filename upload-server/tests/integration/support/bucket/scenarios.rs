//! What must hold before any S3 server: sizes, kills, a slow bucket, and nothing left behind.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::{task::block_in_place, time::sleep};
use uuid::Uuid;

use super::{BUDGET_MIB, Bed, Engine, proxy::Asked};
use crate::support::{
    client::Client,
    pattern,
    uploader::{Uploader, until},
};

pub const MIB: usize = 1 << 20;

/// How often something is looked at that must come about.
const LOOK: Duration = Duration::from_millis(100);

/// COMPLETE-3: each of these files is byte-exact in the bucket, through both kinds of slot, with
/// bounded memory, and nothing is left unfinished.
pub async fn sizes(engine: &Engine, sizes: &[usize]) {
    let bed = Bed::start(engine, "").await;
    for size in sizes {
        let file = Bytes::from(pattern::file(*size as u64, *size));
        for slot in ["once", "kept"] {
            let uploader = Uploader::new(&bed.server.ws(), slot, file.clone());
            let report = uploader.complete().await;
            assert_eq!(report.heard.connections, 1);
            engine.assert_holds(report.result(), &file).await;
        }
    }
    assert_eq!(engine.unfinished().await, [""; 0]);
    bed.assert_memory_is_bounded();
}

/// Files that come by HTTP requests, whole and in pieces that fit no part, are byte-exact in the bucket.
pub async fn over_http(engine: &Engine, size: usize) {
    let bed = Bed::start(engine, "").await;
    let file = Bytes::from(pattern::file(37, size));
    let root = format!("http://127.0.0.1:{}", bed.server.port);
    let http: Http<_, Full<Bytes>> = Http::builder(TokioExecutor::new()).build_http();
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: Bytes| {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{root}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a request");
        let answer = http.request(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("its content").to_bytes();
        assert!(parts.status.is_success(), "{parts:?} {body:?}");
        (parts.headers, body)
    };
    let (_, told) = ask("POST", "/uploads/files/once", &[], file.clone()).await;
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    engine.assert_holds(&told["result"], &file).await;

    let length = size.to_string();
    let tus = ("tus-resumable", "1.0.0");
    let headers = [tus, ("upload-length", &*length)];
    let (created, _) = ask("POST", "/uploads/files/kept", &headers, Bytes::new()).await;
    let path = created["location"].to_str().expect("text").to_owned();
    let mut result = Value::Null;
    for at in (0..size).step_by(3 * MIB + 7) {
        let piece = file.slice(at..size.min(at + 3 * MIB + 7));
        let at = at.to_string();
        let kind = ("content-type", "application/offset+octet-stream");
        let headers = [tus, kind, ("upload-offset", &*at)];
        let (told, _) = ask("PATCH", &path, &headers, piece).await;
        if let Some(told) = told.get("upload-result") {
            result = serde_json::from_slice(told.as_bytes()).expect("JSON");
        }
    }
    engine.assert_holds(&result, &file).await;
    assert_eq!(engine.unfinished().await, [""; 0]);
    bed.assert_memory_is_bounded();
}

/// RESUME-2, RESUME-3: a server that is killed in the middle of its parts goes on after its restart;
/// no part that was stored is sent again.
pub async fn killed(engine: &Engine, size: usize) {
    let mut bed = Bed::start(engine, "").await;
    let file = Bytes::from(pattern::file(31, size));
    let uploader = Uploader::new(&bed.server.ws(), "kept", file.clone());
    let mut heard = uploader.watch();
    let gate = uploader.gate.clone();
    // In the middle of a part, so that there is one that is not full.
    gate.open_to(size as u64 / 2 + 1);
    let sending = tokio::spawn(uploader.complete());
    until(&mut heard, |heard| heard.durable >= 5 * MIB as u64).await;
    bed.proxy.slow_down("pattern", 16 << 20);
    gate.open_wide();
    let sent = size as u64 * 3 / 4;
    until(&mut heard, |heard| heard.sent >= sent).await;
    let announced = heard.borrow().durable;
    block_in_place(|| bed.server.kill());
    // What the bucket has taken by now is not to come again.
    sleep(LOOK).await;
    let before = bed.proxy.parts();
    bed.proxy.speed_up();
    block_in_place(|| bed.server.restart());
    let report = sending.await.expect("the upload ends complete");
    assert_eq!((report.heard.resumes, report.heard.restarts), (1, 0));
    assert!(report.heard.offered >= announced.min(5 * MIB as u64));
    engine.assert_holds(report.result(), &file).await;
    let all = bed.proxy.parts();
    let again: Vec<_> = all[before.len()..]
        .iter()
        .filter(|part| before.contains(part))
        .collect();
    println!(
        "{before:?} were stored before the kill, {:?} after it",
        &all[before.len()..]
    );
    assert!(
        before.len() >= 2 && again.is_empty(),
        "{again:?} came again"
    );
    assert_eq!(all.len(), size.div_ceil(5 * MIB));
    let asked = |what: Asked| {
        bed.proxy
            .seen()
            .iter()
            .filter(|seen| seen.asked == what)
            .count()
    };
    assert_eq!((asked(Asked::Create), asked(Asked::Complete)), (1, 1));
    assert_eq!(engine.unfinished().await, [""; 0]);
}

/// CREDIT-4: an upload whose bucket takes 1 MiB/s does not slow another one on the same socket, and
/// holds no more than its window.
pub async fn slow_bucket(engine: &Engine, quick_mib: usize) {
    let bed = Bed::start(engine, "").await;
    bed.proxy.slow_down("slow", 1 << 20);
    let mut client = Client::connect(&bed.server.ws()).await;
    let mut slow = Sending::register(&mut client, "slow.bin", 64 * MIB).await;
    let mut quick = Sending::register(&mut client, "quick.bin", quick_mib * MIB).await;
    while quick.ending.is_none() {
        let moved = slow.send_one(&mut client).await | quick.send_one(&mut client).await;
        if !moved {
            let message = client.next().await;
            slow.hear(&message);
            quick.hear(&message);
        }
    }
    let ending = quick.ending.expect("it ended");
    assert_eq!(ending["status"], "complete", "{ending}");
    engine.assert_holds(&ending["result"], &quick.file).await;
    assert!(slow.ending.is_none(), "{:?}", slow.ending);
    let passed = bed.proxy.slow_bytes();
    println!("{quick_mib} MiB went through while {passed} bytes went to the slow bucket");
    // Five parts in the writer, the window before it.
    let window = slow.sent as u64 - passed.min(slow.sent as u64);
    assert!(window <= 30 * MIB as u64, "{window} bytes are held");
    bed.assert_memory_is_bounded();
    client.cancel(slow.upload).await;
    assert_eq!(client.ending(slow.upload).await["status"], "cancelled");
    until_clean(engine).await;
}

/// CREDIT-2: when parts that are not full hold all the memory there is, uploads go on one after the
/// other; all end, and the budget holds.
pub async fn crowd(engine: &Engine) {
    const UPLOADS: usize = 24;
    let bed = Bed::start(engine, "").await;
    let file = Bytes::from(pattern::file(13, 11 * MIB));
    let mut sendings = Vec::new();
    for _ in 0..UPLOADS {
        let uploader = Uploader::new(&bed.server.ws(), "kept", file.clone());
        let (gate, heard) = (uploader.gate.clone(), uploader.watch());
        // Together nearly twice the budget, and no part is full.
        gate.open_to(9 * MIB as u64 / 2);
        sendings.push((tokio::spawn(uploader.complete()), gate, heard));
    }
    let sent = || {
        let sent = sendings.iter().map(|(_, _, heard)| heard.borrow().sent);
        sent.sum::<u64>()
    };
    while sent() < BUDGET_MIB * MIB as u64 {
        sleep(LOOK).await;
    }
    for (_, gate, _) in &sendings {
        gate.open_wide();
    }
    for (sending, ..) in sendings {
        let report = sending.await.expect("the upload ends complete");
        engine.assert_holds(report.result(), &file).await;
    }
    assert_eq!(engine.unfinished().await, [""; 0]);
    bed.assert_memory_is_bounded();
}

/// COMPLETE-6: an upload that was cancelled, or that is larger than it said, leaves nothing.
pub async fn failures_leave_nothing(engine: &Engine) {
    let bed = Bed::start(engine, "").await;
    let mut client = Client::connect(&bed.server.ws()).await;
    let mut sending = Sending::register(&mut client, "cancelled.bin", 24 * MIB).await;
    sending.send_up_to(&mut client, 12 * MIB).await;
    assert_eq!(engine.unfinished().await.len(), 1);
    client.cancel(sending.upload).await;
    assert_eq!(client.ending(sending.upload).await["code"], "cancelled");
    until_clean(engine).await;

    let mut sending = Sending::register(&mut client, "large.bin", 11 * MIB + 1).await;
    sending.send_up_to(&mut client, 11 * MIB).await;
    assert_eq!(engine.unfinished().await.len(), 1);
    client.chunk(sending.upload, sending.index, &[7; 2]).await;
    assert_eq!(client.ending(sending.upload).await["code"], "size_exceeded");
    until_clean(engine).await;
    let left = engine.objects().await;
    let ours = |key: &&String| key.contains("cancelled.bin") || key.contains("large.bin");
    assert_eq!(left.iter().find(ours), None);
}

/// RESUME-8: what a server that was killed left behind, and what nobody came back for, is removed
/// when its time is over.
pub async fn the_reaper_leaves_nothing(engine: &Engine) {
    let more = "[state]\nttl_seconds = 1\n[limits]\nidle_upload_seconds = 1\nsweep_seconds = 1\n";
    let mut bed = Bed::start(engine, more).await;
    for slot in ["once", "kept"] {
        let mut client = Client::connect(&bed.server.ws()).await;
        let mut sending = Sending::register_in(&mut client, slot, "left.bin", 24 * MIB).await;
        sending.send_up_to(&mut client, 12 * MIB).await;
    }
    block_in_place(|| bed.server.kill());
    assert!(!engine.unfinished().await.is_empty());
    if let Some(age) = &engine.age {
        age(1_000);
    }
    block_in_place(|| bed.server.restart());
    until_clean(engine).await;
}

/// A URL that the server signed stores exactly the file it was asked for, and nothing else.
pub async fn presigned(engine: &Engine) {
    presigned_by(engine, &Bed::start(engine, "").await).await;
}

/// The same, signed by a server that was started for it.
pub async fn presigned_by(engine: &Engine, bed: &Bed) {
    let url = format!("http://127.0.0.1:{}/uploads/presign", bed.server.port);
    let file = Bytes::from(pattern::file(5, 100_000));
    let asked = json!({
        "upload_name": "direct", "client_name": "über.pdf",
        "client_type": "application/pdf", "client_size": file.len(),
    });
    let asked = Bytes::from(asked.to_string());
    let (status, spec) = send("POST", &url, "application/json", asked).await;
    assert_eq!(status, 200, "{spec}");
    let spec: Value = serde_json::from_str(&spec).expect("JSON");
    let to = spec["url"].as_str().expect("a URL");
    let (status, why) = send("PUT", to, "text/html", file.clone()).await;
    assert_eq!(status, 403, "another type: {why}");
    let (status, why) = send("PUT", to, "application/pdf", file.slice(1..)).await;
    assert_eq!(status, 403, "another size: {why}");
    let other = to.replace(".pdf?", ".exe?");
    assert_ne!(to, other);
    let (status, why) = send("PUT", &other, "application/pdf", file.clone()).await;
    assert_eq!(status, 403, "another key: {why}");
    let (status, why) = send("PUT", to, "application/pdf", file.clone()).await;
    assert_eq!(status, 200, "{why}");
    let result = json!({ "key": spec["key"], "size": file.len() });
    engine.assert_holds(&result, &file).await;
}

async fn send(method: &str, url: &str, content_type: &str, body: Bytes) -> (u16, String) {
    let request = http::Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", content_type)
        .body(Full::new(body))
        .expect("a request");
    let client = Http::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.expect("answered");
    let status = answer.status().as_u16();
    let body = answer
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Waits until nothing is left unfinished.
async fn until_clean(engine: &Engine) {
    let clean = async {
        while !engine.unfinished().await.is_empty() {
            sleep(LOOK).await;
        }
    };
    let clean = tokio::time::timeout(Duration::from_secs(120), clean).await;
    assert!(clean.is_ok(), "{:?} stay", engine.unfinished().await);
}

/// One file on its way over a connection that carries others, by its credit.
struct Sending {
    upload: Uuid,
    file: Bytes,
    chunk: usize,
    sent: usize,
    index: u32,
    credit: u64,
    is_told: bool,
    ending: Option<Value>,
}

impl Sending {
    async fn register(client: &mut Client, name: &str, size: usize) -> Self {
        Self::register_in(client, "once", name, size).await
    }

    async fn register_in(client: &mut Client, slot: &str, name: &str, size: usize) -> Self {
        let upload = Uuid::new_v4();
        let answer = client.register(upload, slot, name, size as u64).await;
        assert_eq!(answer["type"], "upload_registered", "{answer}");
        Self {
            upload,
            file: Bytes::from(pattern::file(size as u64, size)),
            chunk: answer["chunk_size"].as_u64().expect("a size") as usize,
            sent: 0,
            index: 0,
            credit: answer["credit"].as_u64().expect("credit"),
            is_told: false,
            ending: None,
        }
    }

    /// Sends a chunk, or the end, if that may be; says whether it did.
    async fn send_one(&mut self, client: &mut Client) -> bool {
        if self.sent == self.file.len() {
            if !self.is_told {
                let crc32c = crc32c::crc32c(&self.file);
                client.complete(self.upload, Some(crc32c)).await;
                self.is_told = true;
                return true;
            }
            return false;
        }
        let end = (self.sent + self.chunk).min(self.file.len());
        if end as u64 > self.credit {
            return false;
        }
        client
            .chunk(self.upload, self.index, &self.file[self.sent..end])
            .await;
        (self.sent, self.index) = (end, self.index + 1);
        true
    }

    /// Sends that much of the file, and waits until the server took it and stored whole parts.
    async fn send_up_to(&mut self, client: &mut Client, end: usize) {
        while self.sent < end {
            if !self.send_one(client).await {
                let message = client.next().await;
                self.hear(&message);
            }
        }
        loop {
            let message = client.next().await;
            self.hear(&message);
            let durable = message["bytes_durable"].as_u64().unwrap_or(0);
            if message["ref"] == self.upload.to_string() && durable >= 10 * MIB as u64 {
                return;
            }
        }
    }

    fn hear(&mut self, message: &Value) {
        if message["ref"] != self.upload.to_string() {
            return;
        }
        assert_ne!(message["detached"], true, "{message}");
        if let Some(credit) = message["credit"].as_u64() {
            self.credit = self.credit.max(credit);
        }
        if message["type"] == "upload_progress" && message["status"] != "uploading" {
            self.ending = Some(message.clone());
        }
    }
}

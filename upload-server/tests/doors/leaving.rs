//! Uploads that leave while a request brings their content.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use upload_server::writers::{FileWriterConfig, FileWriterFactory, WriteErrorKind};
use upload_writers::{Call, Fault, FaultyWriterFactory};

use crate::{
    races::count,
    wire::{Answer, LAST, OFFSET_TYPE, Server, Wire, files, pattern},
};

const SLOW: &str = "/uploads/files/slow";
const LENGTH: usize = 100_000;
/// A creation of tus that brings its content.
const TUS: [(&str, &str); 3] = [
    ("tus-resumable", "1.0.0"),
    OFFSET_TYPE,
    ("upload-length", "100000"),
];
/// How long something may take that must happen; reached only by a failing test.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server whose slot `slow` has writers that fail on command.
struct Rig {
    server: Server,
    writers: FaultyWriterFactory,
    dir: TempDir,
}

impl Rig {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let kept = FileWriterFactory::new(FileWriterConfig::new(dir.path()));
        let writers = FaultyWriterFactory::new(Arc::new(kept.expect("the directories")));
        let slot = files().writer(writers.clone());
        let server = Server::with(|builder| builder.allow_upload("slow", slot)).await;
        Self {
            server,
            writers,
            dir,
        }
    }

    /// Creates an upload by a request that brings half of its content so far; a writer has something of it.
    async fn send_half(&self, headers: &[(&str, &str)]) -> Wire {
        let before = self.writers.count(Call::Write);
        let headers = [headers, &[("content-length", "100000")][..]].concat();
        let mut wire = self.server.connect().await;
        let half = &pattern(LENGTH)[..LENGTH / 2];
        wire.send("POST", SLOW, &headers, half).await;
        let begun = Instant::now();
        while self.writers.count(Call::Write) == before {
            assert!(begun.elapsed() < DEADLINE, "nothing is written");
            sleep(Duration::from_millis(10)).await;
        }
        wire
    }

    /// Sends the rest to a writer that does not take it.
    async fn throttle(&self, wire: &mut Wire) -> Answer {
        let fault = Fault::Fail(WriteErrorKind::Throttled);
        self.writers.disturb(Call::Write, 0, fault);
        wire.write(&pattern(LENGTH)[LENGTH / 2..]).await;
        wire.answer("POST").await
    }

    /// Has the server restart.
    async fn drain(&self, wire: &mut Wire) -> Answer {
        assert!(self.server.uploads.shutdown().await, "everything left");
        wire.answer("POST").await
    }

    /// Waits until no file is unfinished.
    async fn leaves_nothing(&self) {
        let begun = Instant::now();
        while count(&self.dir.path().join(".tmp")) > 0 {
            assert!(begun.elapsed() < DEADLINE, "something is left");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn check_refusal(answer: &Answer, code: &str) {
    let told = answer.header("upload-code");
    assert_eq!((answer.status, told), (503, Some(code)), "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

/// R5, T26: a creation that storage throttles half way tells where the upload is, which continues there.
#[tokio::test]
async fn t26_a_creation_that_is_throttled_tells_its_location() {
    let rig = Rig::start().await;
    let file = pattern(LENGTH);
    for headers in [&TUS[..], &[LAST]] {
        let mut wire = rig.send_half(headers).await;
        let answer = rig.throttle(&mut wire).await;
        check_refusal(&answer, "storage_throttled");
        let path = answer.header("location").expect("a location");
        let at = rig.server.offset(path).await;
        let offset = at.to_string();
        let ended = match headers {
            [LAST] => {
                let partial = ("content-type", "application/partial-upload");
                let headers = [partial, LAST, ("upload-offset", &*offset)];
                rig.server.ask("PATCH", path, &headers, &file[at..]).await
            }
            _ => rig.server.append(path, at, &file[at..]).await,
        };
        assert!(matches!(ended.status, 200 | 204), "{ended:?}");
        assert_eq!(rig.server.offset(path).await, LENGTH);
    }
}

/// R5, T26: the same where the server restarts.
#[tokio::test]
async fn t26_a_creation_that_is_drained_tells_its_location() {
    for headers in [&TUS[..], &[LAST]] {
        let rig = Rig::start().await;
        let mut wire = rig.send_half(headers).await;
        let answer = rig.drain(&mut wire).await;
        check_refusal(&answer, "draining");
        assert!(answer.header("location").is_some(), "{answer:?}");
        assert!(count(&rig.dir.path().join(".tmp")) > 0, "it is kept");
    }
}

/// A plain client cannot name its upload, so nothing is kept of one that leaves.
#[tokio::test]
async fn a_plain_body_whose_upload_leaves_leaves_nothing() {
    let rig = Rig::start().await;
    let mut wire = rig.send_half(&[]).await;
    let answer = rig.throttle(&mut wire).await;
    check_refusal(&answer, "storage_throttled");
    assert_eq!(answer.header("location"), None);
    rig.leaves_nothing().await;
    let mut wire = rig.send_half(&[]).await;
    let answer = rig.drain(&mut wire).await;
    check_refusal(&answer, "draining");
    assert_eq!(answer.header("location"), None);
    rig.leaves_nothing().await;
}

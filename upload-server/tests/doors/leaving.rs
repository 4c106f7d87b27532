//! Uploads that leave while a request brings their content, and clients that do.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use upload_server::{
    Limits, UploadsBuilder,
    writers::{FileWriterConfig, FileWriterFactory, WriteErrorKind},
};
use upload_writers::{Call, Fault, FaultyWriterFactory};

use crate::{
    races::count,
    wire::{Answer, LAST, OFFSET_TYPE, Server, Wire, files, pattern},
};

pub(crate) const SLOW: &str = "/uploads/files/slow";
const LENGTH: usize = 100_000;
/// A creation of tus that brings its content.
const TUS: [(&str, &str); 3] = [
    ("tus-resumable", "1.0.0"),
    OFFSET_TYPE,
    ("upload-length", "100000"),
];
/// How long something may take that must happen; reached only by a failing test.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long the server has to notice what a client did.
const NOTICED: Duration = Duration::from_millis(200);
/// Bytes of content that may wait for a writer, where a test says so.
pub(crate) const WINDOW: usize = 16 * 1024;

/// A server whose slot `slow` has writers that fail on command.
pub(crate) struct Rig {
    pub(crate) server: Server,
    writers: FaultyWriterFactory,
    dir: Arc<TempDir>,
}

impl Rig {
    async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    /// Starts a server that reads no more than [`WINDOW`] bytes of content until a writer takes them.
    pub(crate) async fn with_small_window() -> Self {
        let mut limits = Limits::default();
        limits.session.window_bytes = WINDOW as u64;
        Self::with(limits).await
    }

    async fn with(limits: Limits) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a directory"));
        let kept = FileWriterFactory::new(FileWriterConfig::new(dir.path()));
        let writers = FaultyWriterFactory::new(Arc::new(kept.expect("the directories")));
        let slot = files().writer(writers.clone());
        let make = |builder: UploadsBuilder| builder.limits(limits).allow_upload("slow", slot);
        Self {
            server: Server::with(make).await,
            writers,
            dir,
        }
    }

    /// Sends a request in two parts and leaves, before there is a writer. The first part fills the window, so the
    /// second is read once there is one.
    pub(crate) async fn send_and_leave(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        (first, second): (&[u8], &[u8]),
    ) {
        let before = self.writers.count(Call::Create);
        self.writers.disturb(Call::Create, 0, Fault::Hold);
        let mut wire = self.server.connect().await;
        wire.send(method, path, headers, first).await;
        let is_wanted = || self.writers.count(Call::Create) > before;
        until("no writer is wanted", is_wanted).await;
        sleep(NOTICED).await;
        wire.write(second).await;
        sleep(NOTICED).await;
        drop(wire);
        sleep(NOTICED).await;
        self.writers.release();
    }

    /// Waits until this content, and nothing else, is stored.
    pub(crate) async fn stores(&self, content: &[u8]) {
        let kept = self.kept();
        let is_stored = || kept.stored() == [content];
        until("it is not stored", is_stored).await;
    }

    /// Waits until a writer is aborted, which leaves nothing.
    pub(crate) async fn aborts(&self) {
        let is_aborted = || !self.writers.aborts().is_empty();
        until("nothing is aborted", is_aborted).await;
        self.leaves_nothing().await;
        assert!(self.kept().stored().is_empty(), "something is stored");
    }

    /// The server, as it looks at the files of the slot.
    fn kept(&self) -> Server {
        Server {
            address: self.server.address,
            uploads: self.server.uploads.clone(),
            dir: Arc::clone(&self.dir),
        }
    }

    /// Creates an upload by a request that brings half of its content so far; a writer has something of it.
    async fn send_half(&self, headers: &[(&str, &str)]) -> Wire {
        let before = self.writers.count(Call::Write);
        let headers = [headers, &[("content-length", "100000")][..]].concat();
        let mut wire = self.server.connect().await;
        let half = &pattern(LENGTH)[..LENGTH / 2];
        wire.send("POST", SLOW, &headers, half).await;
        let is_written = || self.writers.count(Call::Write) > before;
        until("nothing is written", is_written).await;
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
        let unfinished = self.dir.path().join(".tmp");
        until("something is left", || count(&unfinished) == 0).await;
    }
}

async fn until(otherwise: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "{otherwise}");
        sleep(Duration::from_millis(10)).await;
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

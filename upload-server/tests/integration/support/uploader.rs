//! An uploader that drives the core's sender over real sockets, comes back by
//! itself, and holds the server to everything it was told (`witness`).

mod witness;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Uri};
use serde_json::Value;
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_websockets::{ClientBuilder, Limits, MaybeTlsStream, Message, WebSocketStream};
use upload_core::{FileCheck, FileFacts, Now, Outcome, Sender, SenderConfig, SenderOutput};
use upload_proto::{Code, Frame, ServerMessage, UploadRef};
use uuid::Uuid;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longest time one whole upload may take, with everything that befalls it.
const PATIENCE: Duration = Duration::from_secs(240);
/// Longest time a socket may take a frame or a handshake before it counts as dead.
const SOCKET_MAX: Duration = Duration::from_secs(10);

/// How far the file may be sent, as an absolute offset; tests move it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<u64>>);

impl Gate {
    fn open() -> Self {
        Self(Arc::new(watch::Sender::new(u64::MAX)))
    }

    /// Lets chunks pass that begin before `offset`.
    pub fn open_to(&self, offset: u64) {
        self.0.send_replace(offset);
    }

    fn passes(&self, offset: u64) -> bool {
        offset < *self.0.borrow()
    }

    /// Waits until a chunk at `offset` may pass; for ever where there is none.
    async fn passed(&self, offset: Option<u64>) {
        match offset {
            Some(offset) => {
                let mut changes = self.0.subscribe();
                let _ = changes.wait_for(|to| offset < *to).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Lets everything pass.
    pub fn open_wide(&self) {
        self.open_to(u64::MAX);
    }
}

/// What the uploader has heard so far; tests wait on it.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub upload: Option<UploadRef>,
    /// Bytes handed to the socket, of the present attempt.
    pub sent: u64,
    pub received: u64,
    /// Highest `bytes_durable` of the present ref.
    pub durable: u64,
    /// Every change of `resumable` that snapshots told, with its code.
    pub resumable: Vec<(bool, Option<Code>)>,
    /// Codes of snapshots that detached the upload.
    pub detached: Vec<Option<Code>>,
    pub connections: u32,
    pub resumes: u32,
    /// Bytes that resumes found there, together.
    pub offered: u64,
    /// How often it had to begin anew under another ref.
    pub restarts: u32,
    /// How often `draining` was heard.
    pub drains: u32,
}

/// One file on its way.
pub struct Uploader {
    urls: Vec<String>,
    pub cookie: String,
    facts: FileFacts,
    file: Bytes,
    pub gate: Gate,
    pause: Duration,
    may_restart: bool,
    heard: watch::Sender<Heard>,
    socket: Option<Socket>,
    /// A chunk that waits for the gate.
    waiting: Option<Frame>,
    /// Prefix checksums by offset, so that each is computed once.
    checked: BTreeMap<u64, String>,
}

/// How an upload ended, and what was heard on the way.
#[derive(Debug)]
pub struct Report {
    pub outcome: Outcome,
    pub upload: UploadRef,
    pub cookie: String,
    pub heard: Heard,
}

impl Uploader {
    /// Prepares to send `file` to a slot of the server at `url`.
    pub fn new(url: &str, slot: &str, file: impl Into<Bytes>) -> Self {
        let file = file.into();
        Self {
            urls: vec![url.to_owned()],
            cookie: String::new(),
            facts: FileFacts {
                upload: fresh_ref(),
                is_known: false,
                slot: slot.to_owned(),
                name: "pattern.bin".to_owned(),
                media_type: String::new(),
                size: file.len() as u64,
                last_modified: None,
                relative_path: None,
                meta: None,
                client_id: Some(Uuid::new_v4().to_string()),
            },
            file,
            gate: Gate::open(),
            pause: Duration::ZERO,
            may_restart: false,
            heard: watch::Sender::default(),
            socket: None,
            waiting: None,
            checked: BTreeMap::new(),
        }
    }

    /// Comes as the owner of this cookie.
    pub fn owner(mut self, cookie: &str) -> Self {
        cookie.clone_into(&mut self.cookie);
        self
    }

    /// Uses these servers in turn, another one with every connection.
    pub fn urls(mut self, urls: &[String]) -> Self {
        self.urls = urls.to_vec();
        self
    }

    /// Rests after each chunk.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Forgives a server that lost what it had announced as durable.
    pub fn may_restart(mut self) -> Self {
        self.may_restart = true;
        self
    }

    /// Goes on with an upload of an earlier run.
    pub fn resuming(mut self, upload: UploadRef) -> Self {
        self.facts.upload = upload;
        self.facts.is_known = true;
        self
    }

    /// Names the tab; `None` tells nothing.
    pub fn client_id(mut self, client_id: Option<&str>) -> Self {
        self.facts.client_id = client_id.map(Into::into);
        self
    }

    pub fn upload(&self) -> UploadRef {
        self.facts.upload
    }

    /// Returns what is heard from now on.
    pub fn watch(&self) -> watch::Receiver<Heard> {
        self.heard.subscribe()
    }

    /// Sends until it ends, and expects it to be complete.
    pub async fn complete(self) -> Report {
        let report = self.run().await;
        assert!(
            matches!(report.outcome, Outcome::Complete { .. }),
            "{report:?}"
        );
        report
    }

    /// Sends until it ends.
    pub async fn run(mut self) -> Report {
        let config = SenderConfig {
            stall: Duration::from_secs(20),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(300),
            attempts_max: 10_000,
            ..SenderConfig::default()
        };
        let mut sender = Sender::new(self.facts.clone(), config);
        let ended = timeout(PATIENCE, async {
            while sender.outcome().is_none() {
                self.round(&mut sender).await;
            }
            // A last word, such as a cancel.
            self.carry_out(&mut sender).await;
        });
        if ended.await.is_err() {
            panic!("no end of {sender:?}\nafter {:?}", self.heard.borrow());
        }
        let heard = self.heard.borrow().clone();
        Report {
            outcome: sender.outcome().expect("it is over").clone(),
            upload: sender.upload(),
            cookie: self.cookie,
            heard,
        }
    }

    async fn round(&mut self, sender: &mut Sender) {
        self.carry_out(sender).await;
        if sender.outcome().is_some() {
            return;
        }
        let due = sender.poll_timeout().map(tokio::time::Instant::from_std);
        let waiting = self.waiting.is_some().then(|| self.heard.borrow().sent);
        let gate = self.gate.clone();
        tokio::select! {
            message = next(&mut self.socket) => self.take(message, sender),
            () = gate.passed(waiting) => {}
            () = tokio::time::sleep_until(due.unwrap_or_else(far)) => {
                sender.handle_timeout(now());
            }
        }
    }

    async fn carry_out(&mut self, sender: &mut Sender) {
        loop {
            while let Some(message) = self.heard_already() {
                self.take(message, sender);
            }
            if let Some(frame) = self.waiting.take() {
                self.send_frame(frame, sender).await;
                if self.waiting.is_some() {
                    return;
                }
            }
            let Some(output) = sender.poll_output() else {
                return;
            };
            match output {
                SenderOutput::Connect => self.connect(sender).await,
                SenderOutput::Disconnect => self.lose(sender),
                SenderOutput::Message(message) => {
                    self.send(Message::text(message.to_json()), sender).await;
                }
                SenderOutput::Frame(frame) => self.send_frame(frame, sender).await,
                SenderOutput::CheckFile { id } => {
                    sender.handle_checked(id, FileCheck::Unchanged, now());
                }
                SenderOutput::Read { id, offset, length } => {
                    let from = offset as usize;
                    let data = self.file.slice(from..from + length as usize);
                    sender.handle_data(id, data, now());
                }
                SenderOutput::NeedRef => {
                    // Unless the answer to the registration was lost, which nobody can tell
                    // from somebody else's use of the ref.
                    let heard = self.heard.borrow().clone();
                    assert!(
                        self.may_restart || heard.upload.is_none(),
                        "begins anew: {heard:?}"
                    );
                    let upload = fresh_ref();
                    self.heard.send_modify(|heard| {
                        heard.restarts += 1;
                        heard.upload = None;
                        (heard.received, heard.durable, heard.sent) = (0, 0, 0);
                    });
                    sender.handle_ref(upload, now());
                }
            }
        }
    }

    async fn connect(&mut self, sender: &mut Sender) {
        self.lose_socket();
        let turn = self.heard.borrow().connections as usize;
        let url = &self.urls[turn % self.urls.len()];
        self.heard.send_modify(|heard| heard.connections += 1);
        match timeout(SOCKET_MAX, open(url, &self.cookie)).await {
            Ok(Some((socket, cookie))) => {
                self.socket = Some(socket);
                self.cookie = cookie;
                sender.handle_connected(now());
            }
            Ok(None) | Err(_) => sender.handle_disconnected(now()),
        }
    }

    async fn send_frame(&mut self, frame: Frame, sender: &mut Sender) {
        let is_chunk = matches!(frame, Frame::Chunk { .. });
        let begins = self.heard.borrow().sent;
        if is_chunk && !self.gate.passes(begins) {
            self.waiting = Some(frame);
            return;
        }
        self.send(Message::binary(frame.encode()), sender).await;
        if let Frame::Chunk { data, .. } = &frame {
            let sent = begins + data.len() as u64;
            self.heard.send_modify(|heard| heard.sent = sent);
        }
        if is_chunk && !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn send(&mut self, message: Message, sender: &mut Sender) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        if !matches!(timeout(SOCKET_MAX, socket.send(message)).await, Ok(Ok(()))) {
            // The server may have said why before it went.
            while let Some(Some(Some(Ok(message)))) =
                self.socket.as_mut().map(|s| s.next().now_or_never())
            {
                self.take(Some(message), sender);
            }
            self.lose(sender);
        }
    }

    fn heard_already(&mut self) -> Option<Option<Message>> {
        let message = self.socket.as_mut()?.next().now_or_never()?;
        Some(message.and_then(Result::ok))
    }

    fn take(&mut self, message: Option<Message>, sender: &mut Sender) {
        let Some(message) = message else {
            return self.lose(sender);
        };
        if message.is_close() {
            return self.lose(sender);
        }
        let Some(text) = message.as_text() else {
            return;
        };
        let parsed = ServerMessage::parse(text).expect("the server speaks the protocol");
        if let Some(message) = parsed {
            self.witness(&message, sender.upload());
            sender.handle_message(&message, now());
        }
    }

    fn lose(&mut self, sender: &mut Sender) {
        self.lose_socket();
        sender.handle_disconnected(now());
    }

    fn lose_socket(&mut self) {
        self.socket = None;
        self.waiting = None;
    }
}

impl Report {
    /// Returns the writer's result.
    pub fn result(&self) -> &Value {
        match &self.outcome {
            Outcome::Complete { result, .. } => result,
            other => panic!("complete, not {other:?}"),
        }
    }
}

/// Waits until something was heard; the uploader ending first is a failure.
pub async fn until(heard: &mut watch::Receiver<Heard>, fits: impl FnMut(&Heard) -> bool) -> Heard {
    if let Ok(found) = timeout(Duration::from_secs(60), heard.wait_for(fits)).await {
        return found.expect("the uploader lives").clone();
    }
    panic!("not heard in time: {:?}", heard.borrow());
}

/// Returns a new ref.
pub fn fresh_ref() -> UploadRef {
    UploadRef::from_bytes(Uuid::new_v4().into_bytes())
}

async fn open(url: &str, cookie: &str) -> Option<(Socket, String)> {
    let uri: Uri = url.parse().expect("a URL");
    let mut builder = ClientBuilder::from_uri(uri)
        .limits(Limits::default().max_payload_len(Some(1 << 20)))
        .add_header(
            HeaderName::from_static("sec-websocket-protocol"),
            HeaderValue::from_static("upload.v1"),
        )
        .ok()?;
    if !cookie.is_empty() {
        let value = HeaderValue::from_str(cookie).expect("a cookie");
        builder = builder
            .add_header(HeaderName::from_static("cookie"), value)
            .ok()?;
    }
    let (socket, response) = builder.connect().await.ok()?;
    let fresh = response
        .headers()
        .get("set-cookie")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    assert!(
        cookie.is_empty() || fresh.is_none(),
        "the server knows its own cookie again"
    );
    Some((socket, fresh.unwrap_or(cookie).to_owned()))
}

async fn next(socket: &mut Option<Socket>) -> Option<Message> {
    match socket {
        Some(socket) => socket.next().await.and_then(Result::ok),
        None => std::future::pending().await,
    }
}

fn now() -> Now {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    Now {
        instant: Instant::now(),
        unix_ms: since.as_millis() as u64,
    }
}

fn far() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(3600)
}

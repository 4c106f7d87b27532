//! A server without HTTP, writers that can be held up, and a client.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{DuplexStream, duplex},
    task::JoinHandle,
};
use tokio_websockets::{ClientBuilder, CloseCode, Message, WebSocketStream};
use upload_core::SlotRules;
use upload_proto::{Frame, UploadRef};
use upload_stores::MemoryStore;

use crate::{
    connection::{self, ConnectionConfig},
    server::{
        limits::Limits,
        shared::{Parts, Shared},
    },
    slots::{
        events::Handler,
        slot::{CompletedEntry, Slot, Slots},
    },
    test_support::gated_writer::GatedWriters,
};

pub(super) const CHUNK: usize = 65_536;

/// How long a test waits for what must come; reached only by a failing one.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pseudo-random bytes in which no two places look alike.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// One server with a slot `files`, resumable `videos`, and what happened.
pub(super) struct Server {
    pub(super) shared: Arc<Shared>,
    pub(super) storage: GatedWriters,
    pub(super) completed: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn new() -> Self {
        Self::with(Limits::default(), HashMap::new())
    }

    pub(super) fn with(limits: Limits, handlers: HashMap<String, Handler>) -> Self {
        let storage = GatedWriters::default();
        let completed = Arc::new(Mutex::new(Vec::new()));
        let mut slots = BTreeMap::new();
        for (name, resumable) in [("files", false), ("videos", true)] {
            let mut rules = SlotRules::new(name);
            rules.max_entries = 100;
            rules.max_file_size = 1 << 30;
            rules.resumable = resumable;
            let completed = Arc::clone(&completed);
            let slot = Slot {
                #[cfg(feature = "presign")]
                presigner: None,
                rules: Arc::new(rules),
                checks: Arc::default(),
                writers: Arc::new(storage.clone()),
                store: None,
                authorize: None,
                on_complete: Some(Arc::new(move |done: CompletedEntry| {
                    let completed = Arc::clone(&completed);
                    Box::pin(async move {
                        let name = done.entry.client_name().to_owned();
                        completed.lock().expect("not poisoned").push(name);
                    })
                })),
                delete_untaken: false,
                files: None,
                #[cfg(feature = "doors")]
                doors: None,
                folder: None,
            };
            slots.insert(name.to_owned(), slot);
        }
        let shared = Shared::new(Parts {
            hooks: None,
            slots: Arc::new(slots),
            store: Arc::new(MemoryStore::new()),
            limits,
            handlers,
            on_upload_complete: None,
        });
        Self {
            shared: Arc::new(shared),
            storage,
            completed,
        }
    }

    /// Opens a connection of `alice`.
    pub(super) async fn connect(&self) -> Client {
        self.connect_over(256 * 1024).await
    }

    /// Opens a connection whose pipe holds `capacity` bytes in each direction.
    pub(super) async fn connect_over(&self, capacity: usize) -> Client {
        self.connect_with(capacity, Arc::clone(&self.shared.slots))
            .await
    }

    /// Opens such a connection for which these slots were mounted.
    pub(super) async fn connect_with(&self, capacity: usize, slots: Slots) -> Client {
        self.connect_as(capacity, self.config(slots)).await
    }

    /// Returns what such a connection receives before it begins.
    pub(super) fn config(&self, slots: Slots) -> ConnectionConfig {
        ConnectionConfig {
            owner: "alice".into(),
            door: crate::metrics::SOCKET,
            plain: false,
            slots,
            request: None,
            limits: self.shared.limits.session.clone(),
            rates: self.shared.rates.of("alice", None),
            until: None,
            address: None,
            keeps_on_leave: false,
        }
    }

    /// Opens such a connection.
    pub(super) async fn connect_as(&self, capacity: usize, config: ConnectionConfig) -> Client {
        let (ours, theirs) = duplex(capacity);
        let session = tokio::spawn(connection::run(Arc::clone(&self.shared), ours, config));
        let mut client = Client {
            ws: ClientBuilder::new().take_over(theirs),
            session,
        };
        assert_eq!(client.next().await["type"], "upload_configs");
        client
    }
}

/// A client that takes nothing for granted.
pub(super) struct Client {
    pub(super) ws: WebSocketStream<DuplexStream>,
    pub(super) session: JoinHandle<()>,
}

impl Client {
    pub(super) async fn send(&mut self, message: Message) {
        let sent = tokio::time::timeout(PATIENCE, self.ws.send(message)).await;
        sent.expect("the server reads in time")
            .expect("the connection is open");
    }

    pub(super) async fn text(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    pub(super) async fn frame(&mut self, frame: Frame) {
        self.send(Message::binary(frame.encode())).await;
    }

    pub(super) async fn chunk(&mut self, upload: UploadRef, index: usize, data: &[u8]) {
        let index = u32::try_from(index).expect("few chunks");
        let data = Bytes::copy_from_slice(data);
        self.frame(Frame::Chunk {
            upload,
            index,
            data,
        })
        .await;
    }

    /// Sends everything without looking at anything the server says.
    pub(super) async fn chunks(&mut self, upload: UploadRef, bytes: &[u8]) {
        for (index, data) in bytes.chunks(CHUNK).enumerate() {
            self.chunk(upload, index, data).await;
        }
    }

    pub(super) async fn complete(&mut self, upload: UploadRef, bytes: &[u8]) {
        let crc32c = Some(crc32c::crc32c(bytes));
        self.frame(Frame::Complete { upload, crc32c }).await;
    }

    pub(super) async fn register(&mut self, slot: &str, upload: UploadRef, size: usize) -> Value {
        self.text(json!({
            "type": "upload_register", "upload_name": slot, "ref": upload,
            "client_name": "a.bin", "client_type": "", "client_size": size, "client_id": "c",
        }))
        .await;
        self.until(|message| message["type"] == "upload_registered")
            .await
    }

    /// Returns the next message; `{"type": "closed", "code"}` for the end.
    pub(super) async fn next(&mut self) -> Value {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.ws.next()).await;
            let message = match next.expect("the server answers in time") {
                Some(Ok(message)) => message,
                Some(Err(_)) | None => return json!({ "type": "closed" }),
            };
            if let Some((code, _)) = message.as_close() {
                return json!({ "type": "closed", "code": u16::from(code) });
            }
            if let Some(text) = message.as_text() {
                return serde_json::from_str(text).expect("messages are JSON");
            }
        }
    }

    /// Returns the next message that is wanted, and skips the others.
    pub(super) async fn until(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await;
            if is_wanted(&message) {
                return message;
            }
            assert_ne!(
                message["type"], "closed",
                "closed before what was wanted: {message}"
            );
        }
    }

    /// Returns the snapshot that ends an upload.
    pub(super) async fn ending(&mut self, upload: UploadRef) -> Value {
        self.until(|message| {
            message["type"] == "upload_progress"
                && message["ref"] == upload.to_string()
                && message["status"] != "uploading"
        })
        .await
    }

    /// Closes with this code and waits until the session is over.
    pub(super) async fn leave(mut self, code: u16) {
        let code = CloseCode::try_from(code).expect("a valid code");
        self.send(Message::close(Some(code), "")).await;
        while self.ws.next().await.is_some_and(|message| message.is_ok()) {}
        self.over().await;
    }

    /// Drops the line and waits until the session is over.
    pub(super) async fn vanish(self) {
        drop(self.ws);
        let over = tokio::time::timeout(PATIENCE, self.session).await;
        over.expect("the session ends").expect("and does not panic");
    }

    /// Waits until the session is over.
    pub(super) async fn over(self) {
        let over = tokio::time::timeout(PATIENCE, self.session).await;
        over.expect("the session ends").expect("and does not panic");
    }
}

pub(super) fn upload(byte: u8) -> UploadRef {
    UploadRef::from_bytes([byte; 16])
}

/// Lets every other task run until none can go on by itself.
pub(super) async fn drain() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

//! A server in this process, with a page's event and an ordinary HTTP handler that save files.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Path as InPath, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use upload_server::{
    HandlerError, SlotOptions, TakeError, Uploads, UploadsBuilder, proto::UploadRef,
};
use uuid::Uuid;

use crate::client::Client;

/// A node: its files may be another's too.
pub(crate) struct World {
    pub(crate) uploads: Uploads,
    pub(crate) url: String,
    pub(crate) http: String,
    pub(crate) dir: Arc<TempDir>,
    /// Where handlers move files to.
    pub(crate) places: Places,
    /// How many of the next calls of `save` fail after they have their files.
    pub(crate) failing: Arc<AtomicU32>,
}

/// Folders of an application, on the file system of the uploads and on another one.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) near: Arc<Path>,
    pub(crate) far: Arc<Path>,
    _far: Arc<TempDir>,
}

impl Places {
    pub(crate) fn new(dir: &TempDir) -> Self {
        let far = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is another file system");
        Self {
            near: dir.path().join("moved").into(),
            far: far.path().into(),
            _far: Arc::new(far),
        }
    }
}

/// The owner of a test; its cookie.
pub(crate) const ALICE: &str = "who=alice";
pub(crate) const BOB: &str = "who=bob";

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(more: impl FnOnce(UploadsBuilder) -> UploadsBuilder) -> Self {
        Self::on(Arc::new(TempDir::new().expect("a directory")), more).await
    }

    /// Starts a node on files that are there.
    pub(crate) async fn on(
        dir: Arc<TempDir>,
        more: impl FnOnce(UploadsBuilder) -> UploadsBuilder,
    ) -> Self {
        Self::placed(dir, |builder, _| more(builder)).await
    }

    /// Starts a node whose handlers move files to its places.
    pub(crate) async fn placed(
        dir: Arc<TempDir>,
        more: impl FnOnce(UploadsBuilder, &Places) -> UploadsBuilder,
    ) -> Self {
        let places = Places::new(&dir);
        let failing = Arc::new(AtomicU32::new(0));
        let (fails, saved) = (Arc::clone(&failing), dir.path().join("saved"));
        let builder = Uploads::builder()
            .data_dir(dir.path().join("data"))
            .secret([7; 32])
            .owner(|parts| {
                let cookie = parts.headers.get("cookie").and_then(|it| it.to_str().ok());
                Ok(cookie
                    .and_then(|it| it.strip_prefix("who="))
                    .map(Into::into))
            })
            .allow_upload("one", SlotOptions::new())
            .allow_upload("many", SlotOptions::new().max_entries(8).resumable(true))
            .on_event("save", move |event| {
                let (saved, fails) = (saved.clone(), Arc::clone(&fails));
                async move {
                    let mut names = Vec::new();
                    for slot in ["one", "many"] {
                        for entry in event.uploads.consume_uploaded_entries(slot).await {
                            let bytes = entry.data().await?;
                            names.push(entry.client_name().to_owned());
                            if fails.load(Ordering::SeqCst) > 0 {
                                continue;
                            }
                            tokio::fs::create_dir_all(&saved).await?;
                            tokio::fs::write(saved.join(entry.client_name()), bytes).await?;
                        }
                    }
                    let left = fails.load(Ordering::SeqCst);
                    if left > 0 {
                        fails.store(left - 1, Ordering::SeqCst);
                        assert!(left % 2 == 0, "it panics every other time");
                        return Err(HandlerError::new("no room"));
                    }
                    Ok(json!({ "saved": names }))
                }
            })
            .on_event("hold", |event| async move {
                let entries = event.uploads.consume_uploaded_entries("one").await;
                tokio::time::sleep(Duration::from_secs(2)).await;
                Ok(json!({ "saved": entries.len() }))
            });
        let uploads = more(builder, &places).build().expect("the uploads");
        let form = (uploads.clone(), dir.path().join("saved"));
        let app = Router::new()
            .route("/profile/{avatar}", post(profile))
            .with_state(form)
            .nest("/uploads", uploads.router());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            uploads,
            url: format!("ws://{address}/uploads/ws"),
            http: address.to_string(),
            places,
            dir,
            failing,
        }
    }

    pub(crate) async fn client(&self, cookie: &str) -> Client {
        let client = Client::connect_as(&self.url, cookie, true).await;
        client.expect("a connection")
    }

    /// Posts a form that names an upload, over plain HTTP; returns the status.
    pub(crate) async fn post(&self, cookie: &str, upload: Uuid) -> u16 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let mut stream = tokio::net::TcpStream::connect(&self.http)
            .await
            .expect("it listens");
        let request = format!(
            "POST /profile/{upload} HTTP/1.1\r\nhost: {}\r\ncookie: {cookie}\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n",
            self.http
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
        status.expect("a status")
    }

    /// Returns the bytes that a handler saved under this name.
    pub(crate) fn saved(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.dir.path().join("saved").join(name)).ok()
    }

    /// Returns every file with these bytes, waiting or moved.
    pub(crate) fn copies(&self, content: &[u8]) -> Vec<PathBuf> {
        let mut all = self.left();
        all.retain(|path| std::fs::read(path).is_ok_and(|bytes| bytes == content));
        all
    }

    /// Returns every file of the slots and of the folders that handlers move to.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let data = self.dir.path().join("data");
        let slots = ["one", "many"].map(|slot| data.join(slot));
        let moved = [&self.places.near, &self.places.far].map(|folder| folder.to_path_buf());
        let folders = slots.into_iter().chain(moved);
        let entries = folders.filter_map(|folder| std::fs::read_dir(folder).ok());
        let paths = entries
            .flatten()
            .map(|entry| entry.expect("an entry").path());
        paths.collect()
    }

    /// Returns how many finished files of a slot have these bytes.
    pub(crate) fn copies_in(&self, slot: &str, content: &[u8]) -> usize {
        let dir = self.dir.path().join("data").join(slot);
        let entries = std::fs::read_dir(dir).expect("the slot's folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .filter(|path| std::fs::read(path).is_ok_and(|bytes| bytes == content))
            .count()
    }

    /// Returns how many finished files a slot has.
    pub(crate) fn files(&self, slot: &str) -> usize {
        let dir = self.dir.path().join("data").join(slot);
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    }
}

/// An ordinary handler of the application: takes the upload that the form names.
async fn profile(
    State((uploads, saved)): State<(Uploads, PathBuf)>,
    InPath(avatar): InPath<UploadRef>,
    headers: HeaderMap,
) -> Response {
    let cookie = headers.get("cookie").and_then(|it| it.to_str().ok());
    let owner = cookie
        .and_then(|it| it.strip_prefix("who="))
        .unwrap_or_default();
    let lent = match uploads.lend(owner, avatar).await {
        Ok(lent) => lent,
        Err(TakeError::Taken) => return StatusCode::GONE.into_response(),
        Err(TakeError::Unknown) => return StatusCode::NOT_FOUND.into_response(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    let target = saved.join(lent.client_name());
    match lent.persist(target).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Uploads a file and returns its ref, once the server said that it is complete.
pub(crate) async fn upload(client: &mut Client, slot: &str, name: &str, file: &[u8]) -> Uuid {
    let upload = Uuid::new_v4();
    let registered = client.register(upload, slot, name, file.len() as u64).await;
    assert_eq!(registered["type"], "upload_registered", "{registered}");
    client.send_file(upload, file, 1000).await;
    let ended = client.ending(upload).await;
    assert_eq!(ended["status"], "complete", "{ended}");
    upload
}

/// Fires an event that names uploads, or none, and returns its result.
pub(crate) async fn fire(client: &mut Client, event: &str, uploads: Option<&[Uuid]>) -> Value {
    let mut message = json!({ "type": "event", "event": event, "id": 1 });
    if let Some(uploads) = uploads {
        message["uploads"] = uploads.iter().map(Uuid::to_string).collect();
    }
    client.send(message).await;
    client
        .until(|message| message["type"] == "event_result")
        .await
}

/// Makes bytes of which no two places are alike.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    upload_writers::conformance::pattern(7, len)
}

/// Returns the ref as the library has it.
pub(crate) fn as_ref(upload: Uuid) -> UploadRef {
    UploadRef::from_bytes(upload.into_bytes())
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} in ten seconds");
}

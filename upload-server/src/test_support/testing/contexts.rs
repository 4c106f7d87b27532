//! What handlers are told, made by a test alone.

use std::{path::PathBuf, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use upload_core::{AuthorizeStage, Entry, EntryId, EntryStatus, Length};
use upload_proto::{Register, UploadRef};
use uuid::Uuid;

use crate::{
    Entries, ObjectCreated, Uploads,
    slots::{
        entry::UploadedEntry,
        events::{EventContext, Offer, UploadsHandle},
        slot::{AuthorizeRequest, CompletedEntry},
    },
};

/// Makes the handle of an event that offers these uploads and came over no connection.
fn handle(uploads: &Uploads, owner: &str, refs: Vec<UploadRef>) -> UploadsHandle {
    let shared = &uploads.app.shared;
    let offer = Offer::new(owner.to_owned(), refs, Arc::clone(&shared.unclaimed));
    let (session, _) = mpsc::channel(1);
    UploadsHandle::new(session, Arc::clone(&shared.slots), Arc::new(offer))
}

/// Contexts of events (feature `testing`).
impl EventContext {
    /// Makes what a handler is told of an event without parameters, which offers no uploads.
    ///
    /// There is no connection: none of its uploads are listed, and none can be cancelled. Uploads that the
    /// handler consumes are given back once the context is dropped.
    ///
    /// ```
    /// use serde_json::{Value, json};
    /// use upload_server::{EventContext, HandlerError, SlotOptions, Uploads, testing::TestClient};
    ///
    /// async fn count(event: EventContext) -> Result<Value, HandlerError> {
    ///     let photos = event.uploads.consume_uploaded_entries("photos").await;
    ///     Ok(json!({ "album": event.params["album"], "photos": photos.len() }))
    /// }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let uploads = Uploads::builder().data_dir(dir.path());
    /// let uploads = uploads.allow_upload("photos", SlotOptions::new()).build()?;
    /// let app = axum::Router::new().nest("/uploads", uploads.router());
    /// let photo = TestClient::new(app)?.owner("ann").upload("photos", "a.txt", "a").await?;
    ///
    /// let event = EventContext::new(&uploads, "ann", "count").with_params(json!({ "album": 7 }));
    /// let counted = count(event.offering([photo.upload])).await.expect("counted");
    /// assert_eq!(counted, json!({ "album": 7, "photos": 1 }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(uploads: &Uploads, owner: &str, event: &str) -> Self {
        Self {
            owner: owner.to_owned(),
            event: event.to_owned(),
            params: Map::new(),
            uploads: handle(uploads, owner, Vec::new()),
            request: None,
        }
    }

    /// Adds parameters; what is no object when written as JSON adds none.
    #[must_use]
    pub fn with_params(mut self, params: impl Serialize) -> Self {
        if let Ok(Value::Object(params)) = serde_json::to_value(params) {
            self.params = params;
        }
        self
    }

    /// Has the event offer these finished uploads of its owner, as a page that names them does.
    #[must_use]
    pub fn offering(mut self, refs: impl IntoIterator<Item = UploadRef>) -> Self {
        self.uploads = self.uploads.offering(refs.into_iter().collect());
        self
    }
}

/// Entries of an event (feature `testing`).
impl Entries {
    /// Makes the argument of a handler that is offered these finished uploads of an owner.
    ///
    /// ```
    /// use upload_server::{Entries, HandlerError, SlotOptions, Uploads, testing::TestClient};
    ///
    /// async fn refuse(entries: Entries) -> Result<(), HandlerError> {
    ///     for photo in entries.of("photos").await? {
    ///         photo.refuse().await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let uploads = Uploads::builder().data_dir(dir.path());
    /// let uploads = uploads.allow_upload("photos", SlotOptions::new()).build()?;
    /// let app = axum::Router::new().nest("/uploads", uploads.router());
    /// let photo = TestClient::new(app)?.owner("ann").upload("photos", "a.txt", "a").await?;
    ///
    /// refuse(Entries::new(&uploads, "ann", [photo.upload])).await.expect("refused");
    /// assert!(uploads.list("ann").await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(uploads: &Uploads, owner: &str, refs: impl IntoIterator<Item = UploadRef>) -> Self {
        Self::of_handle(handle(uploads, owner, refs.into_iter().collect()))
    }
}

/// Questions (feature `testing`).
impl AuthorizeRequest {
    /// Makes the question whether an upload may begin, of an empty file of no type; every field can be set.
    ///
    /// ```
    /// use upload_server::{AuthorizeRequest, HandlerError, AuthorizeStage};
    ///
    /// async fn is_welcome(request: AuthorizeRequest) -> Result<(), HandlerError> {
    ///     match request.client_size {
    ///         Some(0) => Err(HandlerError::new("The file is empty")),
    ///         _ => Ok(()),
    ///     }
    /// }
    ///
    /// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
    /// let mut request = AuthorizeRequest::example("ann", "reports", "a.pdf");
    /// let refused = is_welcome(request.clone()).await.expect_err("it is empty");
    /// assert_eq!(refused.text(), Some("The file is empty"));
    /// request.client_size = Some(7);
    /// request.stage = AuthorizeStage::Complete;
    /// assert!(is_welcome(request).await.is_ok());
    /// # });
    /// ```
    pub fn example(owner: &str, slot: &str, client_name: &str) -> Self {
        let register = Register {
            upload: Uuid::new_v4().into(),
            upload_name: slot.to_owned(),
            client_name: client_name.to_owned(),
            client_type: String::new(),
            client_size: Some(0),
            resumable: None,
            client_id: None,
            last_modified: None,
            relative_path: None,
            meta: None,
        };
        Self::new(owner, &register, AuthorizeStage::Register)
    }
}

/// Stored files (feature `testing`).
impl CompletedEntry {
    /// Makes what a completion handler is told of a file that is at `path`, under its last part as the
    /// client's name; a file that cannot be read counts as empty.
    ///
    /// ```
    /// use upload_server::CompletedEntry;
    ///
    /// async fn scan(done: CompletedEntry) -> std::io::Result<usize> {
    ///     Ok(done.entry.data().await?.len())
    /// }
    ///
    /// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// let path = dir.path().join("a.txt");
    /// std::fs::write(&path, "some text").expect("written");
    /// let done = CompletedEntry::example("ann", "notes", &path);
    /// assert_eq!(done.entry.client_name(), "a.txt");
    /// assert_eq!(scan(done).await.expect("read"), 9);
    /// # });
    /// ```
    pub fn example(owner: &str, slot: &str, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let size = std::fs::metadata(&path).map_or(0, |it| it.len());
        let entry = Entry {
            id: EntryId(0),
            upload: Uuid::new_v4().into(),
            slot: slot.into(),
            client_name: name.to_string(),
            stored_name: None,
            folder: None,
            client_type: String::new(),
            length: Length::Known(size),
            ends_by_word: false,
            relative_path: None,
            last_modified: None,
            meta: Map::new(),
            resumable: false,
            bytes_received: size,
            status: EntryStatus::Complete,
            words: None,
            result: Some(json!({ "path": name, "size": size })),
            crc32c: None,
        };
        let folder = path.parent().map(Into::into);
        Self {
            owner: owner.to_owned(),
            entry: UploadedEntry::new(entry, folder),
        }
    }
}

/// Objects of a bucket (feature `testing`).
impl ObjectCreated {
    /// Makes what a handler is told of an object of this key; every field can be set.
    ///
    /// ```
    /// use upload_server::ObjectCreated;
    ///
    /// let mut created = ObjectCreated::example("photos", "1f0c…/a.jpg");
    /// created.size = 9;
    /// assert_eq!(created.bucket, "photos");
    /// ```
    pub fn example(bucket: &str, key: &str) -> Self {
        Self {
            upload_id: key.to_owned(),
            key: key.to_owned(),
            size: 0,
            etag: None,
            bucket: bucket.to_owned(),
        }
    }
}

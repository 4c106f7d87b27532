//! `POST /webhooks/s3`: S3 tells which objects were created (PROTOCOL section 11).
//!
//! Only signed bodies are understood, and only what claims to be signed is read. Every event fires once: it is noted in the journal together with
//! the hooks it calls, before the sender is answered. Handlers run after the answer, so one that
//! fails or takes long makes S3 repeat nothing; a process that dies in between has not run them.

mod notification;
mod seen;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::notification::{Created, Rubbish};
use crate::{
    app::App,
    bodies::Bodies,
    hooks::{Hooks, Notice, event_id, journal::Journal, note_lost, outbox},
    patience,
    shared::Shared,
    signature::{Signer, is_claimed},
    slot::BoxFuture,
    uploads::Uploads,
};

/// Largest body, in bytes; S3 sends a few KiB, SNS and EventBridge at most 256 KiB.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Requests whose handlers run at a time; further ones wait for their answer.
const HANDLERS_MAX: usize = 64;
/// Uploads with a handler of their own; beyond it the oldest are forgotten.
const WATCHED_MAX: usize = 10_000;

/// An object that was created in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectCreated {
    /// The upload's id: the first path segment of the key that is a UUID, else the whole key.
    pub upload_id: String,
    /// The object's key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its tag, without quotation marks.
    pub etag: Option<String>,
    /// The bucket.
    pub bucket: String,
}

impl ObjectCreated {
    fn of(created: &Created) -> Self {
        Self {
            upload_id: created.upload_id(),
            key: created.key.clone(),
            size: created.size,
            etag: created.etag.clone(),
            bucket: created.bucket.clone(),
        }
    }
}

pub(crate) type OnObject = Arc<dyn Fn(ObjectCreated) -> BoxFuture<()> + Send + Sync>;

/// Makes a handler of what an application gave.
pub(crate) fn handler<F, R>(handler: F) -> OnObject
where
    F: Fn(ObjectCreated) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |object| Box::pin(handler(object)))
}

/// What the route needs.
pub(crate) struct S3Events {
    /// `None`: there is no route.
    pub(crate) signer: Option<Signer>,
    pub(crate) handlers: Vec<OnObject>,
    pub(crate) journal: Journal,
    pub(crate) hooks: Arc<Hooks>,
    watched: Mutex<Watched>,
    bodies: Bodies,
    running: Arc<Semaphore>,
}

/// Handlers of single uploads; each runs once.
#[derive(Default)]
struct Watched {
    by_upload: HashMap<String, (u64, OnObject)>,
    /// The same by the number they came with.
    by_age: BTreeMap<u64, String>,
    next: u64,
}

impl Watched {
    fn insert(&mut self, upload_id: String, handler: OnObject) {
        self.take(&upload_id);
        self.by_age.insert(self.next, upload_id.clone());
        self.by_upload.insert(upload_id, (self.next, handler));
        self.next = self.next.saturating_add(1);
        if self.by_age.len() > WATCHED_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_upload.remove(&oldest);
        }
    }

    fn take(&mut self, upload_id: &str) -> Option<OnObject> {
        let (age, handler) = self.by_upload.remove(upload_id)?;
        self.by_age.remove(&age);
        Some(handler)
    }
}

impl S3Events {
    pub(crate) fn new(
        signer: Option<Signer>,
        handlers: Vec<OnObject>,
        journal: Journal,
        hooks: Arc<Hooks>,
    ) -> Self {
        Self {
            signer,
            handlers,
            journal,
            hooks,
            watched: Mutex::default(),
            bodies: Bodies::new(BODY_BYTES_MAX),
            running: Arc::new(Semaphore::new(HANDLERS_MAX)),
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        // Whole after every step, so a panic elsewhere does not spoil it.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for S3Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Events").finish_non_exhaustive()
    }
}

impl Uploads {
    /// Returns `POST /webhooks/s3`, for `/`; without a secret of the
    /// [`webhook`](crate::UploadsBuilder::webhook) there is no route.
    pub fn webhook_router(&self) -> Router {
        self.app.start_tasks();
        let events = self.app.s3_events.as_ref();
        if events.is_none_or(|events| events.signer.is_none()) {
            return Router::new();
        }
        Router::new()
            .route("/webhooks/s3", post(receive))
            .with_state(Arc::clone(&self.app))
    }

    /// Runs `handler` once, when S3 tells that the object of this upload was created.
    ///
    /// It is kept in memory, for the newest 10,000 uploads. See also
    /// [`UploadsBuilder::on_object_created`](crate::UploadsBuilder::on_object_created).
    pub fn on_object_created<F, R>(&self, upload_id: impl Into<String>, handler: F)
    where
        F: Fn(ObjectCreated) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        if let Some(events) = &self.app.s3_events {
            let handler = self::handler(handler);
            events.watched().insert(upload_id.into(), handler);
        }
    }
}

async fn receive(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some((events, signer)) = app
        .s3_events
        .as_ref()
        .and_then(|events| Some((events, events.signer.as_ref()?)))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !is_claimed(&parts.headers) {
        return refusal(StatusCode::FORBIDDEN);
    }
    let created = match events.bodies.read(body).await {
        Ok(body) if signer.is_signed(&parts.headers, &body.bytes) => {
            notification::read(&body.bytes)
        }
        Ok(_) => return refusal(StatusCode::FORBIDDEN),
        Err(status) => return refusal(status),
    };
    match created {
        Ok(created) => take(&app.shared, events, created).await,
        Err(Rubbish) => refusal(StatusCode::BAD_REQUEST),
    }
}

/// Reads a body, for the fuzzer.
#[cfg(all(feature = "testing", feature = "presign"))]
pub(crate) fn read(body: &[u8]) -> Option<Vec<ObjectCreated>> {
    let created = notification::read(body).ok()?;
    Some(created.iter().map(ObjectCreated::of).collect())
}

fn refusal(status: StatusCode) -> Response {
    (status, Json(json!({ "ok": false }))).into_response()
}

/// Takes what is news, and answers how much of it that is.
async fn take(shared: &Shared, events: &S3Events, created: Vec<Created>) -> Response {
    let wanted: Vec<_> = created
        .into_iter()
        .map(|created| Wanted::new(events, created))
        .filter(|wanted| wanted.is_for_anybody)
        .collect();
    if wanted.is_empty() {
        return fired(0);
    }
    let Ok(place) = Arc::clone(&events.running).acquire_owned().await else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE);
    };
    let noted = events.journal.write(move |transaction| {
        let mut news = Vec::new();
        for wanted in wanted {
            if seen::take(transaction, &wanted.created)? {
                let lost = outbox::add(transaction, &wanted.calls)?;
                news.push((wanted, lost));
            }
        }
        Ok(news)
    });
    // Nothing was noted: the sender may say it again.
    let Ok(news) = noted.await else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE);
    };
    let count = news.len();
    let mut runs = Vec::new();
    for (wanted, lost) in news {
        note_lost(lost, &wanted.notice);
        events.hooks.announce(&wanted.calls);
        let object = wanted.object;
        let watcher = events.watched().take(&object.upload_id);
        runs.extend(watcher.map(|handler| (handler, object.clone())));
        let handlers = events.handlers.iter().cloned();
        runs.extend(handlers.map(|handler| (handler, object.clone())));
    }
    shared.tracker.spawn(run(runs, place));
    fired(count)
}

fn fired(count: usize) -> Response {
    Json(json!({ "ok": true, "fired": count })).into_response()
}

/// An event, and what is to come of it if it is news.
struct Wanted {
    created: Created,
    object: ObjectCreated,
    notice: Notice,
    calls: Vec<outbox::Call>,
    is_for_anybody: bool,
}

impl Wanted {
    fn new(events: &S3Events, created: Created) -> Self {
        let object = ObjectCreated::of(&created);
        let event = "object_created";
        let identity = seen::identity(&created);
        let notice = Notice {
            event_id: event_id(&[event, &object.bucket, &object.key, &identity]),
            event,
            upload_id: object.upload_id.clone(),
            size: Some(object.size),
            result: json!({
                "bucket": object.bucket,
                "key": object.key,
                "etag": object.etag,
                "size": object.size,
            }),
            at: jiff::Timestamp::now().to_string(),
            ..Notice::default()
        };
        let is_watched = || events.watched().by_upload.contains_key(&object.upload_id);
        Self {
            is_for_anybody: !events.handlers.is_empty() || events.hooks.are_there() || is_watched(),
            calls: events.hooks.calls(&notice),
            created,
            object,
            notice,
        }
    }
}

/// Runs handlers one after another; one that panics or takes too long does not stop the others.
async fn run(runs: Vec<(OnObject, ObjectCreated)>, place: OwnedSemaphorePermit) {
    for (handler, object) in runs {
        // The closure itself may panic before there is a future.
        if let Err(why) = patience::of_handler(async move { handler(object).await }).await {
            tracing::error!(why, "a handler of created objects is given up");
        }
    }
    drop(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_handlers_are_kept_however_often_an_upload_is_watched_anew() {
        let mut watched = Watched::default();
        let handler = || self::handler(|_| async {});
        watched.insert("again".to_owned(), handler());
        assert!(watched.take("again").is_some());
        assert!(watched.take("again").is_none());
        watched.insert("oldest".to_owned(), handler());
        watched.insert("again".to_owned(), handler());
        for number in 2..WATCHED_MAX {
            watched.insert(number.to_string(), handler());
        }
        assert_eq!(watched.by_upload.len(), WATCHED_MAX);
        watched.insert("one more".to_owned(), handler());
        assert_eq!(watched.by_upload.len(), WATCHED_MAX);
        assert!(watched.take("oldest").is_none(), "the oldest is forgotten");
        assert!(watched.take("again").is_some(), "and no newer one for it");
        assert!(watched.take("one more").is_some());
        assert_eq!(watched.by_age.len(), watched.by_upload.len());
    }
}

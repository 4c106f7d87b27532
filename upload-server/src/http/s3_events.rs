//! `POST /webhooks/s3`, and the handlers of created objects (PROTOCOL section 11).
//!
//! Only signed bodies are understood, and only what claims to be signed is read.
//! Handlers run after the answer, so one that fails or takes long makes S3 repeat nothing; a process
//! that dies in between has not run them.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use lru::LruCache;
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::task::TaskTracker;

use super::{bodies::Bodies, state::App};
use crate::{
    outbox::{
        due::{Party, Place},
        hooks::{Hooks, Notice, event_id},
        in_doubt::InDoubt,
        journal::{Journal, JournalError},
        queue,
        s3_events::{
            dedup,
            notification::{self, Created, InvalidNotification},
        },
        signature::{Signer, is_claimed},
    },
    slots::{handlers::BoxFuture, timeouts},
};

/// Largest body, in bytes; S3 sends a few KiB, SNS and EventBridge at most 256 KiB.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Requests whose handlers run at a time; further ones wait for their answer.
const HANDLERS_MAX: usize = 64;
/// How often events are written down before their sender has to say them again.
const ROUNDS_MAX: u32 = 3;
/// The pause after the first time that failed; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Uploads with a handler of their own; beyond it the oldest are forgotten.
const WATCHED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// An object that was created in a bucket.
///
/// ```
/// use upload_server::{ObjectCreated, Uploads};
///
/// async fn index(object: ObjectCreated) {
///     println!("{} of {} bytes is in {}", object.key, object.size, object.bucket);
/// }
///
/// let builder = Uploads::builder().on_object_created(index);
/// ```
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

/// The party that all calls about created objects are counted for.
const PARTY: &str = "s3";

/// What the route needs.
pub(crate) struct S3Events {
    /// `None`: there is no route.
    pub(crate) signer: Option<Signer>,
    pub(crate) handlers: Vec<OnObject>,
    pub(crate) journal: Journal,
    pub(crate) hooks: Arc<Hooks>,
    /// Handlers of single uploads; each runs once, and beyond the limit the oldest are forgotten.
    watched: Mutex<LruCache<String, OnObject>>,
    /// Events that may be in the journal, and had no effect.
    in_doubt: InDoubt,
    bodies: Bodies,
    running: Arc<Semaphore>,
}

impl S3Events {
    pub(crate) fn new(
        signer: Option<Signer>,
        handlers: Vec<OnObject>,
        journal: Journal,
        hooks: Arc<Hooks>,
    ) -> Arc<Self> {
        Arc::new(Self {
            signer,
            handlers,
            journal,
            hooks,
            watched: Mutex::new(LruCache::new(WATCHED_MAX)),
            in_doubt: InDoubt::default(),
            bodies: Bodies::new(BODY_BYTES_MAX),
            running: Arc::new(Semaphore::new(HANDLERS_MAX)),
        })
    }

    /// Runs a handler once, for the object of this upload.
    pub(crate) fn watch(&self, upload_id: String, handler: OnObject) {
        self.watched().put(upload_id, handler);
    }

    fn watched(&self) -> MutexGuard<'_, LruCache<String, OnObject>> {
        // Whole after every step, so a panic elsewhere does not spoil it.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for S3Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Events").finish_non_exhaustive()
    }
}

/// Returns the route, or none where no webhook was configured.
pub(crate) fn routes(app: &Arc<App>) -> Router {
    let events = app.s3_events.as_ref();
    if events.is_none_or(|events| events.signer.is_none()) {
        return Router::new();
    }
    let router = Router::new()
        .route("/webhooks/s3", post(receive))
        .with_state(Arc::clone(app));
    app.guard(router)
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
    let address = app.identity.transport.address(&parts);
    let created = match events.bodies.read(body, address).await {
        Ok(body) if signer.is_signed(&parts.headers, &body.bytes) => {
            notification::read(&body.bytes)
        }
        Ok(_) => return refusal(StatusCode::FORBIDDEN),
        Err(status) => return refusal(status),
    };
    match created {
        Ok(created) => take(&app.shared.tracker, events, created).await,
        Err(InvalidNotification) => refusal(StatusCode::BAD_REQUEST),
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
async fn take(tracker: &TaskTracker, events: &Arc<S3Events>, created: Vec<Created>) -> Response {
    let wanted: Option<Vec<_>> = created
        .into_iter()
        .map(|created| Wanted::new(events, created))
        .filter(|wanted| wanted.as_ref().is_none_or(|wanted| wanted.is_for_anybody))
        .collect();
    // Too many calls wait: the sender says it again.
    let Some(wanted) = wanted else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE);
    };
    if wanted.is_empty() {
        return fired(0);
    }
    let Ok(place) = Arc::clone(&events.running).acquire_owned().await else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE);
    };
    // A separate task: what is noted is no news any more, and has to have its effect even if the sender
    // goes.
    let noting = note(tracker.clone(), Arc::clone(events), wanted, place);
    match tracker.spawn(noting).await {
        Ok(Ok(count)) => fired(count),
        // Said again, it is news still.
        Ok(Err(_)) | Err(_) => refusal(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Notes what is news, and has its effect begin; returns how much that is.
async fn note(
    tracker: TaskTracker,
    events: Arc<S3Events>,
    mut wanted: Vec<Wanted>,
    place: OwnedSemaphorePermit,
) -> Result<usize, JournalError> {
    let places = wanted.iter_mut().map(|it| std::mem::take(&mut it.places));
    let places: Vec<_> = places.collect();
    let wanted: Arc<[Wanted]> = wanted.into();
    let noted = events.write(&wanted).await?;
    let mut count = 0_usize;
    let mut runs = Vec::new();
    for ((wanted, places), added) in wanted.iter().zip(places).zip(noted) {
        // A commit that failed may have taken effect: what is there then is news still.
        let was_in_doubt = events.in_doubt.take(wanted.key);
        let added = match added {
            Some(added) => added,
            None if was_in_doubt => vec![true; wanted.calls.len()],
            None => continue,
        };
        count = count.saturating_add(1);
        Hooks::announce(&wanted.calls, places, &added);
        let object = &wanted.object;
        let watcher = events.watched().pop(&object.upload_id);
        runs.extend(watcher.map(|handler| (handler, object.clone())));
        let handlers = events.handlers.iter().cloned();
        runs.extend(handlers.map(|handler| (handler, object.clone())));
    }
    tracker.spawn(run(runs, place));
    Ok(count)
}

/// Of each event that is news which of its calls were added.
type Noted = Vec<Option<Vec<bool>>>;

impl S3Events {
    /// Notes events, and the calls of those that are news; tries it again where the journal fails.
    async fn write(&self, wanted: &Arc<[Wanted]>) -> Result<Noted, JournalError> {
        let mut pause = PAUSE_MIN;
        for _ in 1..ROUNDS_MAX {
            match self.write_once(wanted).await {
                Err(JournalError::Failed) => sleep(pause).await,
                noted @ (Ok(_) | Err(JournalError::Closed)) => return noted,
            }
            pause = pause.saturating_mul(2);
        }
        self.write_once(wanted).await
    }

    async fn write_once(&self, wanted: &Arc<[Wanted]>) -> Result<Noted, JournalError> {
        let events = Arc::clone(wanted);
        let noted = self.journal.write(move |transaction| {
            let mut noted = Noted::with_capacity(events.len());
            for wanted in &*events {
                let is_news = dedup::take(transaction, &wanted.created)?;
                noted.push(match is_news {
                    true => {
                        wanted.was_news.store(true, Ordering::Relaxed);
                        Some(queue::add(transaction, &wanted.calls)?)
                    }
                    false => None,
                });
            }
            Ok(noted)
        });
        let noted = noted.await;
        if noted.is_err() {
            let news = |wanted: &&Wanted| wanted.was_news.load(Ordering::Relaxed);
            for wanted in wanted.iter().filter(news) {
                self.in_doubt.add(wanted.key);
            }
        }
        noted
    }
}

fn fired(count: usize) -> Response {
    Json(json!({ "ok": true, "fired": count })).into_response()
}

/// An event, and what is to come of it if it is news.
struct Wanted {
    created: Created,
    /// What it is known by while it is in doubt.
    key: u128,
    /// Whether a write found that it is news, whatever became of that write.
    was_news: AtomicBool,
    object: ObjectCreated,
    calls: Vec<queue::Call>,
    places: Vec<Place>,
    is_for_anybody: bool,
}

impl Wanted {
    /// Describes an event; none where a hook has too many calls outstanding.
    fn new(events: &S3Events, created: Created) -> Option<Self> {
        let object = ObjectCreated::of(&created);
        let event = "object_created";
        let identity = dedup::identity(&created);
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
        let is_watched = || events.watched().contains(&object.upload_id);
        let party: Party = PARTY.into();
        Some(Self {
            places: events.hooks.try_places(&party)?,
            is_for_anybody: !events.handlers.is_empty() || events.hooks.are_there() || is_watched(),
            calls: events.hooks.calls(&notice, &party),
            key: dedup::key(&created),
            was_news: AtomicBool::new(false),
            created,
            object,
        })
    }
}

/// Runs handlers one after another; one that panics or takes too long does not stop the others.
async fn run(runs: Vec<(OnObject, ObjectCreated)>, place: OwnedSemaphorePermit) {
    for (handler, object) in runs {
        // The closure itself may panic before there is a future.
        if let Err(why) = timeouts::of_handler(async move { handler(object).await }).await {
            tracing::error!(why, "a handler of created objects is given up");
        }
    }
    drop(place);
}

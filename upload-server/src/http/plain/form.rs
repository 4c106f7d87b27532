//! `multipart/form-data` (RFC 7578): each file of a form becomes an upload.
//!
//! Text fields that come before a file are its metadata. A file that is refused changes nothing about the
//! others: the answer has one result for each.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream::poll_fn};
use http::{HeaderValue, StatusCode, header};
use http_body::Body as _;
use multer::{Field, Multipart};
use serde_json::{Map, Value, json};
use upload_core::{Broken, Content, Ends, Reply, Request as Ask};
use upload_proto::{
    Code,
    limits::{CLIENT_TYPE_BYTES_MAX, META_BYTES_MAX},
};

use super::names;
use crate::{
    http::{
        doors::{
            Call,
            refusal::{Asked, Refusal},
            visitor::Visitor,
        },
        tus::add_cookie,
        visit::{Rest, check::Checking},
    },
    slots::slot::{Slot, Slots},
};

/// Parts of one form.
const PARTS_MAX: usize = 1000;
/// Bytes between the contents of two parts: a boundary and headers.
const HEAD_BYTES_MAX: u64 = 64 * 1024;
/// Bytes that are read of a part that was refused.
const REFUSED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of such a part that have to come in [`HEAD_TIME`].
const SKIPPED_BYTES_MIN: u64 = 128 * 1024;
/// How long a client may take for what is between two contents.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// What a part may still cost that is not stored.
#[derive(Clone, Default)]
struct Allowance(Arc<AtomicU64>);

impl Allowance {
    fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn is_spent(&self) -> bool {
        self.left() == 0
    }

    /// Takes what arrived; returns false where it is too much.
    fn take(&self, bytes: usize) -> bool {
        let left = self.left();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        // Content that is stored is bounded elsewhere.
        left == u64::MAX || {
            self.set(left.saturating_sub(bytes));
            // One read may bring the content of a file too, so it may go past what is allowed.
            left > 0
        }
    }
}

/// One file's result.
enum Stored {
    Whole(Value, Option<HeaderValue>),
    /// With the file's name, where it is about one file.
    Refused(Refusal, Option<String>),
}

/// The body of a request, of which the form reads what it wants. What is left is read and dropped.
#[derive(Clone)]
struct Source(Arc<Mutex<Option<Body>>>);

impl Source {
    fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    /// Returns the pieces, until one is more than is allowed.
    fn pieces(
        &self,
        allowance: Allowance,
    ) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + use<> {
        let source = self.clone();
        poll_fn(move |cx| source.poll(cx, &allowance))
    }

    fn poll(
        &self,
        cx: &mut Context<'_>,
        allowance: &Allowance,
    ) -> Poll<Option<Result<Bytes, std::io::Error>>> {
        let mut body = self.lock();
        let Some(body) = body.as_mut() else {
            return Poll::Ready(None);
        };
        loop {
            let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(std::io::Error::other(error)))),
                Some(Ok(frame)) => frame,
            };
            // Trailers say nothing about the form.
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            return Poll::Ready(Some(match allowance.take(piece.len()) {
                true => Ok(piece),
                false => Err(std::io::ErrorKind::FileTooLarge.into()),
            }));
        }
    }

    fn rest(&self) -> Rest {
        self.lock().take().map_or(Rest::Nothing, Rest::Begun)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Body>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves a form.
pub(super) async fn create(call: &mut Call) -> Result<Response, Refusal> {
    let media_type = call.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let boundary = media_type.and_then(|text| multer::parse_boundary(text).ok());
    let boundary = boundary.ok_or_else(|| Refusal::bad("The form has no boundary"))?;
    let visitor = call.creator().await?;
    let slots = call.slots(&visitor.owner).await?;
    let source = Source::new(call.body.take().unwrap_or_default());
    let allowance = Allowance::default();
    let mut form = Multipart::new(source.pieces(allowance.clone()), boundary);
    let mut results = Vec::new();
    let read = read(call, &visitor, slots, (&mut form, &allowance), &mut results).await;
    drop(form);
    call.drain(source.rest());
    if let Err(refusal) = read {
        if !results.iter().any(|it| matches!(it, Stored::Whole(..))) {
            return Err(refusal);
        }
        // What is stored is stored: its client would send it again if it did not learn that.
        results.push(Stored::Refused(refusal, None));
    }
    answer(&visitor, results, call)
}

/// Stores the files of a form, as far as it can be read.
async fn read(
    call: &mut Call,
    visitor: &Visitor,
    (slot, slots): (Slot, Slots),
    (form, allowance): (&mut Multipart<'static>, &Allowance),
    results: &mut Vec<Stored>,
) -> Result<(), Refusal> {
    let files_max = usize::try_from(slot.rules.max_entries).unwrap_or(usize::MAX);
    let mut meta = Map::new();
    allowance.set(HEAD_BYTES_MAX);
    for _ in 0..PARTS_MAX {
        let next = next(form, allowance).await;
        let next = next.ok_or_else(|| Refusal::of(Code::IdleTimeout, call.door, Asked::Change))?;
        let is_refused = matches!(results.last(), Some(Stored::Refused(..)));
        let part = match next {
            Ok(Some(part)) => part,
            Ok(None) => return Ok(()),
            // More than is read of a file that was refused: its client learns that there may be more.
            Err(_) if is_refused && allowance.is_spent() => {
                results.push(Stored::Refused(not_looked_at(call), None));
                return Ok(());
            }
            Err(_) => return Err(Refusal::bad("The form is malformed, or broke off")),
        };
        let disposition = part.headers().get(header::CONTENT_DISPOSITION);
        let name = disposition.and_then(|value| names::form_file_name(value.as_bytes()));
        let Some(name) = name else {
            allowance.set(HEAD_BYTES_MAX);
            read_text(part, &mut meta).await?;
            allowance.set(HEAD_BYTES_MAX);
            continue;
        };
        let result = if results.len() < files_max {
            allowance.set(u64::MAX);
            let (slots, meta) = (Arc::clone(&slots), meta.clone());
            match store(call, visitor, slots, part, name.clone(), meta).await {
                Ok(stored) => stored,
                Err(refusal) if results.is_empty() => return Err(refusal),
                Err(refusal) => Stored::Refused(refusal, Some(name)),
            }
        } else {
            let refusal = Refusal::of(Code::TooManyEntries, call.door, Asked::Change);
            Stored::Refused(refusal, Some(name))
        };
        let is_refused = matches!(result, Stored::Refused(..));
        results.push(result);
        allowance.set(match is_refused {
            true => REFUSED_BYTES_MAX,
            false => HEAD_BYTES_MAX,
        });
    }
    Err(Refusal::bad("The form has too many parts"))
}

/// The refusal of what follows a file that was refused and is too long to be read.
fn not_looked_at(call: &Call) -> Refusal {
    Refusal {
        text: "What follows was not looked at".into(),
        ..Refusal::of(Code::TooLarge, call.door, Asked::Change)
    }
}

/// Reads up to the next part; `None` where too little comes.
async fn next(
    form: &mut Multipart<'static>,
    allowance: &Allowance,
) -> Option<multer::Result<Option<Field<'static>>>> {
    let mut next = pin!(form.next_field());
    loop {
        let before = allowance.left();
        if let Ok(next) = tokio::time::timeout(HEAD_TIME, &mut next).await {
            return Some(next);
        }
        // The rest of a file that was refused takes its time.
        if before.saturating_sub(allowance.left()) < SKIPPED_BYTES_MIN {
            return None;
        }
    }
}

/// Adds a text field to the metadata.
async fn read_text(part: Field<'static>, meta: &mut Map<String, Value>) -> Result<(), Refusal> {
    let name = names::unescaped(part.name().unwrap_or_default());
    let text = tokio::time::timeout(HEAD_TIME, part.text()).await;
    let text = text.ok().and_then(Result::ok);
    let text = text.ok_or_else(|| Refusal::bad("A field of the form is too long, or broke off"))?;
    if !name.is_empty() {
        meta.insert(name, Value::String(text));
    }
    let json = serde_json::to_string(meta).map_or(usize::MAX, |json| json.len());
    match json <= META_BYTES_MAX {
        true => Ok(()),
        false => Err(Refusal::bad("The fields of the form are too long")),
    }
}

async fn store(
    call: &mut Call,
    visitor: &Visitor,
    slots: Slots,
    part: Field<'static>,
    name: String,
    meta: Map<String, Value>,
) -> Result<Stored, Refusal> {
    let mut register = call.register(name.clone(), None);
    let media_type = part
        .content_type()
        .map(|mime| mime.essence_str().to_owned());
    register.client_type = media_type
        .filter(|text| text.len() <= CLIENT_TYPE_BYTES_MAX)
        .unwrap_or_default();
    register.meta = Some(meta);
    let upload = register.upload;
    let content = Content {
        at: 0,
        length: None,
        declares: None,
        crc32c: None,
        ends: Ends::Here,
        broken: Broken::Cancel,
    };
    let ask = Ask::Create(Box::new(register), Some(content));
    let body = (Body::from_stream(part), Checking::Nothing);
    let answered = call.ask_with(visitor, (upload, slots), ask, body).await?;
    Ok(match answered.reply {
        Reply::Done(receipt) => {
            let location = call.location(visitor, upload);
            Stored::Whole(super::receipt(&receipt), location)
        }
        // It would be stored twice if it came again.
        Reply::Later => {
            let refusal = call.refused(Reply::Later, Asked::Change);
            let location = call.location(visitor, upload);
            Stored::Refused(refusal.found_at(location, visitor), Some(name))
        }
        other => Stored::Refused(call.refused(other, Asked::Change), Some(name)),
    })
}

/// One result for each file; the status is that of all, or 207 where they differ.
fn answer(visitor: &Visitor, results: Vec<Stored>, call: &Call) -> Result<Response, Refusal> {
    if results.is_empty() {
        return Err(Refusal::bad("The form has no file"));
    }
    let mut statuses = Vec::new();
    let mut locations = Vec::new();
    let mut uploads = Vec::new();
    for result in results {
        match result {
            Stored::Whole(value, location) => {
                statuses.push(StatusCode::CREATED);
                locations.extend(location);
                uploads.push(value);
            }
            Stored::Refused(refusal, name) => {
                statuses.push(refusal.status);
                let mut body = refusal.body();
                if let Some(name) = name {
                    body.insert("name".into(), name.into());
                }
                let mut headers = refusal.headers.into_iter();
                let location = headers.find(|(name, _)| name == header::LOCATION);
                if let Some((_, location)) = location {
                    let location = location.to_str().unwrap_or_default();
                    body.insert("location".into(), location.into());
                }
                body.insert("status".into(), "error".into());
                uploads.push(Value::Object(body));
            }
        }
    }
    let first = statuses.first().copied().unwrap_or_default();
    let is_one = statuses.iter().all(|status| *status == first);
    let status = match is_one || !statuses.contains(&StatusCode::CREATED) {
        true => first,
        // Some are stored, and some are not.
        false => StatusCode::MULTI_STATUS,
    };
    let mut response = match call.redirect().filter(|_| status == StatusCode::CREATED) {
        Some(address) => (StatusCode::SEE_OTHER, [(header::LOCATION, address)]).into_response(),
        None => (status, Json(json!({ "uploads": uploads }))).into_response(),
    };
    let headers = response.headers_mut();
    if let [location] = &*locations {
        let entry = headers.entry(header::LOCATION);
        entry.or_insert_with(|| location.clone());
    }
    add_cookie(headers, visitor);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_read_may_go_past_the_allowance() {
        let allowance = Allowance::default();
        allowance.set(HEAD_BYTES_MAX);
        assert!(allowance.take(128 * 1024));
        assert!(!allowance.take(1));
        allowance.set(u64::MAX);
        assert!(allowance.take(128 * 1024) && allowance.take(128 * 1024));
    }
}

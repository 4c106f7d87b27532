//! `GET …/{ref}/status`: how an upload stands, for its owner only (PROTOCOL section 11).

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::{sync::oneshot, time::timeout};
use upload_core::{EntryStatus, Record, RecordPhase};
use upload_proto::UploadRef;
use upload_stores::{UploadKey, UploadStateStore};

use crate::{app::App, events::Command, hub::Key, shared::Shared};

/// How long a busy connection may take to answer before the store is asked.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the owner of an upload is told.
#[derive(Debug, PartialEq, Serialize)]
struct Status {
    upload_id: UploadRef,
    status: &'static str,
    bytes_received: u64,
    /// Inclusive ranges of chunk indices, as `upload_resumed` has them.
    chunks_received: Vec<[u64; 2]>,
    filename: String,
    expected_size: u64,
}

/// Answers the owner; everybody and everything else gets the same 404.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    upload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    // A path that is no text names no upload either.
    let upload = upload.ok().and_then(|Path(text)| text.parse().ok());
    let found = match (app.identity.recognise(&parts), upload) {
        (Ok(Some(who)), Some(upload)) => find(&app.shared, &who.owner, upload).await,
        _ => None,
    };
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    match found {
        Some(status) => (no_store, Json(status)).into_response(),
        None => {
            let body = Json(serde_json::json!({ "status": "not_found" }));
            (StatusCode::NOT_FOUND, no_store, body).into_response()
        }
    }
}

async fn find(shared: &Shared, owner: &str, upload: UploadRef) -> Option<Status> {
    if let Some(status) = ask_holder(shared, owner, upload).await {
        return Some(status);
    }
    let key = UploadKey::new(owner, *upload.as_bytes()).ok()?;
    for store in shared.stores() {
        match look(&*store, &key, upload).await {
            None => {}
            found => return found,
        }
    }
    None
}

/// Asks the connection of this process that holds the upload, if one does: it knows most, and of
/// uploads that keep no record nobody else knows anything.
async fn ask_holder(shared: &Shared, owner: &str, upload: UploadRef) -> Option<Status> {
    let holder = shared.hub.holder(&Key::new(owner.into(), upload))?;
    let (answer, answered) = oneshot::channel();
    holder
        .commands
        .try_send(Command::Snapshot { answer })
        .ok()?;
    let entries = timeout(PATIENCE, answered).await.ok()?.ok()?;
    let entry = entries.into_iter().find(|entry| entry.upload == upload)?;
    let status = match entry.status {
        EntryStatus::Uploading => "uploading",
        EntryStatus::Complete => "complete",
        EntryStatus::Failed(_) | EntryStatus::Cancelled => return None,
    };
    // A slot that was only mounted is not known here, so neither is its chunk size.
    let slot = shared.slots.get(&*entry.slot);
    let next_index = slot.and_then(|slot| {
        let chunk = u64::from(slot.rules.chunk_size);
        entry.bytes_received.checked_div(chunk)
    });
    Some(Status {
        upload_id: upload,
        status,
        bytes_received: entry.bytes_received,
        chunks_received: ranges(next_index.unwrap_or(0)),
        filename: entry.client_name,
        expected_size: entry.client_size,
    })
}

async fn look(store: &dyn UploadStateStore, key: &UploadKey, upload: UploadRef) -> Option<Status> {
    let found = match store.get(key).await {
        Ok(found) => found?,
        Err(error) => {
            tracing::warn!(%error, "a store did not answer for an upload's status");
            return None;
        }
    };
    let record = match Record::decode(&found.record) {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(%error, "a stored record cannot be read");
            return None;
        }
    };
    Some(Status {
        upload_id: upload,
        status: match record.phase {
            RecordPhase::Receiving | RecordPhase::Completing => "uploading",
            RecordPhase::Complete => "complete",
        },
        bytes_received: record.offset,
        chunks_received: ranges(record.next_index()),
        filename: record.client_name,
        expected_size: record.client_size,
    })
}

fn ranges(next_index: u64) -> Vec<[u64; 2]> {
    next_index
        .checked_sub(1)
        .map(|last| [0, last])
        .into_iter()
        .collect()
}

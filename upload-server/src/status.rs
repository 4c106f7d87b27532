//! `GET …/{ref}/status`: how an upload stands, for its owner only (PROTOCOL section 11).
//!
//! It tells what the record says, so it knows resumable uploads, on whichever node they are.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use upload_core::{Record, RecordPhase};
use upload_proto::UploadRef;
use upload_stores::{UploadKey, UploadStateStore};

use crate::{app::App, shared::Shared};

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
    Path(upload): Path<String>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let found = match (app.identity.recognise(&parts), upload.parse()) {
        (Ok(Some(who)), Ok(upload)) => find(&app.shared, &who.owner, upload).await,
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
    let key = UploadKey::new(owner, *upload.as_bytes()).ok()?;
    for store in shared.stores() {
        match look(&*store, &key, upload).await {
            None => {}
            found => return found,
        }
    }
    None
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
    let last = next_index.checked_sub(1);
    last.map(|last| [0, last]).into_iter().collect()
}

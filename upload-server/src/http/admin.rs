//! `/admin`: what is in flight, for those who run the server.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, RawQuery, Request, State},
    http::{HeaderName, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;
use tokio::{sync::oneshot, time::timeout};
use upload_core::{Entry, EntryStatus};
use upload_proto::UploadRef;
use upload_stores::Counts;

use super::{forwarded::is_local, state::App};
use crate::{
    server::{registry::Mailbox, shared::Shared},
    slots::{events::Command, timeouts},
    text::query_value,
};

/// What a request has to carry, which no page of another origin can send along.
const HEADER: HeaderName = HeaderName::from_static("x-upload-admin");
/// How long a busy connection may take to answer; then it is passed over.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that are asked at a time.
const ASKED_MAX: usize = 64;
/// Uploads that are listed at most.
const LISTED_MAX: usize = 10_000;

/// An upload as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    owner: String,
    upload: String,
    slot: String,
    client_name: String,
    status: &'static str,
    size: Option<u64>,
    received: u64,
    resumable: bool,
}

/// Whose uploads are meant; everybody's where no owner is named.
struct Whose {
    owner: Option<String>,
}

/// Returns the routes; where they are for everybody's port, they are for this machine only.
pub(crate) fn routes(app: &Arc<App>, is_public: bool) -> Router {
    Router::new()
        .route("/admin/uploads", get(list))
        .route("/admin/uploads/{ref}", get(show).delete(cancel))
        .route("/admin/owners", get(owner))
        .route_layer(middleware::from_fn_with_state(is_public, check))
        .with_state(Arc::clone(app))
}

async fn check(State(is_public): State<bool>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if is_public && !is_local(&parts) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if !parts.headers.contains_key(HEADER) {
        let text = "requests to /admin carry the header x-upload-admin\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let whose = Whose::of(query);
    let uploads = running(&app.shared, &whose, None).await;
    let connections = app.shared.registry.parked();
    Json(json!({ "uploads": uploads, "parked": connections })).into_response()
}

async fn show(
    State(app): State<Arc<App>>,
    Path(upload): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let whose = Whose::of(query);
    let Ok(upload) = upload.parse() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let uploads = running(&app.shared, &whose, Some(upload)).await;
    match uploads.is_empty() {
        true => StatusCode::NOT_FOUND.into_response(),
        false => Json(json!({ "uploads": uploads })).into_response(),
    }
}

/// Cancels the uploads of this ref, which is one where an owner is named.
async fn cancel(
    State(app): State<Arc<App>>,
    Path(upload): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let whose = Whose::of(query);
    let Ok(upload) = upload.parse::<UploadRef>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut cancelled = 0_usize;
    for (key, mailbox) in app.shared.registry.held() {
        if key.upload() != upload || !whose.is(key.owner()) {
            continue;
        }
        let (answer, answered) = oneshot::channel();
        let command = Command::Cancel { upload, answer };
        let asked = mailbox.commands.try_send(command).is_ok();
        if asked && matches!(timeout(ANSWER_TIMEOUT, answered).await, Ok(Ok(true))) {
            tracing::info!(%upload, "an upload was cancelled by /admin");
            cancelled = cancelled.saturating_add(1);
        }
    }
    match cancelled {
        0 => StatusCode::NOT_FOUND.into_response(),
        _ => Json(json!({ "cancelled": cancelled })).into_response(),
    }
}

/// What an owner has in the stores.
#[derive(Debug, Serialize)]
struct Stored {
    owner: String,
    unfinished_uploads: u64,
    unfinished_bytes: u64,
    waiting_uploads: u64,
    waiting_bytes: u64,
    /// Of both kinds; `null` without a limit. A sign-in may have another one.
    max_stored_bytes: Option<u64>,
}

async fn owner(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let Some(owner) = Whose::of(query).owner else {
        return (StatusCode::BAD_REQUEST, "owner=NAME is missing\n").into_response();
    };
    let shared = &app.shared;
    let mut counts = Counts::default();
    for store in shared.stores(&shared.slots) {
        match timeouts::of_store(store.count(Some(&owner))).await {
            Some(Ok(more)) => counts = counts.plus(more),
            Some(Err(_)) | None => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
    Json(Stored {
        owner,
        unfinished_uploads: counts.unfinished.records,
        unfinished_bytes: counts.unfinished.bytes,
        waiting_uploads: counts.waiting.records,
        waiting_bytes: counts.waiting.bytes,
        max_stored_bytes: shared.limits.session.max_stored_bytes_per_owner,
    })
    .into_response()
}

impl Whose {
    fn of(query: Option<String>) -> Self {
        let owner = query.and_then(|query| query_value(&query, "owner"));
        Self { owner }
    }

    fn is(&self, owner: &str) -> bool {
        self.owner.as_deref().is_none_or(|wanted| wanted == owner)
    }
}

/// Asks the connections that hold uploads about them.
async fn running(shared: &Shared, whose: &Whose, only: Option<UploadRef>) -> Vec<Listed> {
    let mut holders: HashMap<u64, (String, Mailbox)> = HashMap::new();
    for (key, mailbox) in shared.registry.held() {
        if whose.is(key.owner()) && only.is_none_or(|only| key.upload() == only) {
            let owner = key.owner().to_owned();
            holders.insert(mailbox.session, (owner, mailbox));
        }
    }
    let asked = holders.into_values().map(|(owner, mailbox)| async move {
        let (answer, answered) = oneshot::channel();
        let command = Command::Snapshot { answer };
        mailbox.commands.try_send(command).ok()?;
        let entries = timeout(ANSWER_TIMEOUT, answered).await.ok()?.ok()?;
        Some((owner, entries))
    });
    let mut answers = stream::iter(asked).buffer_unordered(ASKED_MAX);
    let mut listed = Vec::new();
    while let Some(answer) = answers.next().await {
        let Some((owner, entries)) = answer else {
            continue;
        };
        for entry in entries {
            let is_wanted = only.is_none_or(|only| entry.upload == only);
            if is_wanted && listed.len() < LISTED_MAX {
                listed.push(Listed::of(&owner, entry));
            }
        }
    }
    listed
}

impl Listed {
    fn of(owner: &str, entry: Entry) -> Self {
        Self {
            owner: owner.to_owned(),
            upload: entry.upload.to_string(),
            slot: entry.slot.to_string(),
            client_name: entry.client_name,
            status: match entry.status {
                EntryStatus::Uploading => "uploading",
                EntryStatus::Complete => "complete",
                EntryStatus::Failed(_) => "failed",
                EntryStatus::Cancelled => "cancelled",
            },
            size: entry.length.known(),
            received: entry.bytes_received,
            resumable: entry.resumable,
        }
    }
}

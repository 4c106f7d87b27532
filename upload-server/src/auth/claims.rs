//! What a token's claims, or an answer about a visitor, say that the visitor may do.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value};
use upload_stores::OWNER_BYTES_MAX;

use super::Visitor;

/// The names under which rights stand.
#[derive(Clone, Debug)]
pub(crate) struct ClaimNames {
    pub(crate) owner: String,
    pub(crate) slots: String,
    pub(crate) max_file_size: String,
    pub(crate) max_uploads: String,
    pub(crate) max_bytes: String,
    pub(crate) max_stored_bytes: String,
}

impl ClaimNames {
    /// Reads a visitor and their rights; none where there is no owner, or where something that is there
    /// cannot be read: what was meant as a limit must not count as none.
    pub(super) fn visitor(&self, claims: &Map<String, Value>) -> Option<Visitor> {
        let owner = match claims.get(&self.owner)? {
            Value::String(owner) => owner.clone(),
            Value::Number(owner) => owner.to_string(),
            _ => return None,
        };
        if owner.is_empty() || owner.len() > OWNER_BYTES_MAX {
            return None;
        }
        let mut visitor = Visitor::new(owner);
        if let Some(slots) = present(claims, &self.slots) {
            visitor = visitor.slots(names(slots)?);
        }
        if let Some(bytes) = present(claims, &self.max_file_size) {
            visitor = visitor.max_file_size(bytes.as_u64()?);
        }
        if let Some(uploads) = present(claims, &self.max_uploads) {
            let uploads = uploads.as_u64()?;
            visitor = visitor.max_uploads(u32::try_from(uploads).unwrap_or(u32::MAX));
        }
        if let Some(bytes) = present(claims, &self.max_bytes) {
            visitor = visitor.max_bytes(bytes.as_u64()?);
        }
        if let Some(bytes) = present(claims, &self.max_stored_bytes) {
            visitor = visitor.max_stored_bytes(bytes.as_u64()?);
        }
        Some(visitor)
    }
}

fn present<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).filter(|value| !value.is_null())
}

/// Reads names in a list, or in a text with spaces between them, as scopes are written.
fn names(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(text.split_whitespace().map(str::to_owned).collect()),
        Value::Array(list) => list
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// Reads when a token ends, with the time that clocks may differ.
pub(super) fn end_of(claims: &Map<String, Value>, leeway: Duration) -> Option<SystemTime> {
    let seconds = claims.get("exp")?.as_f64()?;
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    UNIX_EPOCH.checked_add(since)?.checked_add(leeway)
}

/// Ends a visitor's sign-in at that time.
pub(super) fn until(visitor: Visitor, end: Option<SystemTime>) -> Arc<Visitor> {
    Arc::new(match end {
        Some(end) => visitor.until(end),
        None => visitor,
    })
}

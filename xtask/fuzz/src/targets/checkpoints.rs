//! What writers resume from, out of a store that others may write to.

use serde_json::Value;
use upload_writers::{Checkpoint, UploadFacts, testing};

use crate::cursor::Cursor;

/// A slot, a prefix of keys, a line each, and the checkpoint.
pub(super) fn run(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let (slot, prefix) = (cursor.line(), cursor.line());
    let Ok(value) = serde_json::from_slice::<Value>(cursor.rest()) else {
        return;
    };
    let facts = facts(slot, "photo.png", "image/png");
    let checkpoint = Checkpoint(value);
    if let Some((temp, place)) = testing::file_checkpoint(&checkpoint, &facts) {
        assert!(
            !temp.contains(['/', '\\']) && !temp.starts_with('.'),
            "{temp:?}"
        );
        let name = place.strip_prefix(&format!("{slot}/"));
        let name = name.expect("in the folder of its slot");
        assert!(!name.contains(['/', '\\']) && name.len() > 37, "{place:?}");
    }
    if let Some(key) = testing::store_checkpoint(&checkpoint, &facts, prefix) {
        assert!(
            key.starts_with(prefix) && key.len() <= 1024 + prefix.len(),
            "{key:?}"
        );
        assert!(key.ends_with("-photo.png"), "{key:?}");
    }
}

pub(super) fn facts(slot: &str, name: &str, media_type: &str) -> UploadFacts {
    let mut facts = UploadFacts::new("aabbccdd-eeff-4011-8233-445566778899", slot, 500);
    facts.owner = "owner".to_owned();
    facts.safe_client_name = name.to_owned();
    facts.client_type = media_type.to_owned();
    facts.resumable = true;
    facts
}

//! Which events were taken already, in the journal: replays fire once, also after a restart.

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::notification::Created;
use crate::outbox::journal::{Step, failed};

/// How many objects are remembered; beyond it, those heard of the longest ago are forgotten.
pub(crate) const OBJECTS_MAX: u64 = 100_000;

/// How many events of one object are remembered.
const EVENTS_MAX: usize = 8;

const OBJECTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("objects");
/// The same objects in the order of their last events.
const ORDER: TableDefinition<'_, u64, u128> = TableDefinition::new("object_order");

/// What is remembered of one object.
#[derive(Default, Serialize, Deserialize)]
struct Seen {
    /// Its place in the order.
    at: u64,
    /// The newest sequencer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequencer: Option<String>,
    /// The last events, the newest at the end.
    events: Vec<u64>,
}

/// Notes an event; returns whether it is news.
///
/// Not news is the same version or sequencer of the same object, and anything with a sequencer
/// that is not newer than one heard of.
pub(crate) fn take(transaction: &WriteTransaction, created: &Created) -> Step<bool> {
    let mut objects = transaction.open_table(OBJECTS).map_err(failed)?;
    let mut order = transaction.open_table(ORDER).map_err(failed)?;
    let key = object(created);
    let known = objects.get(key).map_err(failed)?;
    let known = known.and_then(|value| serde_json::from_slice::<Seen>(value.value()).ok());
    let event = event(created);
    let is_known = known.is_some();
    let mut seen = known.unwrap_or_default();
    let is_old = match (&created.sequencer, &seen.sequencer) {
        (Some(this), Some(newest)) => !is_newer(this, newest),
        _ => false,
    };
    if is_old || seen.events.contains(&event) {
        return Ok(false);
    }
    if is_known {
        order.remove(seen.at).map_err(failed)?;
    }
    let last = order.last().map_err(failed)?;
    let last = last.map_or(0, |(at, _)| at.value());
    seen.at = last.saturating_add(1);
    if let Some(sequencer) = &created.sequencer {
        seen.sequencer = Some(sequencer.clone());
    }
    if seen.events.len() >= EVENTS_MAX {
        seen.events.remove(0);
    }
    seen.events.push(event);
    #[expect(clippy::expect_used, reason = "a struct of texts and numbers is JSON")]
    let value = serde_json::to_vec(&seen).expect("a struct of texts and numbers is JSON");
    objects.insert(key, &*value).map_err(failed)?;
    order.insert(seen.at, key).map_err(failed)?;
    while order.len().map_err(failed)? > OBJECTS_MAX {
        let Some((_, oldest)) = order.pop_first().map_err(failed)? else {
            break;
        };
        objects.remove(oldest.value()).map_err(failed)?;
    }
    Ok(true)
}

/// Returns what tells one event of an object from another: its version, else its sequencer, else
/// everything that is known.
pub(crate) fn identity(created: &Created) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    if let Some(version) = &created.version {
        return format!("version {version}");
    }
    if let Some(sequencer) = &created.sequencer {
        return format!("sequencer {sequencer}");
    }
    let (etag, time) = (text(&created.etag), text(&created.time));
    format!("plain {} {etag} {time}", created.size)
}

/// Returns what an event is known by among those that may have been noted.
pub(crate) fn key(created: &Created) -> u128 {
    let hash = Sha256::new()
        .chain_update(object(created).to_be_bytes())
        .chain_update(identity(created).as_bytes())
        .finalize();
    u128::from_be_bytes(hash.first_chunk().copied().unwrap_or_default())
}

/// Sequencers of one object grow as texts, the shorter one filled up with zeros on its right.
fn is_newer(this: &str, newest: &str) -> bool {
    let length = this.len().max(newest.len());
    let digits = |text: &str| {
        let padding = length.saturating_sub(text.len());
        [text, &"0".repeat(padding)].concat()
    };
    digits(this) > digits(newest)
}

fn object(created: &Created) -> u128 {
    let hash = Sha256::new()
        .chain_update(created.bucket.as_bytes())
        .chain_update([0])
        .chain_update(created.key.as_bytes())
        .finalize();
    u128::from_be_bytes(hash.first_chunk().copied().unwrap_or_default())
}

fn event(created: &Created) -> u64 {
    let hash = Sha256::digest(identity(created).as_bytes());
    u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::journal::Journal;

    fn created(key: &str, version: &str, sequencer: &str) -> Created {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Created {
            bucket: "b".to_owned(),
            key: key.to_owned(),
            size: 1,
            etag: text("e"),
            version: text(version),
            sequencer: text(sequencer),
            time: None,
        }
    }

    async fn fire(journal: &Journal, event: Created) -> bool {
        let taken = journal.write(move |transaction| take(transaction, &event));
        taken.await.expect("taken")
    }

    #[tokio::test]
    async fn every_event_is_news_once() {
        let journal = Journal::open(None).expect("opened");
        for (key, version, sequencer, is_news) in [
            ("k", "", "0A", true),
            ("k", "", "0A", false),
            ("k", "", "0A00", false),
            ("k", "", "09FF", false),
            ("k", "", "0B", true),
            ("k", "", "0A", false),
            ("other", "", "0A", true),
            ("v", "1", "01", true),
            ("v", "1", "01", false),
            ("v", "2", "02", true),
            ("v", "1", "01", false),
            ("v", "3", "01", false),
            ("plain", "", "", true),
            ("plain", "", "", false),
        ] {
            let news = fire(&journal, created(key, version, sequencer)).await;
            assert_eq!(news, is_news, "{key} {version} {sequencer}");
        }
        let overwritten = Created {
            etag: Some("f".to_owned()),
            ..created("plain", "", "")
        };
        assert!(fire(&journal, overwritten).await);
    }

    #[test]
    fn sequencers_are_filled_up_on_the_right() {
        assert!(is_newer("0055AED6DCD90281E6", "0055AED6DCD90281E5"));
        assert!(is_newer("00B", "00A1"));
        assert!(!is_newer("00A", "00A0"));
        assert!(!is_newer("00A", "00A1"));
    }
}

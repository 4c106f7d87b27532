//! Calls of hooks that are still to be made, in the journal.

use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::journal::{Step, failed};

const CALLS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("calls");

/// One call of one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The event, for receivers that have to notice repetitions.
    pub(crate) event_id: String,
    /// The hook's name; of calls of before, its address.
    #[serde(alias = "url")]
    pub(crate) hook: String,
    /// What it is told: JSON text, which is also what is signed.
    pub(crate) body: String,
    /// How often it was tried.
    pub(crate) tries: u32,
    /// When it was first meant to be made, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// When it is to be made next, in milliseconds since 1970.
    pub(crate) due_ms: u64,
    /// Who it comes from.
    #[serde(default)]
    pub(crate) party: String,
}

impl Call {
    /// Returns the call's key: the same event calls the same hook once.
    pub(crate) fn key(&self) -> u128 {
        let hash = Sha256::new()
            .chain_update(self.event_id.as_bytes())
            .chain_update([0])
            .chain_update(self.hook.as_bytes())
            .finalize();
        let half: [u8; 16] = hash.first_chunk().copied().unwrap_or_default();
        u128::from_be_bytes(half)
    }
}

/// Adds calls, unless they wait already; returns which were added.
pub(crate) fn add(transaction: &WriteTransaction, calls: &[Call]) -> Step<Vec<bool>> {
    let mut table = transaction.open_table(CALLS).map_err(failed)?;
    let mut added = Vec::with_capacity(calls.len());
    for call in calls {
        let key = call.key();
        let is_new = table.get(key).map_err(failed)?.is_none();
        if is_new {
            table.insert(key, &*encode(call)).map_err(failed)?;
        }
        added.push(is_new);
    }
    Ok(added)
}

/// Notes that a call is to be made again.
pub(crate) fn update(transaction: &WriteTransaction, call: &Call) -> Step<()> {
    let mut table = transaction.open_table(CALLS).map_err(failed)?;
    table.insert(call.key(), &*encode(call)).map_err(failed)?;
    Ok(())
}

/// Forgets a call.
pub(crate) fn remove(transaction: &WriteTransaction, key: u128) -> Step<()> {
    let mut table = transaction.open_table(CALLS).map_err(failed)?;
    table.remove(key).map_err(failed)?;
    Ok(())
}

/// Reads a call.
pub(crate) fn find(transaction: &ReadTransaction, key: u128) -> Step<Option<Call>> {
    let Some(table) = existing(transaction.open_table(CALLS))? else {
        return Ok(None);
    };
    let found = table.get(key).map_err(failed)?;
    Ok(found.and_then(|value| decode(value.value())))
}

/// Where a waiting call goes, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) key: u128,
    pub(crate) hook: String,
    pub(crate) party: String,
    pub(crate) due_ms: u64,
}

/// Lists every call that waits.
pub(crate) fn list(transaction: &ReadTransaction) -> Step<Vec<Waiting>> {
    let Some(table) = existing(transaction.open_table(CALLS))? else {
        return Ok(Vec::new());
    };
    let mut waiting = Vec::new();
    for entry in table.iter().map_err(failed)? {
        let (key, value) = entry.map_err(failed)?;
        let key = key.value();
        let Some(call) = decode(value.value()) else {
            continue;
        };
        waiting.push(Waiting {
            key,
            hook: call.hook,
            party: call.party,
            due_ms: call.due_ms,
        });
    }
    Ok(waiting)
}

/// A file to which nothing was written yet has no tables.
fn existing<T>(opened: Result<T, TableError>) -> Step<Option<T>> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

#[expect(clippy::expect_used, reason = "a struct of texts and numbers is JSON")]
fn encode(call: &Call) -> Vec<u8> {
    serde_json::to_vec(call).expect("a struct of texts and numbers is JSON")
}

fn decode(bytes: &[u8]) -> Option<Call> {
    serde_json::from_slice(bytes)
        .inspect_err(|error| tracing::error!(%error, "a waiting hook cannot be read"))
        .ok()
}

/// Has calls be refused, by a table of their name that takes none, or has them be taken again.
#[cfg(test)]
pub(crate) async fn spoil(journal: &super::journal::Journal, is_spoilt: bool) {
    const SPOILT: TableDefinition<'_, u64, u64> = TableDefinition::new("calls");

    let change = move |transaction: &WriteTransaction| {
        if is_spoilt {
            transaction.open_table(SPOILT).map_err(failed)?;
            return Ok(true);
        }
        transaction.delete_table(SPOILT).map_err(failed)
    };
    // It fails with what shares its transaction.
    let mut rounds = 0;
    while journal.write(change).await != Ok(true) {
        rounds += 1;
        assert!(rounds < 1_000, "it cannot be changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::journal::Journal;

    fn call(event: &str, hook: &str) -> Call {
        Call {
            event_id: event.to_owned(),
            hook: hook.to_owned(),
            body: "{}".to_owned(),
            tries: 0,
            since_ms: 1,
            due_ms: 1,
            party: "p".to_owned(),
        }
    }

    #[tokio::test]
    async fn an_event_calls_a_hook_once() {
        let journal = Journal::open(None).expect("opened");
        assert_eq!(journal.read(list).await, Ok(vec![]));
        let calls = [
            call("a", "x"),
            call("a", "y"),
            call("a", "x"),
            call("b", "x"),
        ];
        let added = journal.write(move |transaction| add(transaction, &calls));
        assert_eq!(added.await, Ok(vec![true, true, false, true]));
        let waiting = journal.read(list).await.expect("listed");
        assert_eq!(waiting.len(), 3);
        let key = call("a", "x").key();
        let found = journal
            .read(move |transaction| find(transaction, key))
            .await;
        assert_eq!(found, Ok(Some(call("a", "x"))));
        let removed = journal
            .write(move |transaction| remove(transaction, key))
            .await;
        assert_eq!(removed, Ok(()));
        assert_eq!(journal.read(list).await.expect("listed").len(), 2);
    }
}

//! What all tests here share: a clock, one upload, and where it is kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use upload_core::{
    CheckpointChange, EntryId, Holder, Now, Order, Parked, SessionConfig, SessionLimits, SlotRules,
    WriterEvent, host::Records,
};
use upload_proto::{Register, UploadRef};

#[expect(
    clippy::disallowed_methods,
    reason = "the one reading all others count from"
)]
pub(crate) fn at(ms: u64) -> Now {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    Now {
        instant: *EPOCH.get_or_init(Instant::now) + Duration::from_millis(ms),
        unix_ms: ms,
    }
}

pub(crate) fn up() -> UploadRef {
    UploadRef::from_bytes([1; 16])
}

pub(crate) fn config(session: u64, slot: SlotRules) -> SessionConfig {
    SessionConfig {
        slots: BTreeMap::from([("slot".to_owned(), Arc::new(slot))]),
        plain: false,
        holder: Holder {
            boot: "boot".into(),
            session,
        },
        tally: Arc::default(),
        limits: SessionLimits::default(),
        checksum: true,
        announces: false,
    }
}

pub(crate) fn register(size: Option<u64>, client_id: &str) -> Register {
    Register {
        upload: up(),
        upload_name: "slot".into(),
        client_name: "a".into(),
        client_type: String::new(),
        client_size: size,
        resumable: None,
        client_id: Some(client_id.into()),
        last_modified: None,
        relative_path: None,
        meta: None,
    }
}

/// When what a writer took is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keeping {
    #[default]
    AtOnce,
    OnFlush,
    /// One byte per flush; the others are in memory.
    ByPiece,
    /// Never; all of it is in memory.
    Never,
}

/// Records and files, which outlive those who hold them.
#[derive(Default)]
pub(crate) struct Storage {
    pub(crate) records: Records,
    pub(crate) files: Vec<Vec<u8>>,
    pub(crate) parked: Option<(usize, Box<Parked>)>,
    pub(crate) keeping: Keeping,
    pub(crate) flushes: u64,
    pub(crate) closed: usize,
    /// Finished files that were removed.
    pub(crate) removed: usize,
    /// What is reopened turns out to be stored.
    pub(crate) was_closed: bool,
    /// The file of each writer.
    writers: BTreeMap<EntryId, usize>,
}

impl Storage {
    pub(crate) fn keeping(keeping: Keeping) -> Self {
        Self {
            keeping,
            ..Self::default()
        }
    }

    /// Is the writers, which answer at once.
    pub(crate) fn write(&mut self, entry: EntryId, order: Order) -> Option<WriterEvent> {
        match order {
            Order::Open => {
                let number = self.files.len();
                self.files.push(Vec::new());
                self.writers.insert(entry, number);
                let checkpoint = Some(Value::from(number));
                Some(WriterEvent::Opened { checkpoint })
            }
            Order::Reopen { checkpoint, .. } => {
                if let Some((number, parked)) = self.parked.take() {
                    self.writers.insert(entry, number);
                    return Some(WriterEvent::Unparked(parked));
                }
                if self.was_closed {
                    let result = json!("stored");
                    return Some(WriterEvent::ClosedBefore { result });
                }
                let number = checkpoint.and_then(|value| value.as_u64())? as usize;
                self.writers.insert(entry, number);
                let checkpoint = CheckpointChange::Same;
                Some(WriterEvent::Reopened { checkpoint })
            }
            Order::Write(data) => {
                self.files[self.writers[&entry]].extend_from_slice(&data);
                let durable = match self.keeping {
                    Keeping::AtOnce => u64::MAX,
                    Keeping::OnFlush | Keeping::Never => 0,
                    Keeping::ByPiece => self.flushes,
                };
                Some(self.wrote(entry, durable))
            }
            Order::Flush => {
                self.flushes += 1;
                let durable = match self.keeping {
                    Keeping::AtOnce | Keeping::OnFlush => u64::MAX,
                    Keeping::ByPiece => self.flushes,
                    Keeping::Never => 0,
                };
                Some(self.wrote(entry, durable))
            }
            Order::Close => {
                self.closed += 1;
                let result = json!("stored");
                Some(WriterEvent::Closed { result })
            }
            Order::Abort(_) => {
                if let Some(number) = self.writers.get(&entry) {
                    self.files[*number].clear();
                }
                None
            }
            Order::Park { parked, .. } => {
                self.parked = Some((self.writers[&entry], parked));
                None
            }
            Order::Halt | Order::Release | Order::Remove(_) => None,
        }
    }

    fn wrote(&self, entry: EntryId, durable: u64) -> WriterEvent {
        let received = self.files[self.writers[&entry]].len() as u64;
        let durable = durable.min(received);
        let buffered = match self.keeping {
            Keeping::AtOnce | Keeping::OnFlush => 0,
            Keeping::ByPiece | Keeping::Never => received - durable,
        };
        WriterEvent::Wrote {
            received,
            durable,
            buffered,
            checkpoint: CheckpointChange::Same,
        }
    }
}

//! The writers of the small host: a file each, in memory.

use serde_json::{Value, json};

use crate::{CheckpointChange, Door, EntryId, Now, Order, WriterEvent};

use super::{ConnectionId, File, InMemory};

impl InMemory {
    /// Is the writers: a file each, whose bytes are durable at once.
    pub(super) fn order(&mut self, id: ConnectionId, entry: EntryId, order: Order, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let writer = connection.writers.get(&entry).copied();
        let event = match order {
            Order::Open => {
                let number = self.files.len();
                self.files.push(File::default());
                connection.writers.insert(entry, number);
                let checkpoint = Some(Value::from(number));
                Some(WriterEvent::Opened { checkpoint })
            }
            Order::Reopen {
                fence,
                checkpoint,
                offset,
                ..
            } => {
                let upload = connection.session.entry(entry).map(|entry| entry.upload);
                let parked = upload.and_then(|upload| self.parked.remove(&upload));
                match parked.filter(|(_, parked)| parked.fence == fence) {
                    Some((number, parked)) => {
                        connection.writers.insert(entry, number);
                        Some(WriterEvent::Unparked(parked))
                    }
                    None => Some(self.reopen(id, entry, checkpoint.as_ref(), offset)),
                }
            }
            // Flushing has nothing to do.
            Order::Write(_) | Order::Flush => self.file(writer).map(|file| {
                if let Order::Write(data) = order {
                    file.bytes.extend_from_slice(&data);
                }
                let taken = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
                WriterEvent::Wrote {
                    received: taken,
                    durable: taken,
                    buffered: 0,
                    checkpoint: CheckpointChange::Same,
                }
            }),
            Order::Close => self.file(writer).map(|file| {
                file.is_published = true;
                WriterEvent::Closed {
                    result: json!({ "size": file.bytes.len() }),
                }
            }),
            Order::Halt => None,
            Order::Abort(_) => {
                if let Some(file) = self.file(writer) {
                    *file = File {
                        is_removed: true,
                        ..File::default()
                    };
                }
                self.forget(id, entry);
                None
            }
            Order::Release => {
                self.forget(id, entry);
                None
            }
            Order::Remove(_) => {
                if let Some(file) = self.file(writer) {
                    *file = File {
                        is_removed: true,
                        ..File::default()
                    };
                }
                self.forget(id, entry);
                None
            }
            Order::Park { upload, parked } => {
                if let Some(number) = writer {
                    self.parked.insert(upload, (number, parked));
                }
                self.forget(id, entry);
                None
            }
        };
        if let Some(event) = event {
            self.feed(id, |session| session.handle_writer(entry, event, now));
        }
    }

    fn reopen(
        &mut self,
        id: ConnectionId,
        entry: EntryId,
        checkpoint: Option<&Value>,
        offset: u64,
    ) -> WriterEvent {
        let number = checkpoint.and_then(Value::as_u64);
        let number = number.and_then(|number| usize::try_from(number).ok());
        let Some(file) = self.file(number) else {
            return WriterEvent::Gone;
        };
        if file.is_removed {
            return WriterEvent::Gone;
        }
        if file.is_published {
            let result = json!({ "size": file.bytes.len() });
            return WriterEvent::ClosedBefore { result };
        }
        file.bytes
            .truncate(usize::try_from(offset).unwrap_or(usize::MAX));
        if let (Some(connection), Some(number)) = (self.connections.get_mut(&id), number) {
            connection.writers.insert(entry, number);
        }
        WriterEvent::Reopened {
            checkpoint: CheckpointChange::Same,
        }
    }

    fn file(&mut self, number: Option<usize>) -> Option<&mut File> {
        self.files.get_mut(number?)
    }

    fn forget(&mut self, id: ConnectionId, entry: EntryId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.writers.remove(&entry);
        }
    }
}

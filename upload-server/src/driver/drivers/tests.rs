//! Drivers with a writer that notes its calls and can be held up.

mod checkpoints;
mod openings;

use std::{
    sync::{Arc, atomic::Ordering},
    task::Waker,
};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Semaphore;
use upload_core::StorageFault;
use upload_proto::UploadRef;
use upload_writers::{
    AbortReason as WritersReason, BoxWriter, Buffered, Checkpoint, Orphan, Recorded,
    RecordingWriterFactory, Reopened, SweepPolicy, UploadFacts, UploadWriter, WriteError,
    WriterFactory, WriterTraits, Written,
};

use super::*;
use crate::test_support::gated_writer::{GatedWriters, Hold};

const ENTRY: EntryId = EntryId(1);

/// The writers of upload `u`, whose writes wait for a permit, or panic.
struct Gate {
    writers: GatedWriters,
    hold: Hold,
}

impl Gate {
    fn new(recorded: RecordingWriterFactory, permits: usize) -> Self {
        let writers = GatedWriters::new(recorded);
        let hold = writers.hold_up("u");
        hold.permits.add_permits(permits);
        Self { writers, hold }
    }

    fn open() -> Self {
        Self::new(RecordingWriterFactory::new(), 1000)
    }

    fn storage(&self, resumable: bool) -> Storage {
        storage(Arc::new(self.writers.clone()), resumable)
    }

    fn calls(&self) -> Vec<Recorded> {
        self.writers.recorded.calls("u")
    }
}

fn storage(factory: Arc<dyn WriterFactory>, resumable: bool) -> Storage {
    Storage {
        factory,
        facts: facts(resumable),
        label: UploadLabel {
            upload: UploadRef::from_bytes([7; 16]),
            slot: "slot".into(),
            resumable,
        },
    }
}

fn facts(resumable: bool) -> UploadFacts {
    let mut facts = UploadFacts::new("u", "slot", 100);
    facts.resumable = resumable;
    facts
}

/// Polls until nothing more comes, and writes down what came.
fn drive(drivers: &mut Drivers) -> Vec<String> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut reports = Vec::new();
    while let Poll::Ready(report) = drivers.poll(&mut cx) {
        reports.push(match report {
            DriverEvent::Event {
                event:
                    WriterEvent::Wrote {
                        received, durable, ..
                    },
                ..
            } => format!("wrote {received} {durable}"),
            DriverEvent::Event { event, .. } => format!("{event:?}"),
            DriverEvent::Parked { .. } => "parked".to_owned(),
            DriverEvent::Rested { .. } => "rested".to_owned(),
        });
    }
    reports
}

fn chunk(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

const OPENED: &str = "Opened { checkpoint: None }";

#[test]
fn a_quick_writer_is_done_in_the_poll_that_starts_it() {
    let gate = Gate::open();
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, gate.storage(false));
    drivers.write(ENTRY, chunk("abc"));
    drivers.write(ENTRY, chunk("de"));
    drivers.close(ENTRY);
    assert_eq!(
        drive(&mut drivers),
        [
            OPENED,
            "wrote 5 5",
            "Closed { result: Object {\"object\": Number(1), \"size\": Number(5)} }",
            "rested"
        ]
    );
    assert_eq!(
        gate.calls(),
        [
            Recorded::Create,
            Recorded::Write(vec![chunk("abc"), chunk("de")]),
            Recorded::Close
        ]
    );
    assert!(drivers.are_at_rest() && !drivers.has(ENTRY));
}

/// CREDIT-4: what arrives while one writer works is its next batch, and other
/// writers do not wait for it.
#[test]
fn a_slow_writer_gets_batches_and_holds_up_nobody() {
    let (slow, quick) = (Gate::new(RecordingWriterFactory::new(), 0), Gate::open());
    let other = EntryId(2);
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, slow.storage(false));
    drivers.open(other, quick.storage(false));
    drivers.write(ENTRY, chunk("1"));
    assert_eq!(drive(&mut drivers), [OPENED, OPENED]);
    for text in ["2", "3", "4"] {
        drivers.write(ENTRY, chunk(text));
        drivers.write(other, chunk(text));
        assert_eq!(drive(&mut drivers).len(), 1, "only the quick one wrote");
    }
    slow.hold.permits.add_permits(2);
    assert_eq!(drive(&mut drivers), ["wrote 1 1", "wrote 4 4"]);
    // The first as it came, the rest put together.
    let batch = vec![chunk("2"), chunk("34")];
    assert_eq!(slow.calls().last(), Some(&Recorded::Write(batch)));
}

#[test]
fn tiny_chunks_are_put_together_in_order() {
    let gate = Gate::new(RecordingWriterFactory::new(), 0);
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, gate.storage(false));
    drivers.write(ENTRY, chunk("a"));
    drive(&mut drivers);
    let large = Bytes::from(vec![b'L'; 2000]);
    let mut expected = b"a".to_vec();
    for number in 0..3000u32 {
        let tiny = Bytes::from(number.to_string());
        expected.extend_from_slice(&tiny);
        drivers.write(ENTRY, tiny);
        if number % 1000 == 7 {
            expected.extend_from_slice(&large);
            drivers.write(ENTRY, large.clone());
        }
    }
    gate.hold.permits.add_permits(2);
    drivers.close(ENTRY);
    drive(&mut drivers);
    let stored = gate.writers.recorded.read(&json!({ "object": 1 }));
    assert!(stored.expect("is stored") == expected, "differs");
    let Some(Recorded::Write(batch)) = gate.calls().get(2).cloned() else {
        panic!("{:?}", gate.calls());
    };
    assert_eq!(batch.iter().filter(|chunk| **chunk == large).count(), 3);
    assert!(batch.len() <= 8, "{} chunks", batch.len());
}

#[test]
fn an_abort_waits_for_the_running_call_and_drops_the_rest() {
    let gate = Gate::new(RecordingWriterFactory::new(), 0);
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, gate.storage(false));
    drivers.write(ENTRY, chunk("abc"));
    drive(&mut drivers);
    drivers.write(ENTRY, chunk("never written"));
    drivers.abort(ENTRY, AbortReason::Cancelled);
    assert!(drive(&mut drivers).is_empty());
    assert_eq!(drivers.orphaned_bytes(), 3, "still in memory, and counted");
    assert!(!drivers.are_at_rest());
    gate.hold.permits.add_permits(9);
    assert_eq!(drive(&mut drivers), ["wrote 3 3", "rested"]);
    assert_eq!(drivers.orphaned_bytes(), 0);
    assert_eq!(
        gate.calls().last(),
        Some(&Recorded::Abort(WritersReason::Cancelled))
    );
}

/// RESUME-4: until it is known whose the bytes are, nothing more is written and nothing undone.
#[test]
fn a_halted_writer_waits_for_its_end() {
    let gate = Gate::new(RecordingWriterFactory::new(), 0);
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, gate.storage(true));
    drivers.write(ENTRY, chunk("abc"));
    drive(&mut drivers);
    drivers.write(ENTRY, chunk("never written"));
    drivers.halt(ENTRY);
    drivers.write(ENTRY, chunk("neither"));
    assert_eq!(drivers.orphaned_bytes(), 3, "still in memory, and counted");
    gate.hold.permits.add_permits(9);
    assert_eq!(drive(&mut drivers), ["wrote 3 3"]);
    assert!(drivers.has(ENTRY));
    assert_eq!(
        gate.calls().last(),
        Some(&Recorded::Write(vec![chunk("abc")]))
    );
    drivers.release(ENTRY);
    assert_eq!(drive(&mut drivers), ["rested"]);
    assert_eq!(gate.calls().last(), Some(&Recorded::Release));
}

#[test]
fn a_release_drops_the_writer_and_keeps_what_it_stored() {
    let gate = Gate::open();
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, gate.storage(true));
    drivers.write(ENTRY, chunk("abc"));
    drive(&mut drivers);
    drivers.release(ENTRY);
    assert_eq!(drive(&mut drivers), ["rested"]);
    assert_eq!(gate.calls().last(), Some(&Recorded::Release));
    assert_eq!(gate.writers.recorded.kept(), 1);
}

#[test]
fn a_writer_that_was_never_opened_is_not_made() {
    let gate = Gate::open();
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, gate.storage(false));
    drivers.abort(ENTRY, AbortReason::SessionClosed);
    assert_eq!(drive(&mut drivers), ["rested"]);
    assert!(gate.calls().is_empty());
}

/// RESUME-2: a writer that is flushed makes durable what it can, once; what comes first makes that
/// needless.
#[test]
fn a_writer_is_flushed_when_it_is_asked_for() {
    let gate = Gate::new(RecordingWriterFactory::durable_on_flush(), 1000);
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, gate.storage(false));
    drivers.write(ENTRY, chunk("abc"));
    assert_eq!(drive(&mut drivers), [OPENED, "wrote 3 0"]);
    drivers.flush(ENTRY);
    assert_eq!(drive(&mut drivers), ["wrote 3 3"]);
    assert!(drive(&mut drivers).is_empty());
    drivers.flush(ENTRY);
    drivers.write(ENTRY, chunk("de"));
    drivers.close(ENTRY);
    let reports = drive(&mut drivers);
    assert_eq!(reports.first().map(String::as_str), Some("wrote 5 3"));
    let flushes = gate
        .calls()
        .iter()
        .filter(|call| **call == Recorded::Flush)
        .count();
    assert_eq!(flushes, 1, "closing makes durable by itself");
}

/// A flush that can be left holds up neither the next bytes nor the end of the file.
#[test]
fn what_comes_while_a_flush_runs_is_written_at_once() {
    let gate = Gate::new(RecordingWriterFactory::durable_on_flush(), 1000);
    let flushes = gate.writers.hold_up_flushes("u");
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, gate.storage(false));
    drivers.write(ENTRY, chunk("abc"));
    assert_eq!(drive(&mut drivers), [OPENED, "wrote 3 0"]);
    drivers.flush(ENTRY);
    assert!(drive(&mut drivers).is_empty());
    drivers.write(ENTRY, chunk("de"));
    assert_eq!(drive(&mut drivers), ["wrote 5 0"]);
    flushes.add_permits(1);
    drivers.flush(ENTRY);
    assert_eq!(drive(&mut drivers), ["wrote 5 5"]);
    drivers.write(ENTRY, chunk("f"));
    assert_eq!(drive(&mut drivers), ["wrote 6 5"]);
    drivers.flush(ENTRY);
    assert!(drive(&mut drivers).is_empty());
    drivers.close(ENTRY);
    let reports = drive(&mut drivers);
    assert!(reports[0].starts_with("Closed"), "{reports:?}");
}

/// Takes everything at once and keeps it until it is flushed, which waits for a permit for every
/// byte; half of what it holds lacks more.
struct Holding {
    permits: Arc<Semaphore>,
    written: Written,
}

#[async_trait]
impl UploadWriter for Holding {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        for chunk in chunks.drain(..) {
            self.written.received += chunk.len() as u64;
            if &chunk[..] == b"!" {
                std::future::pending::<()>().await;
            }
        }
        Ok(self.written)
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        self.permits.acquire().await.expect("stays open").forget();
        self.written.durable += 1;
        Ok(self.written)
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        Ok(json!({}))
    }

    async fn abort(self: Box<Self>, _: &WritersReason) {}

    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }

    fn buffered(&self) -> Buffered {
        let bytes = self.written.received - self.written.durable;
        Buffered {
            bytes,
            incomplete: bytes / 2,
            missing: bytes / 4,
        }
    }

    fn suspend(&mut self) {}
}

/// Has a holding writer in `drivers`, open, with its permits.
fn holding(drivers: &mut Drivers) -> Arc<Semaphore> {
    let permits = Arc::new(Semaphore::new(0));
    let factory = Arc::new(HoldingFactory(Arc::clone(&permits)));
    drivers.open(ENTRY, storage(factory, false));
    drive(drivers);
    permits
}

struct HoldingFactory(Arc<Semaphore>);

#[async_trait]
impl WriterFactory for HoldingFactory {
    async fn create(&self, _: &UploadFacts) -> Result<BoxWriter, WriteError> {
        Ok(Box::new(Holding {
            permits: Arc::clone(&self.0),
            written: Written::default(),
        }))
    }

    async fn reopen(
        &self,
        _: &UploadFacts,
        _: &Checkpoint,
        _: u64,
    ) -> Result<Reopened, WriteError> {
        Ok(Reopened::Gone)
    }

    fn traits(&self) -> WriterTraits {
        WriterTraits::default()
    }

    async fn delete(&self, _: &UploadFacts, _: &Value) -> Result<(), WriteError> {
        Ok(())
    }

    async fn sweep(&self, _: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        Ok(Vec::new())
    }
}

/// What a writer keeps in memory is reported with each batch, and counted until it is durable.
#[test]
fn what_a_writer_keeps_is_reported() {
    let mut drivers = Drivers::default();
    let permits = holding(&mut drivers);
    permits.add_permits(1);
    let mut cx = Context::from_waker(Waker::noop());
    let mut told = Vec::new();
    drivers.write(ENTRY, chunk("abc"));
    for _ in 0..2 {
        if let Poll::Ready(DriverEvent::Event {
            event: WriterEvent::Wrote { buffered, .. },
            ..
        }) = drivers.poll(&mut cx)
        {
            told.push((buffered, drivers.held().bytes, drivers.held().partial_bytes));
        }
        drivers.flush(ENTRY);
    }
    assert_eq!(told, [(3, 3, 1), (2, 2, 1)]);
}

/// CREDIT-4: what comes while parts are waited for does not wait for them.
#[test]
fn a_flush_is_given_up_for_more_bytes() {
    let mut drivers = Drivers::default();
    let permits = holding(&mut drivers);
    for text in ["ab", "cd"] {
        drivers.write(ENTRY, chunk(text));
        drive(&mut drivers);
        drivers.flush(ENTRY);
        assert!(drive(&mut drivers).is_empty());
        assert!(!drivers.are_at_rest(), "waits for a part");
    }
    drivers.write(ENTRY, chunk("e"));
    assert_eq!(drive(&mut drivers), ["wrote 5 0"]);
    drivers.flush(ENTRY);
    permits.add_permits(1);
    assert_eq!(drive(&mut drivers), ["wrote 5 1"]);
    drivers.close(ENTRY);
    assert_eq!(
        drive(&mut drivers),
        ["Closed { result: Object {} }", "rested"]
    );
    assert_eq!(drivers.held(), HeldBytes::default());
}

/// A write that waits for storage is given up for an abort, but for nothing else.
#[tokio::test]
async fn an_abort_does_not_wait_for_parts() {
    let mut drivers = Drivers::default();
    holding(&mut drivers);
    drivers.write(ENTRY, chunk("ab"));
    drive(&mut drivers);
    drivers.write(ENTRY, chunk("!"));
    assert!(drive(&mut drivers).is_empty());
    drivers.write(ENTRY, chunk("c"));
    assert!(drive(&mut drivers).is_empty());
    drivers.abort(ENTRY, AbortReason::Cancelled);
    assert_eq!(drive(&mut drivers), ["rested"]);
    assert!(drivers.are_at_rest());
}

#[test]
fn a_writer_that_panics_has_failed_and_is_aborted() {
    let gate = Gate::open();
    gate.hold.panics.store(true, Ordering::SeqCst);
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, gate.storage(false));
    drivers.write(ENTRY, chunk("abc"));
    assert_eq!(drive(&mut drivers), [OPENED, "Failed(Failed)"]);
    drivers.write(ENTRY, chunk("too late"));
    assert!(drive(&mut drivers).is_empty());
    drivers.abort(ENTRY, AbortReason::Storage(StorageFault::Failed));
    assert_eq!(drive(&mut drivers), ["rested"]);
    assert_eq!(gate.writers.recorded.aborts(), 1);
    assert_eq!(gate.writers.recorded.kept(), 0);
}

/// RESUME-3: a writer is reopened from its checkpoint; one that never stored
/// anything starts anew, and one that cannot be found is gone.
#[test]
fn reopening_goes_on_where_the_checkpoint_says() {
    let gate = Gate::open();
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, gate.storage(true));
    drivers.write(ENTRY, chunk("abcdef"));
    let reports = drive(&mut drivers);
    assert_eq!(reports.last().map(String::as_str), Some("wrote 6 6"));
    drivers.release(ENTRY);
    drive(&mut drivers);

    let checkpoint = Some(json!({ "object": 1 }));
    drivers.reopen(EntryId(2), gate.storage(true), checkpoint, 4);
    drivers.write(EntryId(2), chunk("XY"));
    let reports = drive(&mut drivers);
    assert!(reports[0].starts_with("Reopened"), "{reports:?}");
    assert_eq!(reports[1], "wrote 6 6");
    assert!(gate.calls().contains(&Recorded::Reopen(4)));

    drivers.reopen(EntryId(3), gate.storage(true), None, 0);
    assert!(drive(&mut drivers)[0].starts_with("Reopened"));
    drivers.reopen(EntryId(4), gate.storage(true), None, 1);
    assert_eq!(drive(&mut drivers), ["Gone", "rested"]);
}

/// While more is read a writer waits for as much as it likes, and afterwards it gets what there is.
#[test]
fn batches_are_full_while_more_is_read() {
    let gate = Gate::open();
    let mut drivers = Drivers::default();
    let mut cx = Context::from_waker(Waker::noop());
    drivers.open(ENTRY, gate.storage(false));
    assert!(drivers.poll(&mut cx).is_ready(), "opened");
    let piece = || Bytes::from(vec![7; 40 * 1024]);
    let received = |report| match report {
        Poll::Ready(DriverEvent::Event {
            event: WriterEvent::Wrote { received, .. },
            ..
        }) => Some(received),
        _ => None,
    };
    drivers.write(ENTRY, piece());
    assert!(drivers.poll_reading(&mut cx).is_pending(), "too little");
    drivers.write(ENTRY, piece());
    assert_eq!(received(drivers.poll_reading(&mut cx)), Some(80 * 1024));
    drivers.write(ENTRY, piece());
    assert!(drivers.poll_reading(&mut cx).is_pending());
    assert_eq!(received(drivers.poll(&mut cx)), Some(120 * 1024));
}

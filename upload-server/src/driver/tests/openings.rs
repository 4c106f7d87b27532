//! Many uploads that begin at once on one connection.

use std::{collections::VecDeque, sync::Mutex};

use upload_writers::BoxWriter;

use super::{super::openings::OPENINGS_MAX, *};

/// Writers of which each waits for a permit when it is opened.
#[derive(Clone)]
struct Slow {
    recorded: RecordingWriterFactory,
    permits: Arc<Semaphore>,
    begun: Arc<Mutex<usize>>,
}

struct SlowWriter {
    inner: BoxWriter,
    slow: Slow,
}

impl Slow {
    fn new() -> Self {
        Self {
            recorded: RecordingWriterFactory::new(),
            permits: Arc::new(Semaphore::new(0)),
            begun: Arc::default(),
        }
    }

    fn storage(&self, slot: &str) -> Storage {
        let mut storage = storage(Arc::new(self.clone()), false);
        storage.subject.slot = slot.into();
        storage
    }

    fn begun(&self) -> usize {
        *self.begun.lock().expect("not poisoned")
    }
}

#[async_trait]
impl WriterFactory for Slow {
    fn create(&self, facts: &UploadFacts) -> BoxWriter {
        Box::new(SlowWriter {
            inner: self.recorded.create(facts),
            slow: self.clone(),
        })
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        self.recorded.reopen(facts, checkpoint, offset).await
    }
}

#[async_trait]
impl UploadWriter for SlowWriter {
    async fn open(&mut self) -> Result<(), WriteError> {
        *self.slow.begun.lock().expect("not poisoned") += 1;
        let permit = self.slow.permits.acquire().await.expect("stays open");
        permit.forget();
        self.inner.open().await
    }

    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        self.inner.write_chunks(chunks).await
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        self.inner.flush().await
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        self.inner.close().await
    }

    async fn abort(&mut self, reason: &WritersReason) {
        self.inner.abort(reason).await;
    }
}

fn entries() -> impl Iterator<Item = EntryId> {
    (1..=100).map(EntryId)
}

/// Others' writers do not wait behind all that one connection begins, nor one slot's behind another's.
#[test]
fn a_connection_opens_so_many_writers_at_once() {
    let slow = Slow::new();
    let mut drivers = Drivers::default();
    for entry in entries() {
        drivers.open(entry, slow.storage("slow"));
        drivers.write(entry, chunk("abc"));
    }
    assert!(drive(&mut drivers).is_empty());
    assert_eq!(slow.begun(), OPENINGS_MAX);
    drivers.write(EntryId(100), chunk("d"));
    assert!(drive(&mut drivers).is_empty());
    assert_eq!(slow.begun(), OPENINGS_MAX, "it still waits");

    let other = Gate::open();
    let mut storage = other.storage(false);
    storage.subject.slot = "other".into();
    drivers.open(EntryId(101), storage);
    assert_eq!(drive(&mut drivers), [OPENED]);

    slow.permits.add_permits(3);
    assert_eq!(drive(&mut drivers).len(), 6, "three are opened and written");
    assert_eq!(slow.begun(), OPENINGS_MAX + 3);
    slow.permits.add_permits(97);
    assert_eq!(drive(&mut drivers).len(), 194);
    assert_eq!(slow.begun(), 100, "each once");
    assert!(drivers.are_at_rest());
}

/// What is left before its turn comes makes no writer, and takes nobody's turn.
#[test]
fn who_gives_up_before_its_turn_opens_nothing() {
    let slow = Slow::new();
    let mut drivers = Drivers::default();
    for entry in entries() {
        drivers.open(entry, slow.storage("slow"));
    }
    assert!(drive(&mut drivers).is_empty());
    // One that is given a turn and has not come to use it when it is aborted is among them.
    slow.permits.add_permits(1);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(drivers.poll(&mut cx).is_ready());
    for entry in entries().take(90) {
        drivers.abort(entry, AbortReason::Cancelled);
    }
    let rested = drive(&mut drivers);
    assert!(rested.iter().all(|report| report == "rested"));
    assert!(slow.begun() <= OPENINGS_MAX + 1);
    slow.permits.add_permits(100);
    drive(&mut drivers);
    let left: Vec<_> = entries().filter(|entry| drivers.has(*entry)).collect();
    assert_eq!(left, (91..=100).map(EntryId).collect::<Vec<_>>());
    assert!(slow.begun() <= OPENINGS_MAX + 11);
    assert!(drivers.are_at_rest() && drivers.openings.is_empty());
}

//! What drivers tell of the checkpoints of writers, of which some run out of room for them.

use upload_core::CheckpointChange;

use super::*;

/// Keeps everything, and tells where that is as long as it is no more than this many bytes.
struct Noting {
    written: u64,
    noted_max: u64,
}

#[async_trait]
impl UploadWriter for Noting {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        self.written += chunks.drain(..).map(|it| it.len() as u64).sum::<u64>();
        Ok(Written {
            received: self.written,
            durable: self.written,
        })
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        Err(WriteError::misuse("all is durable"))
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        Ok(json!({}))
    }

    async fn abort(self: Box<Self>, _: &WritersReason) {}

    fn checkpoint(&self) -> Option<Checkpoint> {
        let fits = self.written <= self.noted_max;
        fits.then(|| Checkpoint(json!({ "written": self.written })))
    }

    fn buffered(&self) -> Buffered {
        Buffered::default()
    }

    fn suspend(&mut self) {}
}

struct NotingFactory {
    noted_max: u64,
}

#[async_trait]
impl WriterFactory for NotingFactory {
    async fn create(&self, _: &UploadFacts) -> Result<BoxWriter, WriteError> {
        Ok(Box::new(Noting {
            written: 0,
            noted_max: self.noted_max,
        }))
    }

    async fn reopen(
        &self,
        _: &UploadFacts,
        _: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        Ok(Reopened::Open(Box::new(Noting {
            written: offset,
            noted_max: self.noted_max,
        })))
    }

    fn traits(&self) -> WriterTraits {
        WriterTraits::resumable()
    }

    async fn delete(&self, _: &UploadFacts, _: &Value) -> Result<(), WriteError> {
        Ok(())
    }

    async fn sweep(&self, _: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        Ok(Vec::new())
    }
}

fn noting(noted_max: u64) -> Storage {
    storage(Arc::new(NotingFactory { noted_max }), true)
}

/// Polls until nothing more comes, and returns what was told of checkpoints.
fn news(drivers: &mut Drivers) -> Vec<CheckpointChange> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut events = Vec::new();
    while let Poll::Ready(DriverEvent::Event { event, .. }) = drivers.poll(&mut cx) {
        events.push(match event {
            WriterEvent::Opened { checkpoint } => {
                checkpoint.map_or(CheckpointChange::Absent, CheckpointChange::New)
            }
            WriterEvent::Wrote { checkpoint, .. } | WriterEvent::Reopened { checkpoint } => {
                checkpoint
            }
            other => panic!("{other:?}"),
        });
    }
    events
}

/// RESUME-1: only uploads with a record pay for checkpoints, and only for new ones.
#[test]
fn checkpoints_are_told_when_they_change() {
    for (resumable, first) in [
        (true, CheckpointChange::New(json!({ "object": 1 }))),
        (false, CheckpointChange::Absent),
    ] {
        let gate = Gate::open();
        let mut drivers = Drivers::default();
        drivers.open(ENTRY, gate.storage(resumable));
        drivers.write(ENTRY, chunk("abc"));
        assert_eq!(news(&mut drivers), [first, CheckpointChange::Same]);
        drivers.write(ENTRY, chunk("de"));
        assert_eq!(news(&mut drivers), [CheckpointChange::Same]);
    }
}

/// RESUME-2: that a writer has none any more is news, and no news is something else.
#[test]
fn a_checkpoint_that_is_lost_is_told() {
    let noted = |written: u64| CheckpointChange::New(json!({ "written": written }));
    let mut drivers = Drivers::default();
    drivers.open(ENTRY, noting(4));
    assert_eq!(news(&mut drivers), [noted(0)]);
    for (text, events) in [
        ("abcd", noted(4)),
        ("e", CheckpointChange::Absent),
        ("f", CheckpointChange::Absent),
    ] {
        drivers.write(ENTRY, chunk(text));
        assert_eq!(news(&mut drivers), [events], "{text}");
    }
}

/// RESUME-3: also where another driver had the writer before, and only the record tells that there
/// was one.
#[test]
fn a_checkpoint_that_is_lost_over_a_return_is_told() {
    let mut drivers = Drivers::default();
    drivers.reopen(ENTRY, noting(4), Some(json!({ "written": 4 })), 4);
    assert_eq!(
        news(&mut drivers),
        [CheckpointChange::New(json!({ "written": 4 }))]
    );
    drivers.reopen(EntryId(2), noting(3), Some(json!({ "written": 4 })), 4);
    assert_eq!(news(&mut drivers), [CheckpointChange::Absent]);
}

//! Every stage against everything a driver can be told, and every call against every outcome.

use std::time::Duration;

use futures_util::FutureExt;
use upload_core::{AbortReason, StorageFault};
use upload_proto::UploadRef;
use upload_writers::{DiscardWriterFactory, UploadFacts, WriterFactory};

use super::{super::call::Storage, *};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    ToOpen,
    ToReopen,
    Running(Kind, Interruptible),
    Idle,
    FailedWithWriter,
    Failed,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Write,
    Flush,
    Halt,
    Close,
    Abort,
    Release,
}

const TOLD: [Told; 7] = [
    Told::Nothing,
    Told::Write,
    Told::Flush,
    Told::Halt,
    Told::Close,
    Told::Abort,
    Told::Release,
];

fn label() -> UploadLabel {
    UploadLabel {
        upload: UploadRef::from_bytes([7; 16]),
        slot: "slot".into(),
        resumable: true,
    }
}

fn storage() -> Box<Storage> {
    Box::new(Storage {
        factory: Arc::new(DiscardWriterFactory),
        facts: UploadFacts::new("u", "slot", 100),
        label: label(),
    })
}

fn writer() -> CheckedWriter {
    let facts = UploadFacts::new("u", "slot", 100);
    let made = DiscardWriterFactory.create(&facts).now_or_never();
    let writer = made.expect("at once").expect("made");
    CheckedWriter::new(writer, DiscardWriterFactory.traits())
}

fn driver(at: At) -> Driver {
    Driver::at(
        label(),
        match at {
            At::ToOpen => Stage::ToOpen(Start::Open(storage())),
            At::ToReopen => Stage::ToOpen(Start::Reopen {
                storage: storage(),
                checkpoint: None,
                offset: 0,
            }),
            At::Running(kind, interrupt) => Stage::Running {
                kind,
                interrupt,
                bytes: 10,
            },
            At::Idle => Stage::Idle(writer()),
            At::FailedWithWriter => Stage::Failed(Some(writer())),
            At::Failed => Stage::Failed(None),
            At::Ended => Stage::Ended,
        },
    )
}

fn tell(driver: &mut Driver, told: Told) {
    let mut free_list = FreeList::default();
    match told {
        Told::Nothing => {}
        Told::Write => driver.write(Bytes::from_static(b"bytes"), &mut free_list),
        Told::Flush => driver.flush(),
        Told::Halt => driver.halt(),
        Told::Close => driver.end(Finish::Close),
        Told::Abort => driver.end(Finish::Abort(AbortReason::Cancelled)),
        Told::Release => driver.end(Finish::Release),
    }
}

fn step(driver: &mut Driver) -> &'static str {
    if driver.running().is_some() {
        return "runs";
    }
    match driver.next() {
        Step::Run(job) => match job.task {
            Task::Open(_) => "open",
            Task::Reopen { .. } => "reopen",
            Task::Write => "write",
            Task::Flush => "flush",
            Task::Close => "close",
            Task::Abort(_) => "abort",
        },
        Step::Rest => "rest",
        Step::End(_) => "end",
    }
}

/// A writer that failed is told nothing more, and a driver that is parked needs a quiet writer, which only
/// the core can ask for.
#[test]
fn every_stage_has_a_step_for_everything_it_is_told() {
    let runs = ["runs"; 7];
    for (at, expected) in [
        (
            At::ToOpen,
            ["open", "open", "open", "open", "open", "end", "end"],
        ),
        (
            At::ToReopen,
            [
                "reopen", "reopen", "reopen", "reopen", "reopen", "reopen", "end",
            ],
        ),
        (At::Running(Kind::Opening, Interruptible::Never), runs),
        (At::Running(Kind::Writing, Interruptible::ByUndoing), runs),
        (At::Running(Kind::Flushing, Interruptible::ByAnything), runs),
        (At::Running(Kind::Ending, Interruptible::Never), runs),
        (
            At::Idle,
            ["rest", "write", "flush", "rest", "close", "abort", "end"],
        ),
        (
            At::FailedWithWriter,
            ["rest", "rest", "rest", "rest", "rest", "abort", "end"],
        ),
        (
            At::Failed,
            ["rest", "rest", "rest", "rest", "rest", "end", "end"],
        ),
        (At::Ended, ["end"; 7]),
    ] {
        for (told, expected) in TOLD.into_iter().zip(expected) {
            let mut driver = driver(at);
            if matches!(at, At::Failed | At::FailedWithWriter) {
                driver.queue = Queue::Halted;
            }
            tell(&mut driver, told);
            assert_eq!(step(&mut driver), expected, "{at:?}, {told:?}");
        }
    }
}

#[test]
fn a_call_is_given_up_for_what_makes_it_pointless() {
    for (interrupt, expected) in [
        (Interruptible::Never, [false; 7]),
        (
            Interruptible::ByUndoing,
            [false, false, false, false, false, true, true],
        ),
        (
            Interruptible::ByAnything,
            [false, true, false, false, true, true, true],
        ),
    ] {
        for (told, expected) in TOLD.into_iter().zip(expected) {
            let mut driver = driver(At::Running(Kind::Writing, interrupt));
            let notify = Arc::clone(driver.interrupt.get_or_insert_default());
            tell(&mut driver, told);
            let was_given_up = notify.notified().now_or_never().is_some();
            assert_eq!(was_given_up, expected, "{interrupt:?}, {told:?}");
            let orphaned = matches!(told, Told::Halt | Told::Abort | Told::Release);
            assert_eq!(driver.orphaned_bytes(), if orphaned { 10 } else { 0 });
        }
    }
}

#[test]
fn every_outcome_of_a_call_leads_to_a_stage() {
    type Make = fn() -> Outcome;
    let outcomes: [(Make, bool, &str); 9] = [
        (|| Outcome::Opened, true, "idle"),
        (|| Outcome::Reopened, true, "idle"),
        (|| Outcome::Wrote(Written::default()), true, "idle"),
        (|| Outcome::Interrupted, true, "idle"),
        (|| Outcome::Failed(StorageFault::Failed), true, "failed"),
        (|| Outcome::Failed(StorageFault::Failed), false, "failed"),
        (|| Outcome::ClosedBefore(Value::Null), false, "ended"),
        (|| Outcome::Gone, false, "ended"),
        (|| Outcome::Closed(Value::Null), true, "ended"),
    ];
    for (make, has_writer, expected) in outcomes {
        for kind in [Kind::Opening, Kind::Writing, Kind::Flushing, Kind::Ending] {
            let mut driver = driver(At::Running(kind, Interruptible::Never));
            let outcome = make();
            let name = format!("{kind:?}, {outcome:?}");
            let finished = driver.finish(Done {
                what: "call",
                outcome,
                trouble: None,
                took: Duration::ZERO,
                writer: has_writer.then(writer),
                batch: VecDeque::new(),
            });
            let stage = match &driver.stage {
                Stage::Idle(_) => "idle",
                Stage::Failed(_) => "failed",
                Stage::Ended => "ended",
                Stage::ToOpen(_) | Stage::Running { .. } => "neither",
            };
            assert_eq!(stage, expected, "{name}");
            let is_over = matches!(finished, Finished::Ended(_));
            assert_eq!(is_over, expected == "ended", "{name}");
        }
    }
}

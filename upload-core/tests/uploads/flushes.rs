//! When a writer is asked to make durable what it took.

use super::*;

/// How long nothing must come for bytes in memory, in milliseconds.
const PAUSE: u64 = 150;

fn visit(keeping: Keeping) -> Visit {
    Visit::new(1, Storage::keeping(keeping))
}

impl Visit {
    fn pass_to(&mut self, ms: u64) {
        self.uploads.handle_timeout(at(ms));
        self.drain();
    }

    fn durable(&self, entry: EntryId) -> u64 {
        self.uploads.position(entry).expect("it is held").durable
    }
}

/// What storage has and a crash could lose is made durable as soon as nothing more waits.
#[test]
fn a_file_is_flushed_once_its_writer_has_everything() {
    let mut visit = visit(Keeping::OnFlush);
    let entry = visit.begin(8);
    visit.append(entry, "abc");
    assert_eq!(visit.storage.flushes, 1);
    visit.append(entry, "de");
    assert_eq!(visit.storage.flushes, 2);
    visit.pass_to(40);
    visit.pass_to(100_000);
    assert_eq!((visit.storage.flushes, visit.durable(entry)), (2, 5));
}

/// RESUME-2: parts leave by themselves; only when nothing comes any more they are waited for, and then
/// until all have left.
#[test]
fn bytes_in_memory_are_flushed_when_no_more_come() {
    let mut visit = visit(Keeping::ByPiece);
    let entry = visit.begin(8);
    visit.append(entry, "abc");
    visit.pass_to(PAUSE - 1);
    assert_eq!(visit.storage.flushes, 0);
    let data = Bytes::from_static(b"d");
    visit.uploads.append(entry, 3, data, at(PAUSE - 1));
    visit.drain();
    visit.pass_to(PAUSE);
    assert_eq!(visit.storage.flushes, 4);
}

/// What a flush does not move, it would not move the next time.
#[test]
fn a_flush_that_does_not_help_is_not_repeated() {
    let mut visit = visit(Keeping::Never);
    let entry = visit.begin(8);
    visit.append(entry, "abc");
    for ms in [PAUSE, 2 * PAUSE, 100_000] {
        visit.pass_to(ms);
    }
    assert_eq!(visit.storage.flushes, 1);
    visit.append(entry, "d");
    visit.pass_to(200_000);
    assert_eq!(visit.storage.flushes, 2);
}

/// A writer that comes back to another connection is flushed there, where nothing comes for it.
#[test]
fn an_unparked_writer_is_flushed() {
    let mut first = visit(Keeping::ByPiece);
    let entry = first.begin(8);
    first.append(entry, "abc");
    first.uploads.release(entry, Why::Lost, at(0));
    first.drain();
    let mut second = Visit::new(2, first.storage);
    second.reach(Asks::Continue(Some("door".into())));
    assert_eq!(second.storage.flushes, 0);
    second.pass_to(PAUSE);
    assert_eq!(second.storage.flushes, 3);
}

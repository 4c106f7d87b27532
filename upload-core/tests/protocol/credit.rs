//! PROTOCOL 7: credit.

use std::sync::Arc;
use upload_core::Door;

use bytes::Bytes;
use upload_proto::Frame;

use crate::rig::{Mood, Rig, up};

/// CREDIT-1, CREDIT-2: credit is an absolute offset, a window ahead of what the
/// writer took, and never goes back.
#[test]
fn credit_runs_ahead_of_the_writer() {
    let mut rig = Rig::new();
    rig.register(1, "file", 100)
        .chunk(1, 0, "abcd")
        .chunk(1, 1, "efgh");
    assert_eq!(rig.snapshot().credit, 8 + 16);
    rig.session.handle_window(8);
    rig.chunk(1, 2, "ijkl").pass(200);
    assert_eq!(rig.snapshot().credit, 24, "granted stays granted");
    rig.chunk(1, 3, "mnop").chunk(1, 4, "qrst").pass(200);
    assert_eq!(rig.snapshot().credit, 20 + 8);
    rig.session.handle_window(1 << 40);
    rig.chunk(1, 5, "uvwx").chunk(1, 6, "yz01").pass(200);
    assert_eq!(
        rig.snapshot().credit,
        28 + 16,
        "never past the configured window"
    );
}

/// CREDIT-2: a window is at least two chunks and always holds what the content
/// gate waits for, however short memory is.
#[test]
fn a_short_window_stalls_nobody() {
    for (head, chunk) in [(4, 4), (32, 4), (33, 7), (8, 100)] {
        let mut rig = Rig::with(|config| {
            let slot = config.slots.get_mut("file").expect("there is one");
            let slot = Arc::make_mut(slot);
            (slot.head_bytes, slot.chunk_size) = (head, chunk);
            config.limits.window_bytes = 1;
        });
        rig.session.handle_window(1);
        rig.register(1, "file", 100);
        let chunk = chunk as usize;
        let (mut sent, mut index) = (0, 0);
        let mut credit = match &rig.messages()[..] {
            [upload_proto::ServerMessage::Registered(it)] => it.credit,
            other => panic!("{other:?}"),
        };
        assert!(credit >= 2 * chunk as u64);
        while sent < 100 {
            let length = chunk.min(100 - sent);
            if (sent + length) as u64 > credit {
                rig.pass(200);
                let next = rig.snapshot().credit;
                assert!(
                    next > credit,
                    "stalled at {sent} of head {head} chunk {chunk}"
                );
                credit = next;
                continue;
            }
            rig.chunk(1, index, &"x".repeat(length));
            (sent, index) = (sent + length, index + 1);
        }
        rig.complete(1);
        assert!(
            rig.sent()
                .last()
                .expect("an ending")
                .starts_with("1:complete 100@")
        );
    }
}

/// CREDIT-3: a client that ignores credit loses nothing; the host stops reading
/// until there is room.
#[test]
fn ignoring_credit_loses_nothing() {
    let mut rig = Rig::with(|config| config.plain = true);
    rig.room.borrow_mut().write_mood = Mood::Silent;
    rig.register(1, "file", 100);
    let mut index = 0;
    while rig.session.wants_input() {
        rig.chunk(1, index, "abcd");
        index += 1;
    }
    assert_eq!(index, 5, "one chunk past a window of four");
    assert_eq!(rig.session.buffered(), 20);
    rig.answer();
    assert!(rig.session.wants_input());
    rig.room.borrow_mut().write_mood = Mood::Works;
    while !rig.unanswered.is_empty() {
        rig.answer();
    }
    assert_eq!(rig.session.buffered(), 0);
    for index in index..25 {
        rig.chunk(1, index, "abcd");
    }
    rig.complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 100@25");
}

/// CREDIT-4: a slow writer of one upload is no other upload's business.
#[test]
fn a_slow_writer_delays_nobody_else() {
    let mut rig = Rig::wide();
    rig.room.borrow_mut().write_mood = Mood::Silent;
    rig.register(1, "file", 100);
    for index in 0..4 {
        rig.chunk(1, index, "abcd");
    }
    rig.room.borrow_mut().write_mood = Mood::Works;
    assert!(rig.session.wants_input());
    rig.register(2, "file", 8)
        .chunk(2, 0, "abcdefgh")
        .complete(2);
    assert_eq!(rig.sent().last().expect("an ending"), "2:complete 8@1");
}

/// CREDIT-3, CONN-3: while the host does not read, nobody can be idle; what was
/// idle before counts on afterwards.
#[test]
fn who_is_not_listened_to_is_not_idle() {
    let mut rig = Rig::new();
    rig.register(1, "file", 100).pass(50_000);
    rig.listen(false).pass(100_000);
    rig.listen(true).pass(9_999);
    assert!(!rig.sent().iter().any(|line| line.contains("idle")));
    rig.pass(1);
    assert_eq!(rig.sent(), ["1:error idle_timeout 0@0"]);
}

/// CREDIT-3: an upload that ended holds up nobody.
#[test]
fn an_ended_upload_holds_up_nobody() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().write_mood = Mood::Silent;
    rig.register(1, "file", 100);
    for index in 0..5 {
        rig.chunk(1, index, "abcd");
    }
    assert!(!rig.session.wants_input());
    let now = rig.now();
    rig.session.cancel(up(1), now);
    assert!(rig.session.wants_input());
    assert_eq!(rig.session.buffered(), 0);
}

/// A buffer that tells, by a count, whether anybody holds a slice of it.
struct Received(Arc<Vec<u8>>);

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// CREDIT-2: what waits for its verdict holds on to no more memory than is counted, and what
/// could be judged as it is was never copied.
#[test]
fn a_gate_keeps_no_read_buffer_alive() {
    for (length, is_kept) in [(1024, false), (8191, false), (8192, true), (65_536, true)] {
        let mut rig = Rig::with(|config| {
            let slot = config.slots.get_mut("file").expect("there is one");
            let slot = Arc::make_mut(slot);
            (slot.head_bytes, slot.chunk_size) = (8192, 65_536);
            slot.max_file_size = 100_000;
        });
        rig.room.borrow_mut().open_mood = Mood::Silent;
        rig.register(1, "file", 100_000);
        let buffer = Arc::new(vec![b'x'; length]);
        let data = Bytes::from_owner(Received(Arc::clone(&buffer)));
        let frame = Frame::Chunk {
            upload: up(1),
            index: 0,
            data,
        };
        let now = rig.now();
        rig.session.handle_frame(Ok(frame), now);
        assert_eq!(Arc::strong_count(&buffer) > 1, is_kept, "{length}");
        assert_eq!(rig.session.buffered(), length as u64);
    }
}

/// CREDIT-2, CREDIT-4: the host learns which bytes it will take without another one being read: those
/// that wait for a record or a writer, and none that wait for more of their file.
#[test]
fn what_waits_for_the_host_is_told() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.register(1, "keep", 100).chunk(1, 0, "ab");
    assert_eq!(rig.session.opening(), 2);
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.answer();
    assert_eq!((rig.session.opening(), rig.session.gated()), (0, 2));
    rig.room.borrow_mut().open_mood = Mood::Silent;
    rig.chunk(1, 1, "cdef");
    assert_eq!((rig.session.opening(), rig.session.gated()), (6, 0));
    rig.answer();
    assert_eq!((rig.session.opening(), rig.session.buffered()), (0, 0));
}

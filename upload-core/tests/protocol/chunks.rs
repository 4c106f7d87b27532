//! PROTOCOL 2 and 3: frames and chunks.

use crate::rig::{Rig, up};
use upload_core::Door;

/// FRAME-1, MSG-1: a frame that can not be read is refused; the connection and
/// its uploads go on.
#[test]
fn bad_frames_end_nothing() {
    let mut rig = Rig::new();
    rig.register(1, "file", 8).chunk(1, 0, "abcd").sent();
    let mut trailing = vec![3];
    trailing.extend_from_slice(up(1).as_bytes());
    trailing.push(0);
    for (bytes, expected) in [
        (vec![], "error bad_frame"),
        (vec![0; 17], "error bad_frame"),
        (vec![4; 17], "error bad_frame"),
        (vec![1; 16], "error bad_frame"),
        (trailing, "error bad_frame 1"),
    ] {
        assert_eq!(rig.binary(bytes).sent(), [expected]);
    }
    assert_eq!(rig.closed, None);
    rig.chunk(1, 1, "efgh").complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 8@2");
}

/// FRAME-4: the nil ref can be said and never names an upload.
#[test]
fn nil_names_nothing() {
    let mut rig = Rig::new();
    for send in [
        |rig: &mut Rig| rig.chunk(0, 0, "abcd").sent(),
        |rig: &mut Rig| rig.complete(0).sent(),
        |rig: &mut Rig| rig.cancel(0).sent(),
    ] {
        assert_eq!(send(&mut rig), ["error unknown_ref 0"]);
    }
}

/// CHUNK-1: chunks are appended in the order of their index, whatever their
/// length; WL-2: the writer gets exactly these pieces.
#[test]
fn order_comes_from_the_index() {
    let mut rig = Rig::wide();
    rig.register(1, "file", 8);
    rig.chunk(1, 0, "a")
        .chunk(1, 1, "")
        .chunk(1, 2, "bcdef")
        .chunk(1, 3, "gh");
    rig.complete(1);
    assert_eq!(rig.told(), ["open", "write abcdef", "write gh", "close"]);
    assert_eq!(rig.kept(), "abcdefgh");
}

/// CHUNK-2, RS-10: an index seen before changes neither bytes nor progress.
#[test]
fn replays_change_nothing() {
    let mut rig = Rig::new();
    rig.register(1, "file", 8).chunk(1, 0, "abcd");
    rig.told();
    rig.sent();
    rig.chunk(1, 0, "abcd").chunk(1, 0, "XXXX").chunk(1, 0, "");
    assert!(rig.told().is_empty() && rig.sent().is_empty());
    rig.chunk(1, 1, "efgh").chunk(1, 0, "abcd").complete(1);
    assert_eq!(rig.kept(), "abcdefgh");
}

/// CHUNK-3: a gap is told once and the upload stays alive.
#[test]
fn a_gap_is_told_once() {
    let mut rig = Rig::new();
    rig.register(1, "file", 12).chunk(1, 0, "abcd").sent();
    rig.chunk(1, 2, "ijkl")
        .chunk(1, 3, "mnop")
        .chunk(1, 2, "ijkl");
    let snapshot = rig.snapshot();
    assert_eq!(
        snapshot.code.expect("a code").as_str(),
        "chunk_out_of_order"
    );
    assert_eq!((snapshot.bytes_received, snapshot.next_index), (4, 1));
    rig.chunk(1, 1, "efgh").sent();
    rig.chunk(1, 5, "mnop");
    assert_eq!(
        rig.sent(),
        ["1:uploading chunk_out_of_order 8@2"],
        "a new gap"
    );
    rig.chunk(1, 2, "ijkl").complete(1);
    assert_eq!(rig.kept(), "abcdefghijkl");
}

/// CHUNK-3: a plain client would never go back, so a gap ends its upload.
/// PC-4 (the reference puts chunks into the order of their index) is overridden.
#[test]
fn a_gap_ends_a_plain_upload() {
    let mut rig = Rig::with(|config| config.plain = true);
    rig.register(1, "file", 12).chunk(1, 0, "abcd").sent();
    rig.told();
    assert_eq!(
        rig.chunk(1, 2, "ijkl").sent(),
        ["1:error chunk_out_of_order 4@1"]
    );
    assert_eq!(rig.told(), ["abort Cancelled"]);
    assert!(rig.chunk(1, 1, "efgh").sent().is_empty());
}

/// CHUNK-5, PC-6, PC-7, WL-9: nothing past the declared size reaches a writer;
/// there is no tolerance.
#[test]
fn excess_ends_the_upload() {
    for (sizes, kept) in [
        (&["12345", "678901"][..], "write 12345"),
        (&["12345678901"], ""),
    ] {
        let mut rig = Rig::wide();
        rig.register(1, "file", 10).sent();
        for (index, data) in sizes.iter().enumerate() {
            rig.chunk(1, u32::try_from(index).expect("few"), data);
        }
        let snapshot = rig.snapshot();
        assert_eq!(snapshot.code.expect("a code").as_str(), "size_exceeded");
        let told = rig.told();
        if kept.is_empty() {
            assert!(told.is_empty(), "no writer was opened: {told:?}");
        } else {
            assert_eq!(told, ["open", kept, "abort SizeLimit(10)"]);
        }
    }
}

/// CHUNK-5: one byte too many is too many, also behind a whole file.
#[test]
fn one_byte_too_many() {
    let mut rig = Rig::new();
    rig.register(1, "file", 4).chunk(1, 0, "abcd").sent();
    rig.told();
    assert_eq!(rig.chunk(1, 1, "e").sent(), ["1:error size_exceeded 4@1"]);
    assert_eq!(rig.told(), ["abort SizeLimit(4)"]);
}

/// CHUNK-6, PC-13: a frame for an unknown ref is answered and makes nothing.
#[test]
fn unknown_refs_allocate_nothing() {
    let mut rig = Rig::new();
    for n in 1..=200 {
        assert_eq!(
            rig.chunk(n, 0, "abcd").sent(),
            [format!("error unknown_ref {n}")]
        );
    }
    assert_eq!(rig.session.entries().count(), 0);
    assert!(rig.told().is_empty());
}

/// CHUNK-7, WL-10: frames after an ending touch no writer, are not answered,
/// and abort happened once.
#[test]
fn late_frames_are_dropped() {
    let mut rig = Rig::new();
    rig.register(1, "file", 8).chunk(1, 0, "abcd").cancel(1);
    assert_eq!(rig.told(), ["open", "write abcd", "abort Cancelled"]);
    rig.sent();
    rig.chunk(1, 1, "efgh").chunk(1, 0, "abcd").chunk(1, 9, "");
    assert!(rig.sent().is_empty() && rig.told().is_empty());
}

/// CHUNK-7: also after the server let go of it.
#[test]
fn late_frames_after_a_detach_are_dropped() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8)
        .chunk(1, 0, "abcd")
        .evict(1)
        .sent();
    rig.told();
    rig.chunk(1, 1, "efgh");
    assert!(rig.sent().is_empty() && rig.told().is_empty());
}

/// CHUNK-8: a chunk longer than the slot's is a bad frame, and its upload continues.
#[test]
fn chunk_8_a_chunk_that_is_too_long_is_a_bad_frame() {
    let mut rig = Rig::new();
    rig.register(1, "file", 8).sent();
    assert_eq!(rig.chunk(1, 0, "abcde").sent(), ["error bad_frame 1"]);
    assert!(rig.told().is_empty());
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
    assert_eq!(rig.sent().pop().expect("it"), "1:complete 8@2");
    assert_eq!(rig.kept(), "abcdefgh");
}

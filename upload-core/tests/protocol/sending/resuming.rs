//! PROTOCOL 8: what a sender does with the answer to its resume.

use super::*;

/// RESUME-6: an answer to a read of an earlier connection is not an answer to one of this.
#[test]
fn resume_6_a_read_of_the_past_answers_nothing() {
    let now = start();
    let mut sender = resuming(now);
    sender.handle_message(&resumed(4), now);
    let old = drain_reads(&mut sender, &[(0, 4)]);
    sender.handle_disconnected(now);
    sender.handle_connected(now);
    drain(&mut sender);
    sender.handle_message(&resumed(8), now);
    let new = drain_reads(&mut sender, &[(0, 8)]);
    sender.handle_data(old[0], Bytes::from_static(&FILE[..4]), now);
    assert_eq!(drain(&mut sender), []);
    sender.handle_data(new[0], Bytes::from_static(&FILE[..8]), now);
    let reads = drain_reads(&mut sender, &[(8, 4), (12, 4)]);
    // More than a chunk is no chunk.
    sender.handle_data(reads[0], Bytes::from_static(&FILE[8..]), now);
    assert_eq!(drain(&mut sender), [chunk(2)]);
}

/// RESUME-6: a file that shrank is another file.
#[test]
fn resume_6_a_short_read_ends_it() {
    let now = start();
    let mut sender = resuming(now);
    sender.handle_message(&resumed(8), now);
    let reads = drain_reads(&mut sender, &[(0, 8)]);
    sender.handle_data(reads[0], Bytes::from_static(&FILE[..4]), now);
    assert_eq!(sender.outcome(), Some(&Outcome::FileChanged));
    assert_eq!(drain(&mut sender), [cancel(up(1))]);
}

/// COMPLETE-4: the receipt of an earlier run counts only if the file is what was stored then.
#[test]
fn complete_4_a_receipt_of_an_earlier_run_is_compared() {
    let now = start();
    for (stored, size) in [(FILE, 16), (b"another file, 16", 16), (FILE, 8)] {
        let mut sender = resuming(now);
        let answer = Resumed {
            status: ResumeStatus::Complete,
            ..resumed_at(size)
        };
        sender.handle_message(&ServerMessage::Resumed(answer), now);
        if size != 16 {
            assert_eq!(drain(&mut sender), [SenderOutput::NeedRef]);
            continue;
        }
        let crc32c = crc32c::crc32c(stored);
        let mut receipt = snapshot(up(1), Status::Complete);
        receipt.crc32c = Some(crc32c_hex(crc32c));
        sender.handle_message(&progress(receipt), now);
        assert_eq!(sender.outcome(), None);
        let others = feed(&mut sender, FILE, now);
        if stored == FILE {
            assert!(matches!(sender.outcome(), Some(Outcome::Complete { .. })));
            assert_eq!(others, []);
        } else {
            assert_eq!(others, [SenderOutput::NeedRef], "what is stored stays");
        }
    }
}

/// COMPLETE-4: a file that shrank since is another one, and what is stored stays.
#[test]
fn complete_4_a_stored_file_is_not_cancelled() {
    let now = start();
    let mut sender = resuming(now);
    let answer = Resumed {
        status: ResumeStatus::Complete,
        ..resumed_at(16)
    };
    sender.handle_message(&ServerMessage::Resumed(answer), now);
    let mut receipt = snapshot(up(1), Status::Complete);
    receipt.crc32c = Some(crc32c_hex(crc32c::crc32c(FILE)));
    sender.handle_message(&progress(receipt), now);
    let reads = drain_reads(&mut sender, &[(0, 16)]);
    sender.handle_data(reads[0], Bytes::from_static(&FILE[..4]), now);
    assert_eq!(sender.outcome(), Some(&Outcome::FileChanged));
    assert_eq!(drain(&mut sender), []);
}

/// since it holds a place in the slot that the new one needs.
#[test]
fn resume_6_another_prefix_cancels_and_begins_anew() {
    let now = start();
    let mut sender = resuming(now);
    sender.handle_message(&resumed(8), now);
    let reads = drain_reads(&mut sender, &[(0, 8)]);
    sender.handle_data(reads[0], Bytes::from_static(b"ABCDEFGH"), now);
    assert_eq!(drain(&mut sender), [cancel(up(1)), SenderOutput::NeedRef]);
    // The answer to the cancel is not about the upload that begins anew.
    sender.handle_message(&progress(snapshot(up(1), Status::Cancelled)), now);
    sender.handle_ref(up(2), now);
    let asked = drain(&mut sender);
    let [SenderOutput::Message(ClientMessage::Register(register))] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(register.upload, up(2));
}

/// RESUME-6: an upload of more bytes than the file has is another file's.
#[test]
fn resume_6_a_longer_prefix_cancels_and_begins_anew() {
    let now = start();
    let mut sender = resuming(now);
    sender.handle_message(&resumed(17), now);
    assert_eq!(drain(&mut sender), [cancel(up(1)), SenderOutput::NeedRef]);
}

/// RESUME-6: a checksum that cannot be read is not the same as none.
#[test]
fn resume_6_an_unreadable_checksum_is_an_error() {
    let now = start();
    let unreadable = Some(&Outcome::ProtocolViolation(Violation::UnreadableChecksum));
    let mut sender = resuming(now);
    let answer = Resumed {
        crc32c: Some("c0ffee".into()),
        ..resumed_at(8)
    };
    sender.handle_message(&ServerMessage::Resumed(answer), now);
    assert_eq!(sender.outcome(), unreadable);
    assert_eq!(drain(&mut sender), []);

    let mut sender = registered(now);
    feed(&mut sender, FILE, now);
    let mut receipt = snapshot(up(1), Status::Complete);
    receipt.crc32c = Some(String::new());
    sender.handle_message(&progress(receipt), now);
    assert_eq!(sender.outcome(), unreadable);
}

/// RESUME-3a: the late word of a detaching does not make it ask for ever.
#[test]
fn resume_3a_a_second_word_of_detaching() {
    let now = start();
    let mut sender = resuming(now);
    let mut detached = snapshot(up(1), Status::Uploading).with_code(Code::StorageFull);
    detached.detached = Some(true);
    detached.retry_after_ms = Some(5_000);
    sender.handle_message(&progress(detached), now);
    sender.handle_message(&resumed(8), now);
    drain_reads(&mut sender, &[(0, 8)]);
}

/// CHUNK-6: what is said about a frame that went out before a resume does not end the resume.
#[test]
fn chunk_6_an_unknown_ref_of_before_costs_nothing() {
    let now = start();
    let mut sender = resuming(now);
    let late = ErrorMessage::new(Code::UnknownRef, Some(up(1)));
    sender.handle_message(&ServerMessage::Error(late), now);
    sender.handle_message(&resumed(8), now);
    drain_reads(&mut sender, &[(0, 8)]);
}

/// A fresh ref that was asked for is asked for until it comes, also when the connection breaks.
#[test]
fn resume_6_a_lost_connection_does_not_bring_the_old_ref_back() {
    let now = start();
    let mut sender = resuming(now);
    sender.handle_message(
        &ServerMessage::Resumed(Resumed {
            status: ResumeStatus::NotFound,
            ..resumed_at(0)
        }),
        now,
    );
    sender.handle_disconnected(now);
    sender.handle_connected(now);
    assert_eq!(drain(&mut sender), [SenderOutput::NeedRef]);
    sender.handle_ref(up(2), now);
    let asked = drain(&mut sender);
    let [SenderOutput::Message(ClientMessage::Register(register))] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(register.upload, up(2));
}

/// CTRL-4: a registration whose answer was lost is resumed, not made again.
#[test]
fn ctrl_4_a_lost_answer_is_asked_for() {
    let now = start();
    let mut sender = connected(facts(false), now);
    sender.handle_disconnected(now);
    let later = after(now, Duration::from_secs(60));
    sender.handle_timeout(later);
    assert_eq!(drain(&mut sender), [SenderOutput::Connect]);
    sender.handle_connected(later);
    let asked = drain(&mut sender);
    let [SenderOutput::Message(ClientMessage::Resume(resume))] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(resume.upload, up(1));
}

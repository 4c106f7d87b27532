//! PROTOCOL 3, 4 and 6: chunks, completion and retries of a sender.

use super::*;

/// CHUNK-1: reads may be answered in any order; chunks go out in the order of the file.
#[test]
fn chunk_1_reads_answered_out_of_order_are_sent_in_order() {
    let now = start();
    let mut sender = registered(now);
    let reads = drain_reads(&mut sender, &[(0, 4), (4, 4), (8, 4), (12, 4)]);
    for (place, expected) in [(1, vec![]), (3, vec![]), (0, vec![chunk(0), chunk(1)])] {
        let from = place * 4;
        let data = Bytes::from_static(&FILE[from..from + 4]);
        sender.handle_data(reads[place], data, now);
        assert_eq!(drain(&mut sender), expected, "after read {place}");
    }
    sender.handle_data(reads[2], Bytes::from_static(&FILE[8..12]), now);
    let sent = feed(&mut sender, FILE, now);
    let complete = SenderOutput::Frame(Frame::Complete {
        upload: up(1),
        crc32c: Some(crc32c::crc32c(FILE)),
    });
    assert_eq!(sent, [chunk(2), chunk(3), complete]);
}

/// COMPLETE-2: nothing is completed before the host says that the file did not change.
#[test]
fn complete_2_a_file_that_changed_is_cancelled() {
    let now = start();
    for check in [FileCheck::Unchanged, FileCheck::Changed] {
        let mut sender = registered(now);
        for read in drain_reads(&mut sender, &[(0, 4), (4, 4), (8, 4), (12, 4)]) {
            let from = read.0 as usize * 4;
            sender.handle_data(read, Bytes::from_static(&FILE[from..from + 4]), now);
        }
        let mut sent = drain(&mut sender);
        let Some(SenderOutput::CheckFile { id }) = sent.pop() else {
            panic!("{sent:?}");
        };
        assert_eq!(sent, [chunk(0), chunk(1), chunk(2), chunk(3)]);
        assert_eq!(sender.progress().phase, SenderPhase::Checking);
        // An answer to another check means nothing.
        sender.handle_checked(ReadId(id.0 + 1), FileCheck::Unchanged, now);
        assert_eq!(drain(&mut sender), []);
        sender.handle_checked(id, check, now);
        let (last, outcome) = match check {
            FileCheck::Unchanged => (
                SenderOutput::Frame(Frame::Complete {
                    upload: up(1),
                    crc32c: Some(crc32c::crc32c(FILE)),
                }),
                None,
            ),
            FileCheck::Changed => (cancel(up(1)), Some(&Outcome::FileChanged)),
        };
        assert_eq!(drain(&mut sender), [last]);
        assert_eq!(sender.outcome(), outcome);
    }
}

/// COMPLETE-5: an empty file is checked as well before it is completed.
#[test]
fn complete_5_an_empty_file_is_checked() {
    let now = start();
    let facts = FileFacts {
        size: 0,
        ..facts(false)
    };
    let mut sender = connected(facts, now);
    sender.handle_message(&registration(up(1)), now);
    let asked = drain(&mut sender);
    let [SenderOutput::CheckFile { id }] = asked[..] else {
        panic!("{asked:?}");
    };
    sender.handle_checked(id, FileCheck::Changed, now);
    assert_eq!(sender.outcome(), Some(&Outcome::FileChanged));
}

/// RESUME-6: not a byte is sent after a prefix that differs; the old upload is cancelled first,
/// MSG-3: a file whose checksum never matches is not sent for ever, although each time there is
/// progress.
#[test]
fn msg_3_restarts_are_bounded() {
    let now = start();
    let mut sender = registered(now);
    let mut restarts = 0;
    for number in 2..100 {
        feed(&mut sender, FILE, now);
        let mut told = snapshot(sender.upload(), Status::Uploading);
        told.bytes_received = 16;
        sender.handle_message(&progress(told), now);
        let failed = snapshot(sender.upload(), Status::Error).with_code(Code::ChecksumMismatch);
        sender.handle_message(&progress(failed), now);
        if sender.outcome().is_some() {
            break;
        }
        assert_eq!(drain(&mut sender), [SenderOutput::NeedRef]);
        restarts += 1;
        sender.handle_ref(up(number), now);
        drain(&mut sender);
        sender.handle_message(&registration(up(number)), now);
    }
    assert_eq!(restarts, SenderConfig::default().restarts_max);
    let Some(Outcome::Refused { code, .. }) = sender.outcome() else {
        panic!("{:?}", sender.outcome());
    };
    assert_eq!(*code, Code::ChecksumMismatch);
}

/// COMPLETE-3: a receipt about other bytes is not the file's; the file is sent under another ref.
#[test]
fn complete_3_a_receipt_of_another_file_begins_anew() {
    let now = start();
    let mut sender = registered(now);
    feed(&mut sender, FILE, now);
    let mut receipt = snapshot(up(1), Status::Complete);
    receipt.crc32c = Some(crc32c_hex(crc32c::crc32c(FILE) ^ 1));
    sender.handle_message(&progress(receipt.clone()), now);
    assert_eq!(drain(&mut sender), [SenderOutput::NeedRef]);

    let mut sender = registered(now);
    feed(&mut sender, FILE, now);
    receipt.crc32c = Some(crc32c_hex(crc32c::crc32c(FILE)));
    sender.handle_message(&progress(receipt), now);
    assert!(matches!(sender.outcome(), Some(Outcome::Complete { .. })));
}

/// A sender that completed its file, lost its connection, and asked for what it knows over the next one.
fn lost_while_completing(now: Now) -> (Sender, Now) {
    let mut sender = registered(now);
    feed(&mut sender, FILE, now);
    assert_eq!(sender.progress().phase, SenderPhase::Completing);
    sender.handle_disconnected(now);
    let later = after(now, Duration::from_secs(60));
    sender.handle_timeout(later);
    sender.handle_connected(later);
    assert_resumes(&drain(&mut sender));
    (sender, later)
}

fn assert_resumes(asked: &[SenderOutput]) {
    let [SenderOutput::Message(ClientMessage::Resume(resume))] = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(resume.upload, up(1));
}

fn assert_registers(asked: &[SenderOutput]) {
    let [SenderOutput::Message(ClientMessage::Register(register))] = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(register.upload, up(1));
}

/// Answers the resume, and the registration after it, as a server does that is storing the file.
fn is_being_stored(sender: &mut Sender, now: Now) {
    sender.handle_message(&not_found(), now);
    assert_registers(&drain(sender));
    sender.handle_message(&in_use(), now);
}

fn in_use() -> ServerMessage {
    ServerMessage::Error(ErrorMessage::new(Code::RefInUse, Some(up(1))))
}

fn not_found() -> ServerMessage {
    ServerMessage::Resumed(Resumed {
        status: ResumeStatus::NotFound,
        ..resumed_at(0)
    })
}

fn receipt_of_the_file() -> ServerMessage {
    let mut receipt = snapshot(up(1), Status::Complete);
    receipt.crc32c = Some(crc32c_hex(crc32c::crc32c(FILE)));
    progress(receipt)
}

/// COMPLETE-4: while its server stores the file without a record, the ref is in use and is asked for again.
#[test]
fn complete_4_a_file_that_is_being_stored_is_not_sent_again() {
    let (mut sender, mut now) = lost_while_completing(start());
    for _ in 0..3 {
        is_being_stored(&mut sender, now);
        assert_eq!(drain(&mut sender), []);
        now = after(now, Duration::from_secs(60));
        sender.handle_timeout(now);
        assert_resumes(&drain(&mut sender));
    }
    let complete = Resumed {
        status: ResumeStatus::Complete,
        ..resumed_at(16)
    };
    sender.handle_message(&ServerMessage::Resumed(complete), now);
    sender.handle_message(&receipt_of_the_file(), now);
    assert_eq!(feed(&mut sender, FILE, now), [], "it is read and compared");
    assert!(matches!(sender.outcome(), Some(Outcome::Complete { .. })));
}

/// COMPLETE-4: a file that its server did not store is sent again, under the same ref.
#[test]
fn complete_4_a_file_that_was_not_stored_is_sent_again() {
    let (mut sender, mut now) = lost_while_completing(start());
    is_being_stored(&mut sender, now);
    now = after(now, Duration::from_secs(60));
    sender.handle_timeout(now);
    assert_resumes(&drain(&mut sender));
    sender.handle_message(&not_found(), now);
    assert_registers(&drain(&mut sender));
    sender.handle_message(&registration(up(1)), now);
    let complete = SenderOutput::Frame(Frame::Complete {
        upload: up(1),
        crc32c: Some(crc32c::crc32c(FILE)),
    });
    let sent = feed(&mut sender, FILE, now);
    assert_eq!(sent, [chunk(0), chunk(1), chunk(2), chunk(3), complete]);
}

/// COMPLETE-4: a ref that stays in use is asked for a bounded number of times, over more than a minute.
#[test]
fn complete_4_a_ref_that_stays_in_use_is_given_up() {
    let (mut sender, begun) = lost_while_completing(start());
    let (mut now, mut asked) = (begun, 0);
    loop {
        sender.handle_message(&not_found(), now);
        let answer = drain(&mut sender);
        if answer == [SenderOutput::NeedRef] {
            break;
        }
        assert_registers(&answer);
        sender.handle_message(&in_use(), now);
        asked += 1;
        let wakes = sender.poll_timeout().expect("it waits");
        now = after(now, wakes.saturating_duration_since(now.instant));
        sender.handle_timeout(now);
        assert_resumes(&drain(&mut sender));
    }
    assert_eq!(asked, 10);
    let waited = now.instant.saturating_duration_since(begun.instant);
    assert!(waited > Duration::from_secs(60), "{waited:?}");
}

/// COMPLETE-4: where another node stored the file under its ref meanwhile, the receipt of that one is asked for.
#[test]
fn complete_4_a_file_that_another_node_stored_first_has_its_receipt() {
    let (mut sender, mut now) = lost_while_completing(start());
    sender.handle_message(&not_found(), now);
    assert_registers(&drain(&mut sender));
    sender.handle_message(&registration(up(1)), now);
    feed(&mut sender, FILE, now);
    let in_use = snapshot(up(1), Status::Error).with_code(Code::RefInUse);
    sender.handle_message(&progress(in_use), now);
    now = after(now, Duration::from_secs(60));
    sender.handle_timeout(now);
    assert_resumes(&drain(&mut sender));
}

/// CHUNK-3: a server that asks for what follows the end of the file is not believed.
#[test]
fn chunk_3_nothing_follows_the_end() {
    let now = start();
    for (received, next_index) in [(17, 4), (8, 1 << 40)] {
        let mut sender = registered(now);
        let mut back = snapshot(up(1), Status::Uploading).with_code(Code::ChunkOutOfOrder);
        back.retry = Some(Retry::Resend);
        (back.bytes_received, back.next_index) = (received, next_index);
        sender.handle_message(&progress(back), now);
        assert_eq!(
            sender.outcome(),
            Some(&Outcome::ProtocolViolation(Violation::PastTheEnd))
        );
    }
}

/// MSG-3: a sender that aborts says the last reason of the server.
#[test]
fn msg_3_giving_up_tells_the_last_reason() {
    let mut now = start();
    let mut sender = resuming(now);
    while sender.outcome().is_none() {
        let locked = Resumed {
            status: ResumeStatus::Locked,
            ..resumed_at(0)
        };
        sender.handle_message(&ServerMessage::Resumed(locked), now);
        now = after(now, Duration::from_secs(60));
        sender.handle_timeout(now);
        drain(&mut sender);
    }
    let code = Some(Code::Locked);
    assert_eq!(sender.outcome(), Some(&Outcome::Unreachable { code }));
}

/// MSG-3: a pause that the server wants is not a silence of the server.
#[test]
fn msg_3_a_long_pause_is_no_stall() {
    let now = start();
    let mut sender = resuming(now);
    let mut full = snapshot(up(1), Status::Uploading).with_code(Code::StorageFull);
    full.detached = Some(true);
    full.retry_after_ms = Some(600_000);
    sender.handle_message(&progress(full), now);
    let later = after(now, Duration::from_secs(600));
    assert_eq!(sender.poll_timeout(), Some(later.instant));
    sender.handle_timeout(later);
    let asked = drain(&mut sender);
    assert!(
        matches!(asked[..], [SenderOutput::Message(ClientMessage::Resume(_))]),
        "{asked:?}"
    );
}

/// COMPLETE-6: a cancel without a connection is sent with the next one, since the server would
/// keep what it has.
#[test]
fn complete_6_a_cancel_without_a_connection_is_sent_with_the_next() {
    let now = start();
    let mut sender = registered(now);
    drain(&mut sender);
    sender.handle_disconnected(now);
    sender.cancel();
    assert_eq!(sender.progress().phase, SenderPhase::Cancelling);
    let later = after(now, Duration::from_secs(1));
    sender.handle_timeout(later);
    assert_eq!(drain(&mut sender), [SenderOutput::Connect]);
    sender.handle_disconnected(later);
    let later = after(later, Duration::from_secs(1));
    sender.handle_timeout(later);
    sender.handle_connected(later);
    assert_eq!(drain(&mut sender), [cancel(up(1))]);
    assert_eq!(sender.outcome(), Some(&Outcome::Cancelled));

    // What no server heard of ends at once.
    let mut sender = Sender::new(facts(false), SenderConfig::default());
    sender.cancel();
    assert_eq!(sender.outcome(), Some(&Outcome::Cancelled));
    assert_eq!(drain(&mut sender), []);
}

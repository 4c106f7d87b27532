//! PROTOCOL 5: whom the application lets in, and how much of it.

use std::sync::Arc;

use upload_core::{Amendment, AuthorizeStage, DisconnectReason, OwnWords, Refusal, Verdict};
use upload_proto::{Code, ServerMessage};

use crate::rig::{Rig, tally};

fn registered(slot: &str) -> Rig {
    let mut rig = Rig::new();
    rig.register(1, slot, 8);
    assert_eq!(
        rig.asked(),
        Some((AuthorizeStage::Register, "a.txt".into()))
    );
    rig.authorize(Ok(())).sent();
    rig
}

/// CTRL-5: asked before an upload begins, and again before its file is stored.
#[test]
fn the_application_is_asked_twice() {
    let mut rig = registered("ask");
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh");
    assert_eq!(rig.asked(), None, "no chunk costs a question");
    rig.complete(1).sent();
    assert_eq!(
        rig.asked(),
        Some((AuthorizeStage::Complete, "a.txt".into()))
    );
    assert_eq!(rig.told(), ["open", "write abcd", "write efgh"]);
    rig.pass(200_000);
    assert_eq!(
        rig.published(),
        0,
        "there is no answer, so there is no file"
    );
    assert_eq!(
        rig.authorize(Ok(())).sent().pop().expect("an ending"),
        "1:complete 8@2"
    );
    assert_eq!(rig.published(), 1);
    assert_eq!(rig.unanswered.len(), 0, "asked once");
}

/// CTRL-5, COMPLETE-6: a right that was withdrawn meanwhile stores nothing.
#[test]
fn a_withdrawn_right_stores_nothing() {
    for slot in ["ask", "mind"] {
        let mut rig = registered(slot);
        rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
        rig.sent();
        rig.told();
        assert_eq!(
            rig.authorize(Err(Code::Forbidden)).sent(),
            ["1:error forbidden 8@2"]
        );
        assert_eq!(rig.told(), ["abort Cancelled"]);
        assert_eq!(rig.published(), 0);
        assert!(rig.room.borrow().record(1).is_none());
        assert_eq!(rig.complete(1).sent(), ["1:error forbidden 8@2"]);
    }
}

/// CTRL-5: where no one can say at present whether a file may be stored, what can be resumed leaves with all its bytes,
/// and is asked about again.
#[test]
fn ctrl_5_what_is_undecided_is_kept() {
    for is_connected in [true, false] {
        let mut rig = registered("mind");
        rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
        rig.sent();
        if !is_connected {
            rig.disconnect(DisconnectReason::Lost);
        }
        let sent = rig.undecided().sent();
        if is_connected {
            assert_eq!(sent, ["1:uploading storage_throttled detached 8@2"]);
        }
        assert_eq!(rig.published(), 0);
        let record = rig.room.borrow().record(1).expect("it is kept");
        assert_eq!((record.epoch, record.lease), (1, None));
        let mut rig = rig.next_connection(2, |_| {});
        rig.resume(1, None);
        assert_eq!(rig.authorize(Ok(())).sent(), ["1:resumed 8@2"]);
        rig.complete(1).sent();
        assert_eq!(
            rig.asked(),
            Some((AuthorizeStage::Complete, "a.txt".into()))
        );
        let sent = rig.authorize(Ok(())).sent();
        assert_eq!(sent.last().expect("an ending"), "1:complete 8@2");
        assert_eq!(rig.published(), 1);
        assert_eq!(rig.kept(), "abcdefgh");
    }
}

/// CTRL-5: the same after the process that asked is gone; what is not resumable, and what has not begun, is refused.
#[test]
fn ctrl_5_what_is_undecided_is_refused_where_it_cannot_be_resumed() {
    let mut rig = registered("mind");
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
    rig.undecided();
    let mut rig = rig.after_crash();
    rig.resume(1, None);
    assert_eq!(rig.undecided().sent(), ["error forbidden 1"]);
    rig.resume(1, None);
    assert_eq!(rig.authorize(Ok(())).sent(), ["1:resumed 8@2"]);

    let mut rig = Rig::new();
    rig.register(1, "mind", 8);
    assert_eq!(rig.undecided().sent(), ["1:error forbidden 0@0"]);

    let mut rig = registered("ask");
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
    rig.sent();
    assert_eq!(rig.undecided().sent(), ["1:error forbidden 8@2"]);
    assert_eq!(rig.published(), 0);
}

/// COMPLETE-6: an answer that comes after a cancel changes nothing.
#[test]
fn an_answer_that_comes_late() {
    let mut rig = registered("ask");
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
    rig.cancel(1).sent();
    rig.told();
    assert!(rig.authorize(Ok(())).sent().is_empty());
    assert!(rig.told().is_empty());
}

/// COMPLETE-7: a cancel takes the place of a resume that the application is asked about, whatever it answers.
#[test]
fn complete_7_no_application_refuses_a_cancel() {
    for answer in [Ok(()), Err(Code::Forbidden)] {
        let mut rig = registered("mind");
        rig.chunk(1, 0, "abcd").pass(200);
        rig.disconnect(DisconnectReason::Lost);
        let mut rig = rig.next_connection(2, |_| {});
        rig.resume(1, None);
        assert_eq!(rig.asked(), Some((AuthorizeStage::Resume, "a.txt".into())));
        assert!(rig.cancel(1).sent().is_empty());
        let sent = rig.authorize(answer).sent();
        assert_eq!(sent, ["1:cancelled cancelled 4@1"]);
        assert!(rig.room.borrow().record(1).is_none(), "it is gone");
    }
}

/// CTRL-5: who may not upload any more does not go on either, and the holder
/// is left alone until the answer.
#[test]
fn a_resume_is_asked_about() {
    let mut rig = registered("mind");
    rig.chunk(1, 0, "abcd").pass(200);
    rig.disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    for _ in 0..2 {
        rig.resume(1, None);
        assert_eq!(rig.asked(), Some((AuthorizeStage::Resume, "a.txt".into())));
        assert_eq!(
            rig.resume(1, None).sent(),
            ["1:locked 0@0"],
            "one at a time"
        );
        assert_eq!(
            rig.authorize(Err(Code::Forbidden)).sent(),
            ["error forbidden 1"]
        );
        let record = rig.room.borrow().record(1).expect("it is kept");
        assert_eq!((record.epoch, record.lease), (1, None));
    }
    rig.resume(1, None);
    assert_eq!(rig.authorize(Ok(())).sent(), ["1:resumed 4@1"]);
    rig.chunk(1, 1, "efgh").complete(1).sent();
    assert_eq!(
        rig.asked(),
        Some((AuthorizeStage::Complete, "a.txt".into()))
    );
    assert_eq!(
        rig.authorize(Ok(())).sent().pop().expect("an ending"),
        "1:complete 8@2"
    );
}

/// CTRL-5: the folder that the application chose is kept with the upload, and stays once it has begun.
#[test]
fn a_chosen_folder_outlives_a_crash() {
    let into = |folder: &str| Amendment {
        folder: Some(folder.to_owned()),
        ..Amendment::default()
    };
    let folder = |rig: &Rig| rig.room.borrow().record(1).expect("a record").folder;
    let mut rig = Rig::new();
    rig.register(1, "mind", 8).amend(into("customers/42"));
    rig.authorize(Ok(())).chunk(1, 0, "abcd").pass(200);
    assert_eq!(folder(&rig).as_deref(), Some("customers/42"));
    let mut rig = rig.after_crash();
    rig.room.borrow_mut().clock_ms += 30_000;
    rig.resume(1, None).authorize(Ok(())).pass(200);
    assert_eq!(folder(&rig).as_deref(), Some("customers/42"));
    rig.chunk(1, 1, "efgh").complete(1).amend(into("elsewhere"));
    rig.authorize(Ok(()));
    assert_eq!(folder(&rig).as_deref(), Some("customers/42"));
}

/// COMPLETE-4: a receipt is told without asking: the file is stored.
#[test]
fn a_receipt_is_not_asked_about() {
    let mut rig = registered("mind");
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
    rig.authorize(Ok(())).disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    assert_eq!(
        rig.resume(1, None).sent(),
        ["1:already complete 8@2", "1:complete 8@2"]
    );
}

/// A connection that is gone waits for the answer about a file that is all here.
#[test]
fn an_answer_outlives_the_connection() {
    let mut rig = registered("ask");
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
    rig.disconnect(DisconnectReason::Lost);
    assert!(!rig.session.is_finished());
    rig.authorize(Ok(()));
    assert!(rig.session.is_finished());
    assert_eq!(rig.published(), 1);
}

/// CTRL-3: the declared bytes of one owner, over all connections, are limited.
#[test]
fn an_owner_has_so_many_bytes() {
    let tally = tally();
    let limit = |config: &mut upload_core::SessionConfig| {
        config.tally = Arc::clone(&tally);
        config.limits.max_bytes_per_owner = Some(50);
    };
    let mut rig = Rig::with(limit);
    assert_eq!(rig.register(1, "keep", 30).sent(), ["1:registered"]);
    let mut other = rig.next_connection(2, limit);
    assert_eq!(
        other.register(2, "file", 21).sent(),
        ["2:error too_many_entries 0@0"]
    );
    assert_eq!(other.register(2, "file", 20).sent(), ["2:registered"]);
    assert_eq!(
        other.register(3, "file", 51).sent(),
        ["3:error too_large 0@0"],
        "there will never be room for it"
    );
    rig.chunk(1, 0, "abcd").evict(1).sent();
    assert_eq!(tally.bytes(), 50, "what is parked counts");
    other.cancel(2).sent();
    assert_eq!(tally.bytes(), 30);
    other.resume(1, None).sent();
    assert_eq!(tally.bytes(), 30, "it was counted before");
    other.cancel(1);
    assert_eq!(tally.bytes(), 0);
}

fn in_words() -> Refusal {
    Refusal {
        code: Code::Forbidden,
        words: Some(OwnWords {
            reason: "upgrade".into(),
            text: "Your plan has no uploads".into(),
        }),
    }
}

/// MSG-4: the application's words are sent with its refusal at every step, and again when the ending is repeated.
#[test]
fn msg_4_the_words_of_the_application_are_told() {
    let expected = (
        Some(Code::Forbidden),
        Some("upgrade".to_owned()),
        Some("Your plan has no uploads".to_owned()),
    );
    let mut rig = Rig::new();
    rig.register(1, "ask", 8).refuse_in(in_words());
    let refused = rig.snapshot();
    assert_eq!((refused.code, refused.reason, refused.error), expected);

    let mut rig = registered("ask");
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
    rig.refuse_in(in_words());
    for _ in 0..2 {
        let ended = rig.snapshot();
        assert_eq!((ended.code, ended.reason, ended.error), expected);
        rig.complete(1);
    }

    let mut rig = Rig::new();
    rig.room.borrow_mut().verdict = Some(Verdict::Refuse(in_words()));
    rig.register(1, "keep", 8)
        .chunk(1, 0, "abcd")
        .chunk(1, 1, "efgh");
    let judged = rig.snapshot();
    assert_eq!((judged.code, judged.reason, judged.error), expected);

    let mut rig = registered("mind");
    rig.chunk(1, 0, "abcd").pass(200);
    rig.disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    rig.resume(1, None).messages();
    rig.refuse_in(in_words());
    let Some(ServerMessage::Error(error)) = rig.messages().pop() else {
        panic!("an error");
    };
    let told = (Some(error.code), error.reason, Some(error.error));
    assert_eq!(told, expected);
}

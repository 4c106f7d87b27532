//! Frames and messages that are wrong, and the one answer to each.

use serde_json::{Value, json};

use super::{
    Socket,
    frames::{self, about, new_ref},
    raw_socket::registration,
    says,
};
use crate::check::{Check, Level::Must, Outcome, Stop, ensure};

const NIL: &str = "00000000-0000-0000-0000-000000000000";

pub(super) const CHECKS: &[Check<Socket>] = &[
    Check {
        rules: &["FRAME-1"],
        level: Must,
        says: "a frame of another form is answered bad_frame, and the socket stays open",
        run: frames_have_a_form,
    },
    Check {
        rules: &["FRAME-4", "CHUNK-6"],
        level: Must,
        says: "a frame about an unknown upload is answered unknown_ref, with the ref",
        run: uploads_are_known,
    },
    Check {
        rules: &["CHUNK-8"],
        level: Must,
        says: "a chunk above the slot's size is answered bad_frame, and the upload continues",
        run: chunks_have_a_size,
    },
    Check {
        rules: &["CTRL-1"],
        level: Must,
        says: "what is no message is answered bad_message, an unknown type unknown_type",
        run: messages_have_a_type,
    },
    Check {
        rules: &["CTRL-2", "MSG-1"],
        level: Must,
        says: "a size that is no integer from 0 to 2^53-1 is refused as bad_size",
        run: sizes_are_integers,
    },
    Check {
        rules: &["CTRL-2"],
        level: Must,
        says: "a ref that is no UUID is refused as bad_ref, a name that is no text as bad_name",
        run: refs_and_names_have_a_form,
    },
    Check {
        rules: &["MSG-1a"],
        level: Must,
        says: "a slot that is not there is refused as unknown_slot",
        run: slots_are_known,
    },
    Check {
        rules: &["MSG-1a"],
        level: Must,
        says: "a file larger than the slot takes is refused as too_large",
        run: files_have_a_size,
    },
];

fn frames_have_a_form(socket: &Socket) -> Outcome {
    let mut line = socket.open()?;
    let upload = new_ref();
    for frame in [
        vec![],
        vec![1],
        vec![0; 5],
        about(4, &upload, b""),
        about(1, &upload, b"123"),
        about(2, &upload, b"1"),
        about(2, &upload, b"12345"),
        about(3, &upload, b"1"),
    ] {
        line.frame(&frame)?;
        let answer = line.message()?;
        says(&answer, "type", "error")?;
        says(&answer, "code", "bad_frame")?;
    }
    line.is_open()
}

fn uploads_are_known(socket: &Socket) -> Outcome {
    let mut line = socket.open()?;
    let upload = new_ref();
    for (name, frame) in [
        (&*upload, frames::chunk(&upload, 0, b"abc")),
        (&*upload, frames::complete(&upload, None)),
        (&*upload, frames::cancel(&upload)),
        (NIL, frames::chunk(NIL, 0, b"abc")),
    ] {
        line.frame(&frame)?;
        let answer = line.message()?;
        says(&answer, "code", "unknown_ref")?;
        says(&answer, "ref", name)?;
    }
    line.is_open()
}

fn chunks_have_a_size(socket: &Socket) -> Outcome {
    let (mut line, slot) = socket.begin()?;
    let upload = new_ref();
    let long = vec![b'a'; slot.chunk_size.saturating_add(1)];
    let limit = line.configs()["limits"]["message_bytes_max"].as_u64();
    let fits = limit.is_none_or(|limit| long.len() as u64 + 21 <= limit);
    if !fits {
        // The slot has the largest chunks of the server, so the message itself is above the limit (FRAME-3).
        return Err(Stop::not_announced("messages above a chunk of the slot"));
    }
    line.register(&upload, &slot.name, 4)?;
    line.chunk(&upload, 0, &long)?;
    let answer = line.until(|message| message["code"] == "bad_frame")?;
    says(&answer, "ref", &*upload)?;
    line.chunk(&upload, 0, b"abcd")?;
    line.complete(&upload, b"abcd")?;
    line.ends_complete(&upload, b"abcd").map(drop)
}

fn messages_have_a_type(socket: &Socket) -> Outcome {
    let mut line = socket.open()?;
    for (text, code) in [
        ("", "bad_message"),
        ("{", "bad_message"),
        ("[]", "bad_message"),
        ("null", "bad_message"),
        ("{}", "bad_message"),
        (r#"{"type":5}"#, "bad_message"),
        (r#"{"type":"later"}"#, "unknown_type"),
    ] {
        line.text(text.as_bytes())?;
        let answer = line.message()?;
        says(&answer, "type", "error")?;
        says(&answer, "code", code)?;
    }
    line.is_open()
}

fn sizes_are_integers(socket: &Socket) -> Outcome {
    let (mut line, slot) = socket.begin()?;
    for size in ["-1", "-0", "1e3", "1.0", "\"1\"", "9007199254740992"] {
        let upload = new_ref();
        let mut message = registration(&upload, &slot.name, 1);
        message["client_size"] = "SIZE".into();
        let text = message.to_string().replace("\"SIZE\"", size);
        line.text(text.as_bytes())?;
        let answer = line.until(|answer| answer["ref"] == *upload)?;
        is_refusal(&answer, "bad_size")?;
    }
    Ok(())
}

fn refs_and_names_have_a_form(socket: &Socket) -> Outcome {
    let (mut line, slot) = socket.begin()?;
    let upload = new_ref();
    for name in [
        json!("x"),
        json!(5),
        json!(NIL),
        json!(upload.replace('-', "")),
    ] {
        let mut message = registration(&upload, &slot.name, 1);
        message["ref"] = name;
        line.say(&message)?;
        says(&line.message()?, "code", "bad_ref")?;
    }
    for name in [json!(5), json!("x".repeat(4097))] {
        let mut message = registration(&upload, &slot.name, 1);
        message["client_name"] = name;
        is_refusal(&line.ask_for(&message)?, "bad_name")?;
    }
    Ok(())
}

fn slots_are_known(socket: &Socket) -> Outcome {
    let mut line = socket.open()?;
    let message = registration(&new_ref(), "no-such-slot", 1);
    is_refusal(&line.ask_for(&message)?, "unknown_slot")
}

fn files_have_a_size(socket: &Socket) -> Outcome {
    let (mut line, slot) = socket.begin()?;
    let size = slot.max_file_size.saturating_add(1);
    let message = registration(&new_ref(), &slot.name, size);
    is_refusal(&line.ask_for(&message)?, "too_large")
}

/// A refused registration is a snapshot in error (MSG-1).
fn is_refusal(answer: &Value, code: &str) -> Outcome {
    says(answer, "code", code)?;
    ensure!(
        answer["type"] == "upload_progress" && answer["status"] == "error",
        "this is no snapshot in error: {answer}"
    );
    Ok(())
}

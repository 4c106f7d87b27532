//! Uploads that continue over another connection.

use serde_json::{Value, json};

use super::{CLIENT_ID, RawSocket, Slot, Socket, frames::new_ref, says};
use crate::{
    check::{Check, Level::Must, Outcome, Stop, ensure},
    wire::pattern,
};

pub(super) const CHECKS: &[Check<Socket>] = &[
    Check {
        rules: &["RESUME-3", "RESUME-6", "CHUNK-4"],
        level: Must,
        says: "an upload continues over a new connection, with the checksum of what came",
        run: an_upload_continues,
    },
    Check {
        rules: &["RESUME-4"],
        level: Must,
        says: "the same client takes its upload over while the old connection is alive",
        run: the_same_client_takes_over,
    },
    Check {
        rules: &["RESUME-4"],
        level: Must,
        says: "another client of the owner is answered locked while an upload is held",
        run: another_client_waits,
    },
    Check {
        rules: &["RESUME-5"],
        level: Must,
        says: "an upload that never existed, and one of another owner, are not_found alike",
        run: unknown_uploads_are_not_found,
    },
    Check {
        rules: &["RESUME-3a"],
        level: Must,
        says: "a resume of an upload that this very connection holds is locked",
        run: an_own_upload_is_locked,
    },
    Check {
        rules: &["COMPLETE-4"],
        level: Must,
        says: "a later connection of the owner is answered with the receipt",
        run: the_receipt_comes_again,
    },
];

/// How many bytes come before a connection is left.
const FIRST: usize = 40_000;

/// Registers a resumable upload and sends its first bytes, until the server has them.
fn half_sent(socket: &Socket, file: &[u8]) -> Outcome<(RawSocket, Slot, String)> {
    let (mut line, slot, upload) = socket.register(file.len())?;
    if !slot.is_resumable {
        return Err(Stop::not_announced("a resumable slot that takes any file"));
    }
    let end = FIRST.min(slot.chunk_size).min(file.len());
    line.chunk(&upload, 0, file.get(..end).unwrap_or_default())?;
    line.until(|message| message["ref"] == *upload && message["bytes_received"] == end)?;
    Ok((line, slot, upload))
}

fn resume(line: &mut RawSocket, upload: &str, client_id: &str) -> Outcome<Value> {
    line.say(&json!({"type": "upload_resume", "ref": upload, "client_id": client_id}))?;
    line.until(|message| message["type"] == "upload_resumed" && message["ref"] == upload)
}

/// Sends what is missing from where the answer to a resume says, and completes.
fn finish(
    line: &mut RawSocket,
    slot: &Slot,
    upload: &str,
    file: &[u8],
    resumed: &Value,
) -> Outcome {
    let number = |field: &str| {
        let missing = || Stop::failed(format!("there is no {field}: {resumed}"));
        resumed[field].as_u64().ok_or_else(missing)
    };
    let at = usize::try_from(number("bytes_received")?).unwrap_or(usize::MAX);
    let index = number("next_index")?;
    let by_size = at.checked_div(slot.chunk_size).unwrap_or(0) as u64;
    ensure!(index == by_size, "next_index is {index}, and not {by_size}");
    let (Some(first), Some(rest)) = (file.get(..at), file.get(at..)) else {
        return Err(Stop::failed(format!("{at} bytes are said to be received")));
    };
    says(resumed, "crc32c", format!("{:08x}", crc32c::crc32c(first)))?;
    for (index, data) in (index..).zip(rest.chunks(slot.chunk_size)) {
        line.chunk(upload, u32::try_from(index).unwrap_or(u32::MAX), data)?;
    }
    line.complete(upload, file)?;
    line.ends_complete(upload, file).map(drop)
}

fn an_upload_continues(socket: &Socket) -> Outcome {
    let file = pattern(100_000);
    let (line, slot, upload) = half_sent(socket, &file)?;
    let mut next = socket.open_again(&line)?;
    drop(line);
    let resumed = resume(&mut next, &upload, CLIENT_ID)?;
    says(&resumed, "status", "resumed")?;
    finish(&mut next, &slot, &upload, &file, &resumed)
}

fn the_same_client_takes_over(socket: &Socket) -> Outcome {
    let file = pattern(100_000);
    let (mut line, slot, upload) = half_sent(socket, &file)?;
    let mut next = socket.open_again(&line)?;
    let resumed = resume(&mut next, &upload, CLIENT_ID)?;
    says(&resumed, "status", "resumed")?;
    line.until(|message| message["ref"] == *upload && message["code"] == "superseded")?;
    line.chunk(&upload, 1, b"late")?;
    finish(&mut next, &slot, &upload, &file, &resumed)
}

fn another_client_waits(socket: &Socket) -> Outcome {
    let file = pattern(100_000);
    let (line, _, upload) = half_sent(socket, &file)?;
    let mut next = socket.open_again(&line)?;
    let answer = resume(&mut next, &upload, "another client")?;
    says(&answer, "status", "locked")
}

fn unknown_uploads_are_not_found(socket: &Socket) -> Outcome {
    let (_line, _, upload) = half_sent(socket, &pattern(100_000))?;
    let mut stranger = socket.open()?;
    for upload in [&*new_ref(), &upload] {
        let answer = resume(&mut stranger, upload, CLIENT_ID)?;
        says(&answer, "status", "not_found")?;
    }
    Ok(())
}

fn an_own_upload_is_locked(socket: &Socket) -> Outcome {
    let (mut line, _, upload) = half_sent(socket, &pattern(100_000))?;
    let answer = resume(&mut line, &upload, CLIENT_ID)?;
    says(&answer, "status", "locked")
}

fn the_receipt_comes_again(socket: &Socket) -> Outcome {
    let file = b"abcd";
    let (mut line, slot, upload) = socket.register(file.len())?;
    if !slot.is_resumable {
        return Err(Stop::not_announced("a resumable slot that takes any file"));
    }
    line.chunk(&upload, 0, file)?;
    line.complete(&upload, file)?;
    let first = line.ends_complete(&upload, file)?;
    let mut next = socket.open_again(&line)?;
    next.complete(&upload, file)?;
    let again = next.ends_complete(&upload, file)?;
    says(&again, "result", first["result"].clone())
}

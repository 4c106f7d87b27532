//! Uploads from their registration to their receipt, and how else they end.

use serde_json::json;

use super::{
    Socket,
    frames::{self, new_ref},
    raw_socket::registration,
    says,
};
use crate::{
    check::{Check, Level::Must, Outcome, ensure},
    wire::pattern,
};

pub(super) const CHECKS: &[Check<Socket>] = &[
    Check {
        rules: &["CHUNK-1", "COMPLETE-3"],
        level: Must,
        says: "a file that was sent in chunks is complete, with its checksum",
        run: a_file,
    },
    Check {
        rules: &["COMPLETE-5"],
        level: Must,
        says: "an empty file is complete",
        run: an_empty_file,
    },
    Check {
        rules: &["CREDIT-1", "CREDIT-2"],
        level: Must,
        says: "credit is at least a chunk, never becomes smaller, and reaches the end of a file",
        run: credit_grows,
    },
    Check {
        rules: &["CHUNK-2"],
        level: Must,
        says: "a chunk that came before is ignored",
        run: a_chunk_again,
    },
    Check {
        rules: &["CHUNK-3"],
        level: Must,
        says: "a gap is answered with chunk_out_of_order and next_index, and the upload continues",
        run: a_gap,
    },
    Check {
        rules: &["CHUNK-5"],
        level: Must,
        says: "data past the declared size ends the upload with size_exceeded",
        run: too_much,
    },
    Check {
        rules: &["COMPLETE-1"],
        level: Must,
        says: "a complete that comes too early is answered incomplete, and the upload continues",
        run: too_early,
    },
    Check {
        rules: &["COMPLETE-2"],
        level: Must,
        says: "another checksum ends the upload with checksum_mismatch",
        run: another_checksum,
    },
    Check {
        rules: &["COMPLETE-4"],
        level: Must,
        says: "a repeated complete is answered with the same receipt",
        run: a_complete_again,
    },
    Check {
        rules: &["COMPLETE-6", "COMPLETE-7"],
        level: Must,
        says: "a cancel ends the upload, and a later complete is answered with this ending",
        run: a_cancel,
    },
    Check {
        rules: &["CTRL-4"],
        level: Must,
        says: "the same registration again is answered again, any other is ref_in_use",
        run: a_registration_again,
    },
    Check {
        rules: &["CTRL-1"],
        level: Must,
        says: "unknown fields of a registration are ignored",
        run: unknown_fields,
    },
];

fn a_file(socket: &Socket) -> Outcome {
    let (mut line, slot) = socket.begin()?;
    let size = slot.chunk_size.saturating_add(10_000);
    let file = pattern(size);
    let upload = new_ref();
    line.register(&upload, &slot.name, size as u64)?;
    for (index, data) in (0..).zip(file.chunks(slot.chunk_size)) {
        line.chunk(&upload, index, data)?;
    }
    line.complete(&upload, &file)?;
    let receipt = line.ends_complete(&upload, &file)?;
    says(&receipt, "bytes_received", size)?;
    says(&receipt, "progress", 100)
}

fn an_empty_file(socket: &Socket) -> Outcome {
    let (mut line, _, upload) = socket.register(0)?;
    line.complete(&upload, b"")?;
    line.ends_complete(&upload, b"").map(drop)
}

/// Sends no byte past the credit.
fn credit_grows(socket: &Socket) -> Outcome {
    let (mut line, slot) = socket.begin()?;
    let size = slot.chunk_size.saturating_mul(20);
    let file = pattern(size);
    let upload = new_ref();
    let registered = line.register(&upload, &slot.name, size as u64)?;
    let mut credit = registered["credit"].as_u64().unwrap_or(0);
    ensure!(
        credit >= slot.chunk_size as u64,
        "there is credit for {credit} bytes"
    );
    let mut sent = 0;
    for (index, data) in (0..).zip(file.chunks(slot.chunk_size)) {
        sent += data.len() as u64;
        while sent > credit {
            let snapshot = line.until(|message| message["ref"] == *upload)?;
            let next = snapshot["credit"].as_u64().unwrap_or(0);
            ensure!(next >= credit, "credit fell from {credit} to {next}");
            credit = next;
        }
        line.chunk(&upload, index, data)?;
    }
    line.complete(&upload, &file)?;
    line.ends_complete(&upload, &file).map(drop)
}

fn a_chunk_again(socket: &Socket) -> Outcome {
    let file = b"abcdefgh";
    let (mut line, _, upload) = socket.register(file.len())?;
    for (index, data) in [(0, "abcd"), (0, "xxxx"), (1, "efgh"), (1, "yyyy")] {
        line.chunk(&upload, index, data.as_bytes())?;
    }
    line.complete(&upload, file)?;
    line.ends_complete(&upload, file).map(drop)
}

fn a_gap(socket: &Socket) -> Outcome {
    let file = b"abcdefgh";
    let (mut line, _, upload) = socket.register(file.len())?;
    line.chunk(&upload, 0, b"ab")?;
    line.chunk(&upload, 2, b"ef")?;
    line.chunk(&upload, 3, b"gh")?;
    let told = line.until(|message| message["code"] == "chunk_out_of_order")?;
    says(&told, "status", "uploading")?;
    says(&told, "next_index", 1)?;
    says(&told, "bytes_received", 2)?;
    for (index, data) in [(1, "cd"), (2, "ef"), (3, "gh")] {
        line.chunk(&upload, index, data.as_bytes())?;
    }
    line.complete(&upload, file)?;
    line.ends_complete(&upload, file).map(drop)
}

fn too_much(socket: &Socket) -> Outcome {
    let (mut line, _, upload) = socket.register(4)?;
    line.chunk(&upload, 0, b"abcdefgh")?;
    let ending = line.ending(&upload)?;
    says(&ending, "status", "error")?;
    says(&ending, "code", "size_exceeded")
}

fn too_early(socket: &Socket) -> Outcome {
    let file = b"abcd";
    let (mut line, _, upload) = socket.register(file.len())?;
    line.chunk(&upload, 0, b"ab")?;
    line.complete(&upload, file)?;
    let told = line.until(|message| message["code"] == "incomplete")?;
    says(&told, "status", "uploading")?;
    says(&told, "next_index", 1)?;
    line.chunk(&upload, 1, b"cd")?;
    line.complete(&upload, file)?;
    line.ends_complete(&upload, file).map(drop)
}

fn another_checksum(socket: &Socket) -> Outcome {
    let (mut line, _, upload) = socket.register(4)?;
    line.chunk(&upload, 0, b"abcd")?;
    line.complete(&upload, b"abce")?;
    let ending = line.ending(&upload)?;
    says(&ending, "status", "error")?;
    says(&ending, "code", "checksum_mismatch")
}

fn a_complete_again(socket: &Socket) -> Outcome {
    let file = b"abcd";
    let (mut line, _, upload) = socket.register(file.len())?;
    line.chunk(&upload, 0, file)?;
    line.complete(&upload, file)?;
    let first = line.ends_complete(&upload, file)?;
    line.complete(&upload, file)?;
    let second = line.ends_complete(&upload, file)?;
    says(&second, "result", first["result"].clone())
}

fn a_cancel(socket: &Socket) -> Outcome {
    let (mut line, _, upload) = socket.register(4)?;
    line.chunk(&upload, 0, b"ab")?;
    line.frame(&frames::cancel(&upload))?;
    says(&line.ending(&upload)?, "status", "cancelled")?;
    line.complete(&upload, b"ab")?;
    says(&line.ending(&upload)?, "status", "cancelled")
}

fn a_registration_again(socket: &Socket) -> Outcome {
    let (mut line, slot, upload) = socket.register(4)?;
    line.register(&upload, &slot.name, 4)?;
    let other = line.ask_for(&registration(&upload, &slot.name, 5))?;
    says(&other, "type", "error")?;
    says(&other, "code", "ref_in_use")?;
    line.chunk(&upload, 0, b"abcd")?;
    line.complete(&upload, b"abcd")?;
    line.ends_complete(&upload, b"abcd").map(drop)
}

fn unknown_fields(socket: &Socket) -> Outcome {
    let (mut line, slot) = socket.begin()?;
    let mut message = registration(&new_ref(), &slot.name, 4);
    message["later"] = json!({"deep": [1, 2]});
    let answer = line.ask_for(&message)?;
    says(&answer, "type", "upload_registered")
}

//! Binary messages: every length from 0 to 24 of every first byte.

use uuid::Uuid;

use super::case::{Input, LIVE, REF, Right, Table};

const LENGTH_MAX: usize = 24;

/// FRAME-1, FRAME-4, CHUNK-6: about an upload nobody holds.
pub fn unknown(table: &mut Table) {
    for first in 0..=255 {
        for length in 0..=LENGTH_MAX {
            let right = right(first, length, REF);
            table.add(Input::Binary(frame(first, length, REF)), right);
        }
    }
    let nil = "00000000-0000-0000-0000-000000000000";
    for first in 1..=3 {
        for length in 17..=LENGTH_MAX {
            // Nil names no upload where a frame is broken, and is named where it is whole.
            let right = match right(first, length, nil) {
                Right::Message {
                    code: "bad_frame", ..
                } => Right::error("bad_frame", None),
                whole => whole,
            };
            table.add(Input::Binary(frame(first, length, nil)), right);
        }
    }
}

/// FRAME-1, COMPLETE-1: broken frames and an early end of an upload that goes on.
pub fn of_the_live_one(table: &mut Table) {
    for first in 1..=3 {
        for length in 17..=LENGTH_MAX {
            let right = right(first, length, LIVE);
            if right == Right::error("bad_frame", Some(LIVE)) {
                table.add(Input::Binary(frame(first, length, LIVE)), right);
            }
        }
    }
    for length in [17, 21] {
        let early = Right::Message {
            kind: "upload_progress",
            code: "incomplete",
            upload: Some(LIVE),
        };
        table.add(Input::Binary(frame(2, length, LIVE)), early);
    }
}

fn frame(first: u8, length: usize, upload: &str) -> Vec<u8> {
    let upload: Uuid = upload.parse().expect("a UUID");
    let mut bytes = vec![first];
    bytes.extend_from_slice(upload.as_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 9, 1, 2, 3]);
    bytes.truncate(length);
    bytes
}

fn right(first: u8, length: usize, upload: &'static str) -> Right {
    let names = (length >= 17 && matches!(first, 1..=3)).then_some(upload);
    let is_frame = match first {
        1 => length >= 21,
        2 => length == 17 || length == 21,
        3 => length == 17,
        _ => false,
    };
    let code = if is_frame { "unknown_ref" } else { "bad_frame" };
    Right::error(code, names)
}

//! What is wrong below the messages: WebSocket frames that RFC 6455 forbids, text that is no UTF-8,
//! messages over the limit. Each closes its own socket with one code.

use super::case::{Input, Right, Table};

/// RFC 6455, 5.2 and 5.5: frames that must fail the connection.
pub fn frames(table: &mut Table) {
    let mut closes = |bytes: Vec<u8>, code| table.add(Input::Raw(bytes), Right::Close(code));
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        closes(frame(0x80 | opcode, b"x"), 1002);
        closes(frame(opcode, b"x"), 1002);
    }
    for reserved in 1..8_u8 {
        for opcode in [0, 1, 2, 8, 9, 10] {
            closes(frame(0x80 | reserved << 4 | opcode, b"x"), 1002);
        }
    }
    // Control frames in pieces, or over 125 bytes.
    for opcode in [8, 9, 10] {
        closes(frame(opcode, b"x"), 1002);
        closes(frame(0x80 | opcode, &[b'x'; 126]), 1002);
    }
    // The rest of no message, and a message within another.
    for opcode in [0x00, 0x80] {
        closes(frame(opcode, b"x"), 1002);
    }
    for first in [0x01, 0x02] {
        for second in [0x01, 0x02, 0x81, 0x82] {
            closes([frame(first, b"{"), frame(second, b"}")].concat(), 1002);
        }
    }
    // Not masked (5.1).
    for opcode in [0x81, 0x82, 0x89, 0x8a] {
        closes(vec![opcode, 1, b'x'], 1002);
    }
    // Close frames that say nothing sensible (7.4).
    closes(frame(0x88, &[3]), 1002);
    for code in [
        0_u16,
        1,
        999,
        1004,
        1005,
        1006,
        1015,
        1016,
        2999,
        5000,
        u16::MAX,
    ] {
        closes(frame(0x88, &code.to_be_bytes()), 1002);
    }
}

/// CTRL-1: text that is no UTF-8, whole and in pieces.
pub fn texts(table: &mut Table) {
    let bad: [&[u8]; 16] = [
        b"\xff",
        b"\xfe",
        b"\x80",
        b"\xbf",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc3",
        b"\xc3\x28",
        b"\xe2\x82",
        b"\xe2\x28\xa1",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x9f\x98",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xe0\x80\xaf",
    ];
    for bytes in bad {
        let message = [b"{\"type\":\"ping\",\"x\":\"", bytes, b"\"}"].concat();
        for payload in [bytes.to_vec(), message] {
            let whole = frame(0x81, &payload);
            table.add(Input::Raw(whole), Right::Close(1007));
            let pieces = [frame(0x01, b"{\"type\":\""), frame(0x80, &payload)].concat();
            table.add(Input::Raw(pieces), Right::Close(1007));
        }
    }
}

/// FRAME-3: the header alone is enough to refuse what is too large.
pub fn sizes(table: &mut Table) {
    for opcode in [0x81, 0x82, 0x01, 0x02] {
        for length in [
            65_558_u64,
            65_559,
            100_000,
            1 << 20,
            1 << 31,
            1 << 32,
            1 << 40,
            (1 << 63) - 1,
            1 << 63,
            (1 << 63) + 1,
            u64::MAX,
        ] {
            let bytes = head(opcode, 127, &length.to_be_bytes());
            table.add(Input::Raw(bytes), Right::Close(1009));
        }
    }
    // Two pieces that are small enough, and together are not.
    for opcode in [0x01, 0x02] {
        for second in [0x00, 0x80] {
            let pieces = [
                frame(opcode, &[b'a'; 40_000]),
                frame(second, &[b'a'; 40_000]),
            ]
            .concat();
            table.add(Input::Raw(pieces), Right::Close(1009));
        }
    }
}

/// A masked frame; the mask is all zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = match payload.len() {
        short @ 0..=125 => head(first, short as u8, &[]),
        long => head(first, 126, &(long as u16).to_be_bytes()),
    };
    bytes.extend_from_slice(payload);
    bytes
}

fn head(first: u8, length: u8, extended: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | length];
    bytes.extend_from_slice(extended);
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

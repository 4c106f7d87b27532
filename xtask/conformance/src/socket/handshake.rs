//! The handshake, the first message, and how a socket is closed.

use serde_json::json;

use super::{ACCEPT, SUBPROTOCOL, Socket, says};
use crate::check::{
    Check,
    Level::{Must, Should},
    Outcome, Stop, ensure,
};

pub(super) const CHECKS: &[Check<Socket>] = &[
    Check {
        rules: &["Overview"],
        level: Must,
        says: "the handshake is answered 101, for the subprotocol upload.v1, without compression",
        run: the_handshake,
    },
    Check {
        rules: &["Overview"],
        level: Must,
        says: "a client that offers no subprotocol is served",
        run: plain_clients_are_served,
    },
    Check {
        rules: &["section 6"],
        level: Must,
        says: "the first message has version, slots and limits",
        run: the_first_message,
    },
    Check {
        rules: &["section 5"],
        level: Must,
        says: "ping is answered with pong",
        run: a_ping_is_answered,
    },
    Check {
        rules: &["section 5"],
        level: Must,
        says: "upload_list is answered with the uploads of the owner",
        run: uploads_are_listed,
    },
    Check {
        rules: &["CONN-1"],
        level: Must,
        says: "an origin that is null or malformed is refused with 403",
        run: strange_origins_are_refused,
    },
    Check {
        rules: &["CONN-1"],
        level: Must,
        says: "an origin that is not listed is refused with 403",
        run: foreign_origins_are_refused,
    },
    Check {
        rules: &["CONN-2", "CTRL-1"],
        level: Must,
        says: "text that is not UTF-8 closes with 1007",
        run: text_is_utf_8,
    },
    Check {
        rules: &["CONN-2", "FRAME-3"],
        level: Must,
        says: "a message above the limit closes with 1009",
        run: messages_have_a_limit,
    },
    Check {
        rules: &["FRAME-3"],
        level: Should,
        says: "a text of 64 KiB is read and answered",
        run: long_texts_are_read,
    },
];

fn the_handshake(socket: &Socket) -> Outcome {
    let compression = ("sec-websocket-extensions", "permessage-deflate");
    let (answer, _) = socket.upgrade(&[SUBPROTOCOL, compression])?;
    answer.is(101)?;
    answer.says("sec-websocket-accept", ACCEPT)?;
    answer.says("sec-websocket-protocol", SUBPROTOCOL.1)?;
    answer.lacks("sec-websocket-extensions")
}

fn plain_clients_are_served(socket: &Socket) -> Outcome {
    let (answer, _) = socket.upgrade(&[])?;
    answer.is(101)?;
    answer.lacks("sec-websocket-protocol")?;
    socket.open_with(&[]).map(drop)
}

fn the_first_message(socket: &Socket) -> Outcome {
    let line = socket.open()?;
    let configs = line.configs();
    says(configs, "protocol", 1)?;
    ensure!(
        configs["upload_configs"].is_object(),
        "there are no slots: {configs}"
    );
    for limit in ["message_bytes_max", "window_bytes", "max_uploads_per_owner"] {
        let found = &configs["limits"][limit];
        ensure!(found.is_u64(), "limits have no {limit}: {configs}");
    }
    Ok(())
}

fn a_ping_is_answered(socket: &Socket) -> Outcome {
    socket.open()?.is_open()
}

fn uploads_are_listed(socket: &Socket) -> Outcome {
    let mut line = socket.open()?;
    line.say(&json!({"type": "upload_list", "id": 7}))?;
    let answer = line.until(|message| message["type"] == "upload_list")?;
    says(&answer, "id", 7)?;
    says(&answer, "uploads", json!([]))
}

fn strange_origins_are_refused(socket: &Socket) -> Outcome {
    for origin in ["null", "no origin", "https://"] {
        let (answer, _) = socket.upgrade(&[SUBPROTOCOL, ("origin", origin)])?;
        ensure!(
            answer.status == 403,
            "the origin {origin:?} was answered {}",
            answer.status
        );
    }
    Ok(())
}

fn foreign_origins_are_refused(socket: &Socket) -> Outcome {
    let one = "https://one.invalid";
    let (answer, _) = socket.upgrade(&[SUBPROTOCOL, ("origin", one)])?;
    let (other, _) = socket.upgrade(&[SUBPROTOCOL, ("origin", "https://other.invalid")])?;
    if answer.status == 101 && other.status == 101 {
        return Err(Stop::not_announced(
            "a list of origins: every one is allowed",
        ));
    }
    answer.is(403)?;
    other.is(403)
}

fn text_is_utf_8(socket: &Socket) -> Outcome {
    let mut line = socket.open()?;
    line.text(b"{\"type\":\"ping\xff\"}")?;
    closes_with(line, 1007)
}

fn messages_have_a_limit(socket: &Socket) -> Outcome {
    let mut line = socket.open()?;
    let limit = &line.configs()["limits"]["message_bytes_max"];
    let missing = || Stop::failed("limits have no message_bytes_max");
    let limit = limit.as_u64().ok_or_else(missing)?;
    let length = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    line.frame(&vec![1; length])?;
    closes_with(line, 1009)
}

fn closes_with(mut line: super::RawSocket, wanted: u16) -> Outcome {
    let code = line.close_code()?;
    ensure!(
        code == Some(wanted),
        "the server closed with {code:?}, and not {wanted}"
    );
    Ok(())
}

fn long_texts_are_read(socket: &Socket) -> Outcome {
    let mut line = socket.open()?;
    line.text(&vec![b'x'; 64 * 1024])?;
    let answer = line.message()?;
    says(&answer, "code", "bad_message")?;
    line.is_open()
}

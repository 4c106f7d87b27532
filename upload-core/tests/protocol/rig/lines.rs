//! How messages read as lines.

use upload_proto::{ResumeStatus, ServerMessage, Status, UploadRef};

/// Returns the number of an upload made by [`up`].
fn number(upload: UploadRef) -> u8 {
    upload.as_bytes()[0]
}

/// Returns a message as one line.
pub(super) fn line(message: &ServerMessage) -> String {
    match message {
        ServerMessage::Configs(_) => "configs".into(),
        ServerMessage::Registered(it) => format!("{}:registered", number(it.upload)),
        ServerMessage::Progress(it) => {
            let status = match it.status {
                Status::Uploading => "uploading",
                Status::Complete => "complete",
                Status::Error => "error",
                Status::Cancelled => "cancelled",
            };
            let code = it.code.map(|code| format!(" {code}")).unwrap_or_default();
            let detached = if it.detached == Some(true) {
                " detached"
            } else {
                ""
            };
            let at = (it.bytes_received, it.next_index);
            format!(
                "{}:{status}{code}{detached} {}@{}",
                number(it.upload),
                at.0,
                at.1
            )
        }
        ServerMessage::Resumed(it) => {
            let status = match it.status {
                ResumeStatus::Resumed => "resumed",
                ResumeStatus::Complete => "already complete",
                ResumeStatus::NotFound => "not found",
                ResumeStatus::Locked => "locked",
            };
            let at = (it.bytes_received, it.next_index);
            format!("{}:{status} {}@{}", number(it.upload), at.0, at.1)
        }
        ServerMessage::ResumeAck(it) => {
            format!("{}:ack {} {}", number(it.upload_id), it.accepted, it.offset)
        }
        ServerMessage::EventResult(it) => {
            let code = it.code.map(|code| format!(" {code}")).unwrap_or_default();
            format!("event {} {}{code}", it.event, it.ok)
        }
        ServerMessage::List(it) => format!("list of {}", it.uploads.len()),
        ServerMessage::EventPush(it) => format!("push {}", it.event),
        ServerMessage::Error(it) => match it.upload {
            Some(upload) => format!("error {} {}", it.code, number(upload)),
            None => format!("error {}", it.code),
        },
        ServerMessage::Draining { reconnect_after_ms } => format!("draining {reconnect_after_ms}"),
        ServerMessage::Pong => "pong".into(),
    }
}

//! A socket that is open: messages, frames, and how it was closed.

use serde_json::{Value, json};

use super::{
    CLIENT_ID,
    frames::{self, BINARY, CLOSE, PING, PONG, TEXT},
};
use crate::{
    check::{Outcome, Stop, ensure},
    wire::Wire,
};

/// The longest message of a server.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A socket whose first message was read.
pub(super) struct RawSocket {
    wire: Wire,
    cookie: String,
    configs: Value,
}

/// What comes over a socket.
#[derive(Debug)]
pub(super) enum Event {
    /// A message.
    Message(Value),
    /// The server closed, with this code if it gave one.
    Closed(Option<u16>),
}

impl RawSocket {
    /// Reads the first message of a connection that was upgraded.
    pub(super) fn begin(wire: Wire, cookie: &str) -> Outcome<Self> {
        let mut line = Self {
            wire,
            cookie: cookie.to_owned(),
            configs: Value::Null,
        };
        line.configs = line.message()?;
        super::says(&line.configs, "type", "upload_configs")?;
        Ok(line)
    }

    /// Returns the cookie that makes another connection the same owner's.
    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Returns the first message.
    pub(super) fn configs(&self) -> &Value {
        &self.configs
    }

    /// Sends a message.
    pub(super) fn say(&mut self, message: &Value) -> Outcome {
        self.text(message.to_string().as_bytes())
    }

    /// Sends a text.
    pub(super) fn text(&mut self, text: &[u8]) -> Outcome {
        self.wire.write(&frames::frame(TEXT, text))
    }

    /// Sends a frame of an upload.
    pub(super) fn frame(&mut self, frame: &[u8]) -> Outcome {
        self.wire.write(&frames::frame(BINARY, frame))
    }

    /// Sends a chunk.
    pub(super) fn chunk(&mut self, upload: &str, index: u32, data: &[u8]) -> Outcome {
        self.frame(&frames::chunk(upload, index, data))
    }

    /// Completes an upload with the checksum of its file.
    pub(super) fn complete(&mut self, upload: &str, file: &[u8]) -> Outcome {
        self.frame(&frames::complete(upload, Some(crc32c::crc32c(file))))
    }

    /// Returns what comes next.
    pub(super) fn event(&mut self) -> Outcome<Event> {
        let mut text = Vec::new();
        loop {
            let Some(frame) = frames::cut(&mut self.wire.rest) else {
                ensure!(
                    self.wire.rest.len() < MESSAGE_BYTES_MAX,
                    "a message is too long"
                );
                if self.wire.read()? {
                    continue;
                }
                return Ok(Event::Closed(None));
            };
            match frame.opcode {
                CLOSE => {
                    let code = frame.payload.get(..2).and_then(|code| code.try_into().ok());
                    return Ok(Event::Closed(code.map(u16::from_be_bytes)));
                }
                PING => self.wire.write(&frames::frame(PONG, &frame.payload))?,
                0 | TEXT => text.extend(frame.payload),
                other => return Err(Stop::failed(format!("a frame of opcode {other} came"))),
            }
            if frame.is_last && matches!(frame.opcode, 0 | TEXT) {
                let strange = |_| Stop::failed("a message that is no JSON came");
                return serde_json::from_slice(&text)
                    .map(Event::Message)
                    .map_err(strange);
            }
        }
    }

    /// Returns the next message.
    pub(super) fn message(&mut self) -> Outcome<Value> {
        match self.event()? {
            Event::Message(message) => Ok(message),
            Event::Closed(code) => Err(Stop::failed(format!("the server closed ({code:?})"))),
        }
    }

    /// Returns the next message that fits, dropping others.
    pub(super) fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Outcome<Value> {
        loop {
            let message = self.message()?;
            if fits(&message) {
                return Ok(message);
            }
        }
    }

    /// Returns the code with which the server closes, dropping messages.
    pub(super) fn close_code(&mut self) -> Outcome<Option<u16>> {
        loop {
            if let Event::Closed(code) = self.event()? {
                return Ok(code);
            }
        }
    }

    /// Fails unless the socket still answers.
    pub(super) fn is_open(&mut self) -> Outcome {
        self.say(&json!({"type": "ping"}))?;
        self.until(|message| message["type"] == "pong").map(drop)
    }

    /// Returns the answer to a registration.
    pub(super) fn ask_for(&mut self, message: &Value) -> Outcome<Value> {
        self.say(message)?;
        let upload = &message["ref"];
        self.until(|answer| answer["ref"] == *upload)
    }

    /// Registers an upload, and returns what the server says.
    pub(super) fn register(&mut self, upload: &str, slot: &str, size: u64) -> Outcome<Value> {
        let answer = self.ask_for(&registration(upload, slot, size))?;
        super::says(&answer, "type", "upload_registered")?;
        Ok(answer)
    }

    /// Returns the snapshot with which an upload ends.
    pub(super) fn ending(&mut self, upload: &str) -> Outcome<Value> {
        self.until(|message| {
            message["type"] == "upload_progress"
                && message["ref"] == upload
                && message["status"] != "uploading"
        })
    }

    /// Fails unless an upload ends as complete, with the checksum of its file.
    pub(super) fn ends_complete(&mut self, upload: &str, file: &[u8]) -> Outcome<Value> {
        let ending = self.ending(upload)?;
        super::says(&ending, "status", "complete")?;
        super::says(&ending, "crc32c", format!("{:08x}", crc32c::crc32c(file)))?;
        Ok(ending)
    }
}

/// Returns the message that registers an upload.
pub(super) fn registration(upload: &str, slot: &str, size: u64) -> Value {
    json!({
        "type": "upload_register",
        "ref": upload,
        "upload_name": slot,
        "client_name": "conformance.bin",
        "client_type": "application/octet-stream",
        "client_size": size,
        "client_id": CLIENT_ID,
    })
}

//! The WebSocket of `docs/PROTOCOL.md`, at its address.

mod frames;
mod handshake;
mod raw_socket;
mod refusals;
mod resuming;
mod uploading;

use serde_json::Value;

use crate::{
    check::{Check, Outcome, Stop, ensure},
    report::Report,
    wire::{Answer, Site},
};
use raw_socket::RawSocket;

/// A key of a handshake, and what it is answered with (RFC 6455, section 1.3).
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The subprotocol of clients that know the whole protocol.
const SUBPROTOCOL: (&str, &str) = ("sec-websocket-protocol", "upload.v1");
/// Names this client, so that it may take over from itself.
const CLIENT_ID: &str = "conformance";

/// A server with a socket, and the slot that takes the files.
pub struct Socket {
    site: Site,
    slot: Option<String>,
}

/// What a connection says of the slot that is used.
struct Slot {
    name: String,
    chunk_size: usize,
    max_file_size: u64,
    is_resumable: bool,
}

impl Socket {
    /// Takes a server; the slot is the first one that takes any file, a resumable one if there is any.
    pub fn new(site: Site) -> Self {
        Self { site, slot: None }
    }

    /// Names the slot that takes the files.
    #[must_use]
    pub fn slot(mut self, name: &str) -> Self {
        self.slot = Some(name.to_owned());
        self
    }

    /// Returns all checks.
    pub fn checks() -> impl Iterator<Item = &'static Check<Self>> {
        let lists = [
            handshake::CHECKS,
            uploading::CHECKS,
            refusals::CHECKS,
            resuming::CHECKS,
        ];
        lists.into_iter().flatten()
    }

    /// Runs all checks.
    pub fn run(&self) -> Report {
        Report::of("socket", self, Self::checks())
    }

    /// Asks for a socket, and returns the answer with the connection.
    fn upgrade(&self, headers: &[(&str, &str)]) -> Outcome<(Answer, crate::wire::Wire)> {
        let own = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ];
        let mut wire = self.site.connect()?;
        wire.send("GET", self.site.path(), &[&own, headers].concat(), b"")?;
        let answer = wire.answer("GET")?;
        Ok((answer, wire))
    }

    /// Opens a socket as a new owner, and reads its first message.
    fn open(&self) -> Outcome<RawSocket> {
        self.open_with(&[SUBPROTOCOL])
    }

    /// Opens a socket with these headers, and reads its first message.
    fn open_with(&self, headers: &[(&str, &str)]) -> Outcome<RawSocket> {
        let (answer, wire) = self.upgrade(headers)?;
        answer.is(101)?;
        let cookie = answer.header("set-cookie");
        let cookie = cookie.and_then(|cookie| cookie.split(';').next());
        RawSocket::begin(wire, cookie.unwrap_or_default())
    }

    /// Opens a socket as the owner of another one.
    fn open_again(&self, line: &RawSocket) -> Outcome<RawSocket> {
        let cookie = ("cookie", line.cookie());
        match line.cookie() {
            "" => self.open(),
            _ => self.open_with(&[SUBPROTOCOL, cookie]),
        }
    }

    /// Returns the slot that takes the files.
    fn slot_of(&self, line: &RawSocket) -> Outcome<Slot> {
        let slots = line.configs()["upload_configs"].as_object();
        let slots = slots.ok_or_else(|| Stop::failed("upload_configs has no slots"))?;
        let takes_anything = |slot: &Value| {
            let accept = slot["accept"].as_str().unwrap_or_default();
            matches!(accept, "" | "*" | "*/*") && slot["direct"] != true
        };
        let mut fitting = slots.iter().filter(|(name, slot)| match &self.slot {
            Some(wanted) => *name == wanted,
            None => takes_anything(slot),
        });
        let first = fitting.clone().next();
        let best = fitting
            .find(|(_, slot)| slot["resumable"] == true)
            .or(first);
        let (name, slot) = best.ok_or_else(|| Stop::not_announced("a slot that takes any file"))?;
        let number = |key: &str| {
            let missing = || Stop::failed(format!("the slot has no {key}"));
            slot[key].as_u64().ok_or_else(missing)
        };
        Ok(Slot {
            name: name.clone(),
            chunk_size: usize::try_from(number("chunk_size")?).unwrap_or(usize::MAX),
            max_file_size: number("max_file_size")?,
            is_resumable: slot["resumable"] == true,
        })
    }

    /// Opens a socket, and returns the slot that takes the files with it.
    fn begin(&self) -> Outcome<(RawSocket, Slot)> {
        let line = self.open()?;
        let slot = self.slot_of(&line)?;
        Ok((line, slot))
    }

    /// Opens a socket, registers an upload, and returns its ref.
    fn register(&self, size: usize) -> Outcome<(RawSocket, Slot, String)> {
        let (mut line, slot) = self.begin()?;
        let upload = frames::new_ref();
        line.register(&upload, &slot.name, size as u64)?;
        Ok((line, slot, upload))
    }
}

/// Fails unless a field of a message has this value.
fn says(message: &Value, field: &str, value: impl Into<Value>) -> Outcome {
    let value = value.into();
    let found = &message[field];
    ensure!(
        *found == value,
        "{field} is {found}, and not {value}: {message}"
    );
    Ok(())
}

//! Clients in the simulation: an honest one, driven by core's `Sender`, and one that says what it likes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Uri, header};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};
use turmoil::net::TcpStream;
use upload_core::{FileCheck, FileFacts, Now, Outcome, Sender, SenderConfig, SenderOutput};
use upload_proto::{ServerMessage, UploadRef, limits::SUBPROTOCOL};
use upload_writers::RecordingWriterFactory;

use crate::world::World;

/// What clients of the simulation end with.
pub(crate) type Error = Box<dyn std::error::Error>;

/// Longest time for one step of the socket.
const STEP: Duration = Duration::from_secs(15);

/// A connection that says what it likes.
pub(crate) struct Raw(WebSocketStream<TcpStream>);

impl Raw {
    /// Connects as an owner.
    pub(crate) async fn connect(url: &str, owner: &str) -> Result<Self, Error> {
        let uri: Uri = url.parse()?;
        let host = uri.host().unwrap_or_default().to_owned();
        let port = uri.port_u16().unwrap_or(80);
        let builder = ClientBuilder::from_uri(uri)
            .add_header(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(SUBPROTOCOL),
            )?
            .add_header(
                HeaderName::from_static("x-owner"),
                HeaderValue::from_str(owner)?,
            )?;
        let connecting = async {
            let socket = TcpStream::connect((host, port)).await?;
            builder.connect_on(socket).await
        };
        let (socket, _) = timeout(STEP, connecting).await??;
        Ok(Self(socket))
    }

    pub(crate) async fn say(&mut self, text: &str) -> Result<(), Error> {
        Ok(self.0.send(Message::text(text.to_owned())).await?)
    }
}

/// Someone with a file.
pub(crate) struct Honest {
    url: String,
    name: String,
    file: Arc<[u8]>,
    upload: UploadRef,
    is_known: bool,
    recorder: RecordingWriterFactory,
}

impl Honest {
    pub(crate) fn new(world: &World, name: &str, file: Vec<u8>) -> Self {
        let mut id = [7; 16];
        for (byte, letter) in id.iter_mut().zip(name.bytes()) {
            *byte = letter;
        }
        Self {
            url: world.url(),
            name: name.to_owned(),
            file: file.into(),
            upload: UploadRef::from_bytes(id),
            is_known: false,
            recorder: world.recorder.clone(),
        }
    }

    /// The same one, back with the same file, on whatever machine.
    pub(crate) fn again(&self) -> Self {
        Self {
            url: self.url.clone(),
            name: self.name.clone(),
            file: Arc::clone(&self.file),
            upload: self.upload,
            is_known: true,
            recorder: self.recorder.clone(),
        }
    }

    /// Uploads through all trouble, and asserts that what is stored is the file.
    pub(crate) async fn finish(self) -> Result<(), Error> {
        let facts = FileFacts {
            upload: self.upload,
            is_known: self.is_known,
            slot: "files".to_owned(),
            name: "file.bin".to_owned(),
            media_type: String::new(),
            size: self.file.len() as u64,
            last_modified: None,
            relative_path: None,
            meta: None,
            client_id: Some(self.name.clone()),
        };
        let config = SenderConfig {
            attempts_max: 100,
            ..SenderConfig::default()
        };
        let mut run = Run {
            sender: Sender::new(facts, config),
            socket: None,
            refs: 0,
            honest: &self,
        };
        let outcome = run.until_done().await;
        if let Some(Raw(mut socket)) = run.socket.take() {
            let _ = timeout(STEP, socket.close()).await;
        }
        let Outcome::Complete { result, crc32c } = outcome else {
            return Err(format!("{}: {outcome:?}", self.name).into());
        };
        let stored = self.recorder.read(&result);
        if stored.as_deref() != Some(&self.file[..]) {
            return Err(format!("{}: another file is stored", self.name).into());
        }
        let right = format!("{:08x}", crc32c::crc32c(&self.file));
        assert_eq!(crc32c, Some(right));
        Ok(())
    }
}

struct Run<'a> {
    sender: Sender,
    socket: Option<Raw>,
    refs: u8,
    honest: &'a Honest,
}

impl Run<'_> {
    async fn until_done(&mut self) -> Outcome {
        loop {
            while let Some(output) = self.sender.poll_output() {
                self.carry_out(output).await;
            }
            if let Some(Raw(socket)) = &mut self.socket
                && !matches!(timeout(STEP, socket.flush()).await, Ok(Ok(())))
            {
                self.lose();
                continue;
            }
            if let Some(outcome) = self.sender.outcome() {
                return outcome.clone();
            }
            self.wait().await;
        }
    }

    async fn carry_out(&mut self, output: SenderOutput) {
        let message = match output {
            SenderOutput::Connect => {
                match Raw::connect(&self.honest.url, &self.honest.name).await {
                    Ok(socket) => {
                        self.socket = Some(socket);
                        self.sender.handle_connected(now());
                    }
                    Err(_) => self.sender.handle_disconnected(now()),
                }
                return;
            }
            SenderOutput::Disconnect => return self.lose(),
            SenderOutput::NeedRef => {
                self.refs += 1;
                let mut id = *self.honest.upload.as_bytes();
                id[15] = self.refs;
                return self.sender.handle_ref(UploadRef::from_bytes(id), now());
            }
            SenderOutput::CheckFile { id } => {
                return self.sender.handle_checked(id, FileCheck::Unchanged, now());
            }
            SenderOutput::Read { id, offset, length } => {
                let start = offset as usize;
                let data = &self.honest.file[start..start + length as usize];
                return self
                    .sender
                    .handle_data(id, Bytes::copy_from_slice(data), now());
            }
            SenderOutput::Message(message) => Message::text(message.to_json()),
            SenderOutput::Frame(frame) => Message::binary(frame.encode()),
        };
        let Some(Raw(socket)) = &mut self.socket else {
            return;
        };
        if !matches!(timeout(STEP, socket.send(message)).await, Ok(Ok(()))) {
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.socket = None;
        self.sender.handle_disconnected(now());
    }

    /// Waits for what the server says, or for time.
    async fn wait(&mut self) {
        let at = self.sender.poll_timeout().map(Instant::from_std);
        let late = async {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let Some(Raw(socket)) = &mut self.socket else {
            late.await;
            return self.sender.handle_timeout(now());
        };
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(message)) => {
                    let said = message.as_text().and_then(|text| ServerMessage::parse(text).ok()?);
                    if let Some(said) = said {
                        self.sender.handle_message(&said, now());
                    }
                }
                _ => self.lose(),
            },
            () = late => self.sender.handle_timeout(now()),
        }
    }
}

fn now() -> Now {
    Now {
        instant: Instant::now().into_std(),
        unix_ms: 0,
    }
}

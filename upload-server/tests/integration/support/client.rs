//! A client that speaks the wire by hand, without any crate of ours.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Uri};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_websockets::{
    ClientBuilder, CloseCode, Limits, MaybeTlsStream, Message, WebSocketStream,
};
use uuid::Uuid;

/// Longest wait for a message that must come.
pub const PATIENCE: Duration = Duration::from_secs(15);

pub struct Client {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The first message of the connection.
    pub configs: Value,
    /// The owner's cookie, to come back as the same owner.
    pub cookie: String,
}

/// How the server ended a connection.
#[derive(Debug, PartialEq)]
pub enum Ended {
    /// With this close code.
    Closed(u16),
    /// Without a close frame.
    Dropped,
}

impl Client {
    /// Connects as a new owner.
    pub async fn connect(url: &str) -> Self {
        Self::connect_as(url, "", true).await.expect("a connection")
    }

    /// Connects as `cookie`'s owner; `plain` clients offer no subprotocol.
    pub async fn connect_as(
        url: &str,
        cookie: &str,
        speaks: bool,
    ) -> Result<Self, tokio_websockets::Error> {
        let uri: Uri = url.parse().expect("a URL");
        let mut builder =
            ClientBuilder::from_uri(uri).limits(Limits::default().max_payload_len(Some(1 << 20)));
        if speaks {
            builder = builder.add_header(
                HeaderName::from_static("sec-websocket-protocol"),
                HeaderValue::from_static("upload.v1"),
            )?;
        }
        if !cookie.is_empty() {
            builder = builder.add_header(
                HeaderName::from_static("cookie"),
                HeaderValue::from_str(cookie).expect("a cookie"),
            )?;
        }
        let (ws, response) = builder.connect().await?;
        let fresh = response
            .headers()
            .get("set-cookie")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next());
        let mut client = Self {
            ws,
            configs: Value::Null,
            cookie: fresh.unwrap_or(cookie).to_owned(),
        };
        let first = client.ws.next().await.expect("a first message")?;
        client.configs = serde_json::from_str(first.as_text().expect("text")).expect("JSON");
        assert_eq!(client.configs["type"], "upload_configs");
        Ok(client)
    }

    pub async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: impl Into<String>) {
        let message = Message::text(text.into());
        self.ws.send(message).await.expect("the socket takes text");
    }

    /// Sends unless the socket is gone.
    pub async fn try_send(&mut self, message: Value) -> Option<()> {
        self.ws.send(Message::text(message.to_string())).await.ok()
    }

    pub async fn send_binary(&mut self, bytes: impl Into<Bytes>) {
        self.try_binary(bytes.into())
            .await
            .expect("the socket takes a frame");
    }

    pub async fn try_binary(&mut self, bytes: Bytes) -> Result<(), tokio_websockets::Error> {
        self.ws.send(Message::binary(bytes)).await
    }

    pub async fn chunk(&mut self, upload: Uuid, index: u32, data: &[u8]) {
        self.send_binary(chunk_frame(upload, index, data)).await;
    }

    pub async fn complete(&mut self, upload: Uuid, crc32c: Option<u32>) {
        self.send_binary(complete_frame(upload, crc32c)).await;
    }

    pub async fn cancel(&mut self, upload: Uuid) {
        let mut frame = vec![3];
        frame.extend_from_slice(upload.as_bytes());
        self.send_binary(frame).await;
    }

    /// Returns the next message.
    pub async fn next(&mut self) -> Value {
        self.try_next()
            .await
            .unwrap_or_else(|ended| panic!("a message, not {ended:?}"))
    }

    /// Returns the next message, or how the connection ended.
    pub async fn try_next(&mut self) -> Result<Value, Ended> {
        loop {
            let message = timeout(PATIENCE, self.ws.next())
                .await
                .expect("a message in time");
            let Some(Ok(message)) = message else {
                return Err(Ended::Dropped);
            };
            if let Some(text) = message.as_text() {
                return Ok(serde_json::from_str(text).expect("JSON"));
            }
            if let Some((code, _)) = message.as_close() {
                return Err(Ended::Closed(code.into()));
            }
        }
    }

    /// Returns the next message that fits, dropping others.
    pub async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await;
            if fits(&message) {
                return message;
            }
        }
    }

    /// Returns how the server ends the connection.
    pub async fn until_closed(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.try_next().await {
                return ended;
            }
        }
    }

    /// Returns the snapshot that ends `upload`, or tells that it left.
    pub async fn ending(&mut self, upload: Uuid) -> Value {
        let name = upload.to_string();
        self.until(|message| {
            message["type"] == "upload_progress"
                && message["ref"] == name.as_str()
                && (message["status"] != "uploading" || message["detached"] == true)
        })
        .await
    }

    /// Registers and returns the answer.
    pub async fn register(&mut self, upload: Uuid, slot: &str, name: &str, size: u64) -> Value {
        self.send(registration(upload, slot, name, "", size)).await;
        let name = upload.to_string();
        self.until(|message| message["ref"] == name.as_str()).await
    }

    /// Asks to go on, and returns the answer.
    pub async fn resume(&mut self, upload: Uuid, client_id: Option<&str>) -> Value {
        let mut message = json!({ "type": "upload_resume", "ref": upload.to_string() });
        if let Some(client_id) = client_id {
            message["client_id"] = client_id.into();
        }
        self.send(message).await;
        let name = upload.to_string();
        self.until(|message| message["type"] == "upload_resumed" && message["ref"] == name.as_str())
            .await
    }

    /// Sends a file whole: chunks of `chunk_size`, then complete with its checksum.
    pub async fn send_file(&mut self, upload: Uuid, file: &[u8], chunk_size: usize) {
        self.send_from(upload, file, 0, 0, chunk_size).await;
        self.complete(upload, Some(crc32c::crc32c(file))).await;
    }

    /// Sends what lies behind `offset`, beginning with chunk `index`.
    pub async fn send_from(
        &mut self,
        upload: Uuid,
        file: &[u8],
        offset: usize,
        index: u32,
        chunk_size: usize,
    ) {
        for (data, index) in file[offset..].chunks(chunk_size).zip(index..) {
            self.chunk(upload, index, data).await;
        }
    }

    /// Uploads a file and returns the final snapshot.
    pub async fn upload(&mut self, slot: &str, name: &str, file: &[u8]) -> Value {
        let upload = Uuid::new_v4();
        let registered = self.register(upload, slot, name, file.len() as u64).await;
        assert_eq!(registered["type"], "upload_registered", "{registered}");
        let chunk_size = registered["chunk_size"].as_u64().expect("a chunk size");
        self.send_file(upload, file, chunk_size as usize).await;
        self.ending(upload).await
    }

    /// Closes with a code and waits for the server to agree.
    pub async fn close(mut self, code: u16) {
        let code = CloseCode::try_from(code).expect("a close code");
        let _ = self.ws.send(Message::close(Some(code), "")).await;
        let _ = timeout(PATIENCE, self.until_closed()).await;
    }
}

pub fn registration(upload: Uuid, slot: &str, name: &str, media_type: &str, size: u64) -> Value {
    json!({
        "type": "upload_register",
        "upload_name": slot,
        "ref": upload.to_string(),
        "client_name": name,
        "client_type": media_type,
        "client_size": size,
    })
}

pub fn chunk_frame(upload: Uuid, index: u32, data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(21 + data.len());
    frame.put_u8(1);
    frame.put_slice(upload.as_bytes());
    frame.put_u32(index);
    frame.put_slice(data);
    frame.freeze()
}

pub fn complete_frame(upload: Uuid, crc32c: Option<u32>) -> Bytes {
    let mut frame = BytesMut::with_capacity(21);
    frame.put_u8(2);
    frame.put_slice(upload.as_bytes());
    if let Some(crc32c) = crc32c {
        frame.put_u32(crc32c);
    }
    frame.freeze()
}

//! What a test's client says and hears over its connection.

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, header};
use serde_json::Value;
use tokio::time::timeout;
use tokio_websockets::{ClientBuilder, Message};
use upload_proto::{
    Code, ErrorMessage, EventPush, Frame, ServerMessage, UploadRef, limits::SUBPROTOCOL,
};

use super::{ANSWER_TIMEOUT, Socket, TestClient, TestError};

/// Most events of the application that are kept for a test.
const PUSHES_MAX: usize = 1024;

impl TestClient {
    pub(super) async fn say(&mut self, message: Value) -> Result<(), TestError> {
        let message = Message::text(message.to_string());
        let socket = self.socket().await?;
        socket.send(message).await.map_err(TestError::broken)
    }

    pub(super) async fn frame(&mut self, frame: &Frame) -> Result<(), TestError> {
        let message = Message::binary(frame.encode());
        let socket = self.socket().await?;
        socket.send(message).await.map_err(TestError::broken)
    }

    /// Returns the connection, which is opened now where there is none.
    async fn socket(&mut self) -> Result<&mut Socket, TestError> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect().await?,
        };
        Ok(self.socket.insert(socket))
    }

    async fn connect(&self) -> Result<Socket, TestError> {
        let uri = format!("ws://{}/uploads/ws", self.server.address);
        let uri = uri.parse().map_err(TestError::broken)?;
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        let mut builder = ClientBuilder::from_uri(uri)
            .add_header(header::SEC_WEBSOCKET_PROTOCOL, protocol)
            .map_err(TestError::broken)?;
        for (name, value) in &self.headers {
            let added = builder.add_header(name.clone(), value.clone());
            builder = added.map_err(TestError::broken)?;
        }
        let connected = timeout(ANSWER_TIMEOUT, builder.connect()).await;
        let connected = connected.map_err(|_| TestError::TimedOut)?;
        let (mut socket, _) = connected.map_err(TestError::broken)?;
        match heard(&mut socket).await? {
            ServerMessage::Configs(_) => Ok(socket),
            other => Err(TestError::Broken(format!("unexpected {other:?}"))),
        }
    }

    /// Returns the next message that is none of the application's, which are kept.
    pub(super) async fn heard(&mut self) -> Result<ServerMessage, TestError> {
        loop {
            let socket = self.socket().await?;
            match heard(socket).await? {
                ServerMessage::EventPush(push) => self.keep(push),
                said => return Ok(said),
            }
        }
    }

    /// Waits for something that the application tells.
    pub(super) async fn hear_push(&mut self) -> Result<(), TestError> {
        let waits = async {
            loop {
                let socket = self.socket().await?;
                if let ServerMessage::EventPush(push) = heard(socket).await? {
                    self.keep(push);
                    return Ok(());
                }
            }
        };
        let heard = timeout(ANSWER_TIMEOUT, waits).await;
        heard.map_err(|_| TestError::TimedOut)?
    }

    fn keep(&mut self, push: EventPush) {
        if self.pushes.len() < PUSHES_MAX {
            self.pushes.push_back(push);
        }
    }
}

/// Returns the next message that is known.
async fn heard(socket: &mut Socket) -> Result<ServerMessage, TestError> {
    let next = async {
        loop {
            let message = socket.next().await;
            let message = message.ok_or_else(|| TestError::broken("it was closed"))?;
            let message = message.map_err(TestError::broken)?;
            if let Some((code, _)) = message.as_close() {
                return Err(TestError::Closed(code.into()));
            }
            let said = message.as_text().map(ServerMessage::parse);
            if let Some(Ok(Some(said))) = said {
                return Ok(said);
            }
        }
    };
    timeout(ANSWER_TIMEOUT, next)
        .await
        .map_err(|_| TestError::TimedOut)?
}

pub(super) fn refused(code: Option<Code>, own: Option<String>, text: Option<String>) -> TestError {
    let code = code.map(|code| code.as_str().to_owned());
    TestError::Refused {
        code: own.or(code).unwrap_or_default(),
        text: text.unwrap_or_default(),
    }
}

pub(super) fn refused_as(error: ErrorMessage) -> TestError {
    refused(Some(error.code), error.reason, Some(error.error))
}

/// Fails if a message says that the upload has failed.
pub(super) fn ended(message: ServerMessage, upload: UploadRef) -> Result<(), TestError> {
    match message {
        ServerMessage::Progress(it) if it.upload == upload => match it.code {
            Some(code) => Err(refused(Some(code), it.reason, it.error)),
            None => Ok(()),
        },
        ServerMessage::Error(it) if it.upload == Some(upload) => Err(refused_as(it)),
        _ => Ok(()),
    }
}

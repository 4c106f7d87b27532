//! The connection to a server: made, written and read with a bound on every wait.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Uri, header};
use tokio::{net::TcpStream, time::timeout};
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};
use upload_proto::{ClientMessage, Frame, ServerMessage, limits::SUBPROTOCOL};

use super::{Handshake, memory::Note};

/// Longest time for connecting and the handshake.
const CONNECT: Duration = Duration::from_secs(15);

/// Longest time for which a server may take nothing.
const WRITE: Duration = Duration::from_secs(45);

/// An open connection.
pub(super) struct Link {
    socket: WebSocketStream<TcpStream>,
    /// Frames are put together here; its memory is used again once they are sent.
    buffer: BytesMut,
}

impl Link {
    /// Connects as whom `note` says, and notes who we are from now on.
    pub(super) async fn open(url: &Uri, note: &mut Note) -> anyhow::Result<Self> {
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        let mut client = ClientBuilder::from_uri(url.clone())
            .add_header(header::SEC_WEBSOCKET_PROTOCOL, protocol)?;
        if let Some(cookie) = &note.cookie {
            client = client.add_header(header::COOKIE, cookie.parse()?)?;
        }
        let connecting = async {
            let socket = TcpStream::connect(address(url)).await?;
            socket.set_nodelay(true)?;
            client.connect_on(socket).await
        };
        let (socket, response) = timeout(CONNECT, connecting)
            .await
            .context("the server does not answer")?
            .context("cannot connect")?;
        if let Some(cookie) = cookie(&response) {
            note.cookie = Some(cookie);
        }
        let buffer = BytesMut::new();
        Ok(Self { socket, buffer })
    }

    /// Hands a message to the socket.
    pub(super) async fn message(&mut self, message: &ClientMessage) -> anyhow::Result<()> {
        self.feed(Message::text(message.to_json())).await
    }

    /// Hands a frame to the socket.
    pub(super) async fn frame(&mut self, frame: &Frame) -> anyhow::Result<()> {
        frame.encode_into(&mut self.buffer);
        let frame = self.buffer.split();
        self.feed(Message::binary(frame)).await
    }

    /// Sends what was handed over.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        Ok(timeout(WRITE, self.socket.flush()).await??)
    }

    /// Waits for the next message this version knows; an error if the connection is over.
    pub(super) async fn next(&mut self) -> anyhow::Result<ServerMessage> {
        loop {
            let Some(message) = self.socket.next().await else {
                bail!("the server closed the connection");
            };
            let message = message?;
            if let Some(text) = message.as_text()
                && let Some(message) = ServerMessage::parse(text)?
            {
                return Ok(message);
            }
            if let Some((code, _)) = message.as_close() {
                bail!("the server closed the connection ({})", u16::from(code));
            }
        }
    }

    /// Says goodbye, as far as the server still listens.
    pub(super) async fn close(mut self) {
        if let Ok(Err(error)) = timeout(Duration::from_secs(2), self.socket.close()).await {
            tracing::debug!(%error, "the connection was gone already");
        }
    }

    async fn feed(&mut self, message: Message) -> anyhow::Result<()> {
        Ok(timeout(WRITE, self.socket.feed(message)).await??)
    }
}

/// Returns where to connect; an IPv6 address stands in brackets in a URL only.
fn address(url: &Uri) -> (&str, u16) {
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (host, url.port_u16().unwrap_or(80))
}

/// Returns `name=value` of the cookie a handshake set.
fn cookie(response: &Handshake) -> Option<String> {
    let cookie = response.headers().get(header::SET_COOKIE)?.to_str().ok()?;
    let pair = cookie.split(';').next()?.trim();
    (!pair.is_empty()).then(|| pair.to_owned())
}

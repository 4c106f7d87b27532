//! The connection to a server: made, written and read with a bound on every wait.

use std::{fmt, io, time::Duration};

use anyhow::{Context, anyhow};
use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, header};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tokio_websockets::{ClientBuilder, Error as SocketError, Message, WebSocketStream, upgrade};
use upload_proto::{
    ClientMessage, Frame, ServerMessage,
    limits::{SUBPROTOCOL, close},
};

use super::{address::Address, answer_head::AnswerHead, cookies, tls};
use crate::errors;

/// Longest time for connecting and the handshake.
const CONNECT: Duration = Duration::from_secs(15);

/// Longest time for which a server may take nothing.
const WRITE: Duration = Duration::from_secs(45);

/// Longest time for saying goodbye.
const CLOSE: Duration = Duration::from_secs(2);

/// A server, and as whom it is talked to.
pub(super) struct Server {
    pub(super) address: Address,
    /// Where the address wants one.
    pub(super) tls: Option<TlsConnector>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum LinkError {
    /// It may work later.
    Passing(anyhow::Error),
    /// It will be the same next time.
    Final(anyhow::Error),
}

/// An open connection.
pub(super) struct Link {
    socket: WebSocketStream<Box<dyn Stream>>,
    /// The cookies that it was opened with, and was given.
    cookie: Option<String>,
    /// Frames are put together here; its memory is used again once they are sent.
    buffer: BytesMut,
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Server {
    /// Connects with these cookies, as the owner of their session.
    pub(super) async fn connect(&self, cookie: Option<&str>) -> Result<Link, LinkError> {
        let opened = timeout(CONNECT, self.open(cookie)).await;
        let timed_out = |_| LinkError::Passing(anyhow!("the server does not answer"));
        let (socket, head) = opened.map_err(timed_out)??;
        let set = head.fields(header::SET_COOKIE.as_str());
        Ok(Link {
            socket,
            cookie: cookies::after(cookie, set.iter().map(String::as_str)),
            buffer: BytesMut::new(),
        })
    }

    async fn open(&self, cookie: Option<&str>) -> Result<Opened, LinkError> {
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        let mut client = ClientBuilder::from_uri(self.address.url().clone())
            .add_header(header::SEC_WEBSOCKET_PROTOCOL, protocol)
            .map_err(as_final)?;
        if let Some(cookie) = cookie.and_then(|cookie| cookie.parse().ok()) {
            client = client
                .add_header(header::COOKIE, cookie)
                .map_err(as_final)?;
        }
        for (name, value) in &self.headers {
            client = client
                .add_header(name.clone(), value.clone())
                .with_context(|| format!("--header {name}"))
                .map_err(LinkError::Final)?;
        }
        let head = AnswerHead::default();
        let stream: Box<dyn Stream> = Box::new(head.of(self.stream().await?));
        let opened = client.connect_on(stream).await;
        let (socket, _) = opened.map_err(handshake_failed)?;
        Ok((socket, head))
    }

    async fn stream(&self) -> Result<Box<dyn Stream>, LinkError> {
        let host = self.address.host();
        let connected = TcpStream::connect((host, self.address.port())).await;
        let stream = connected.map_err(as_passing)?;
        stream.set_nodelay(true).map_err(as_passing)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(host.to_owned()).map_err(as_final)?;
        match tls.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) if tls::is_distrust(&error) => Err(as_final(error)),
            Err(error) => Err(as_passing(error)),
        }
    }
}

type Opened = (WebSocketStream<Box<dyn Stream>>, AnswerHead);

impl Link {
    /// Returns the cookies for the next connection of the same owner.
    pub(super) fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Hands a message to the socket.
    pub(super) async fn message(&mut self, message: &ClientMessage) -> Result<(), LinkError> {
        self.feed(Message::text(message.to_json())).await
    }

    /// Hands a frame to the socket.
    pub(super) async fn frame(&mut self, frame: &Frame) -> Result<(), LinkError> {
        frame.encode_into(&mut self.buffer);
        let frame = self.buffer.split();
        self.feed(Message::binary(frame)).await
    }

    /// Sends what was handed over.
    pub(super) async fn flush(&mut self) -> Result<(), LinkError> {
        written(timeout(WRITE, self.socket.flush()).await)
    }

    /// Waits for the next message this version knows; an error if the connection is over.
    pub(super) async fn next(&mut self) -> Result<ServerMessage, LinkError> {
        loop {
            let Some(message) = self.socket.next().await else {
                return Err(as_passing(ConnectionClosed(None)));
            };
            let message = message.map_err(as_passing)?;
            if let Some(text) = message.as_text()
                && let Some(message) = ServerMessage::parse(text).map_err(as_passing)?
            {
                return Ok(message);
            }
            if let Some((code, _)) = message.as_close() {
                let code = u16::from(code);
                let closed = ConnectionClosed(Some(code));
                return Err(if code == close::UNAUTHENTICATED {
                    as_final(closed)
                } else {
                    as_passing(closed)
                });
            }
        }
    }

    /// Says goodbye, as far as the server still listens.
    pub(super) async fn close(mut self) {
        if let Ok(Err(error)) = timeout(CLOSE, self.socket.close()).await {
            tracing::debug!(%error, "the connection was gone already");
        }
    }

    async fn feed(&mut self, message: Message) -> Result<(), LinkError> {
        written(timeout(WRITE, self.socket.feed(message)).await)
    }
}

/// The server closed the connection, with this code.
#[derive(Debug)]
struct ConnectionClosed(Option<u16>);

impl fmt::Display for ConnectionClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(close::UNAUTHENTICATED) => {
                f.write_str("the server wants you to sign in: use --token or --header")
            }
            Some(close::RESTARTING) => f.write_str("the server restarts"),
            Some(code) => write!(f, "the server closed the connection ({code})"),
            None => f.write_str("the server closed the connection"),
        }
    }
}

impl std::error::Error for ConnectionClosed {}

fn written(
    done: Result<Result<(), SocketError>, tokio::time::error::Elapsed>,
) -> Result<(), LinkError> {
    match done {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(as_passing(error)),
        Err(_) => Err(LinkError::Passing(anyhow!("the server takes nothing"))),
    }
}

/// Tells what a server that does not open a socket means.
fn handshake_failed(error: SocketError) -> LinkError {
    let SocketError::Upgrade(upgrade::Error::DidNotSwitchProtocols(status)) = error else {
        return as_passing(error);
    };
    let hint = match status {
        401 => ", which wants you to sign in: use --token or --header",
        403 => ", which does not let you in",
        404 => ", which has no socket at this address",
        _ => "",
    };
    let refused = anyhow!("answered with HTTP status {status}{hint}");
    // Later is worth a try where the status says so, or where the server is in trouble.
    match status {
        408 | 425 | 429 | 500.. => LinkError::Passing(refused),
        _ => LinkError::Final(refused),
    }
}

fn as_passing(error: impl Into<anyhow::Error>) -> LinkError {
    LinkError::Passing(plain(error.into()))
}

fn as_final(error: impl Into<anyhow::Error>) -> LinkError {
    LinkError::Final(plain(error.into()))
}

/// Takes the system's number out of its text: "Connection refused (os error 111)".
fn plain(error: anyhow::Error) -> anyhow::Error {
    let code = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    match code.and_then(io::Error::raw_os_error) {
        Some(code) => {
            let text = errors::line(&error);
            anyhow!("{}", text.replace(&format!(" (os error {code})"), ""))
        }
        None => error,
    }
}

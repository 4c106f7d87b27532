//! A client for one file, as a browser would send it.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};
use tokio_websockets::{ClientBuilder, Message};
use upload_proto::{
    Configs, Frame, ServerMessage, Snapshot, Status, UploadRef, limits::SUBPROTOCOL,
};

type Socket =
    tokio_websockets::WebSocketStream<tokio_websockets::MaybeTlsStream<tokio::net::TcpStream>>;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Serves an app until the test ends.
pub(crate) async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// One connection, and the slots it was told of.
pub(crate) struct Client {
    socket: Socket,
    pub(crate) configs: Configs,
}

impl Client {
    /// Connects to `/uploads/ws` with this cookie; the error is the code that a server closes with instead.
    pub(crate) async fn connect(address: SocketAddr, cookie: Option<&str>) -> Result<Self, u16> {
        let uri = format!("ws://{address}/uploads/ws").parse().expect("a URI");
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        let mut builder = ClientBuilder::from_uri(uri)
            .add_header(header::SEC_WEBSOCKET_PROTOCOL, protocol)
            .expect("a header");
        if let Some(cookie) = cookie {
            let cookie = cookie.parse().expect("a cookie");
            builder = builder
                .add_header(header::COOKIE, cookie)
                .expect("a header");
        }
        let (mut socket, response) = builder.connect().await.expect("a WebSocket");
        assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
        match heard(&mut socket).await {
            Ok(ServerMessage::Configs(configs)) => Ok(Self { socket, configs }),
            Ok(other) => panic!("upload_configs comes first, and not {other:?}"),
            Err(code) => Err(code),
        }
    }

    /// Uploads a file, keeping to the credit, and returns the `result` that came with its receipt.
    pub(crate) async fn upload(
        &mut self,
        slot: &str,
        name: &str,
        media_type: &str,
        file: &[u8],
    ) -> Value {
        let upload: UploadRef = uuid::Uuid::new_v4().into();
        self.say(&json!({
            "type": "upload_register", "upload_name": slot, "ref": upload,
            "client_name": name, "client_type": media_type, "client_size": file.len(),
        }))
        .await;
        let Ok(ServerMessage::Registered(registered)) = heard(&mut self.socket).await else {
            panic!("{name} is welcome");
        };
        let (mut credit, mut sent) = (registered.credit, 0);
        for (index, data) in (0..).zip(file.chunks(registered.chunk_size as usize)) {
            sent += data.len() as u64;
            while sent > credit {
                credit = self.progress().await.credit;
            }
            let data = Bytes::copy_from_slice(data);
            self.frame(Frame::Chunk {
                upload,
                index,
                data,
            })
            .await;
        }
        let crc32c = Some(crc32c::crc32c(file));
        self.frame(Frame::Complete { upload, crc32c }).await;
        loop {
            let progress = self.progress().await;
            if progress.status == Status::Complete {
                return progress.result.expect("a receipt has the writer's result");
            }
        }
    }

    /// Runs an event handler of the application and returns its result.
    pub(crate) async fn event(&mut self, event: &str, params: &Value) -> Value {
        self.say(&json!({ "type": "event", "event": event, "id": 1, "params": params }))
            .await;
        let Ok(ServerMessage::EventResult(answer)) = heard(&mut self.socket).await else {
            panic!("the event is answered");
        };
        assert!(answer.ok, "{answer:?}");
        answer.result.expect("a result")
    }

    async fn say(&mut self, message: &Value) {
        let message = Message::text(message.to_string());
        self.socket.send(message).await.expect("sent");
    }

    async fn frame(&mut self, frame: Frame) {
        let message = Message::binary(frame.encode());
        self.socket.send(message).await.expect("sent");
    }

    async fn progress(&mut self) -> Box<Snapshot> {
        match heard(&mut self.socket).await {
            Ok(ServerMessage::Progress(progress))
                if matches!(progress.status, Status::Uploading | Status::Complete) =>
            {
                progress
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

/// Returns what the server says next, or the code it closes with.
async fn heard(socket: &mut Socket) -> Result<ServerMessage, u16> {
    loop {
        let message = timeout(PATIENCE, socket.next())
            .await
            .expect("an answer in time");
        let message = message.expect("an open socket").expect("a message");
        if let Some((code, _)) = message.as_close() {
            return Err(code.into());
        }
        if let Some(text) = message.as_text() {
            let said = ServerMessage::parse(text).expect("JSON");
            return Ok(said.expect("a known type"));
        }
    }
}

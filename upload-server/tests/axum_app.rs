//! The example app, used as a browser would: a saved avatar through an event handler.

#[path = "../examples/axum_app.rs"]
#[expect(dead_code, reason = "the example's main is not called")]
mod axum_app;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, header};
use serde_json::json;
use tokio::{net::TcpListener, time::timeout};
use tokio_websockets::{ClientBuilder, Message};
use upload_proto::{Frame, ServerMessage, Status, UploadRef, limits::SUBPROTOCOL};

type Socket =
    tokio_websockets::WebSocketStream<tokio_websockets::MaybeTlsStream<tokio::net::TcpStream>>;

const PATIENCE: Duration = Duration::from_secs(20);

/// The smallest JPEG a content check takes for one, with a pattern after it.
fn jpeg() -> Vec<u8> {
    let mut bytes = vec![
        0xFF, 0xD8, 0xFF, 0xE0, 0, 16, b'J', b'F', b'I', b'F', 0, 1, 1, 0,
    ];
    bytes.extend((0u32..50_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()));
    bytes
}

async fn heard(socket: &mut Socket) -> ServerMessage {
    loop {
        let message = timeout(PATIENCE, socket.next())
            .await
            .expect("an answer in time");
        let message = message.expect("an open socket").expect("a message");
        if let Some(text) = message.as_text() {
            return ServerMessage::parse(text)
                .expect("JSON")
                .expect("a known type");
        }
    }
}

#[tokio::test]
async fn an_avatar_is_uploaded_and_saved_by_the_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let (app, uploads) = axum_app::app(dir.path()).expect("the app");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });

    let uri = format!("ws://{address}/uploads/ws").parse().expect("a URI");
    let protocol = HeaderValue::from_static(SUBPROTOCOL);
    let (mut socket, response) = ClientBuilder::from_uri(uri)
        .add_header(header::SEC_WEBSOCKET_PROTOCOL, protocol)
        .expect("a header")
        .connect()
        .await
        .expect("connected");
    assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);

    let ServerMessage::Configs(configs) = heard(&mut socket).await else {
        panic!("upload_configs comes first");
    };
    assert_eq!(configs.upload_configs["avatar"].accept, ".jpg,.png");

    let upload: UploadRef = uuid::Uuid::new_v4().into();
    let file = jpeg();
    let register = json!({
        "type": "upload_register", "upload_name": "avatar", "ref": upload,
        "client_name": "me.jpg", "client_type": "image/jpeg", "client_size": file.len(),
    });
    socket
        .send(Message::text(register.to_string()))
        .await
        .expect("sent");
    let ServerMessage::Registered(registered) = heard(&mut socket).await else {
        panic!("the avatar is welcome");
    };
    for (index, data) in (0..).zip(file.chunks(registered.chunk_size as usize)) {
        let data = Bytes::copy_from_slice(data);
        let chunk = Frame::Chunk {
            upload,
            index,
            data,
        };
        socket
            .send(Message::binary(chunk.encode()))
            .await
            .expect("sent");
    }
    let complete = Frame::Complete {
        upload,
        crc32c: Some(crc32c::crc32c(&file)),
    };
    socket
        .send(Message::binary(complete.encode()))
        .await
        .expect("sent");
    loop {
        match heard(&mut socket).await {
            ServerMessage::Progress(progress) if progress.status == Status::Complete => break,
            ServerMessage::Progress(progress) => assert_eq!(progress.status, Status::Uploading),
            other => panic!("unexpected {other:?}"),
        }
    }

    let params = json!({ "name": "Ann" });
    let save = json!({ "type": "event", "event": "save", "id": 1, "params": params });
    socket
        .send(Message::text(save.to_string()))
        .await
        .expect("sent");
    let ServerMessage::EventResult(saved) = heard(&mut socket).await else {
        panic!("the event is answered");
    };
    assert_eq!(
        (saved.ok, saved.result),
        (true, Some(json!({ "saved": 1, "name": "Ann" })))
    );
    let stored = std::fs::read(dir.path().join("avatar.jpg")).expect("saved");
    assert!(stored == file, "saved byte by byte");

    drop(socket);
    assert!(
        timeout(PATIENCE, uploads.shutdown())
            .await
            .expect("an end in time")
    );
}

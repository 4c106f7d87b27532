//! The same uploads over other versions of HTTP.

use crate::wire::{OFFSET_TYPE, Server, pattern};

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const FILES: &str = "/uploads/files/files";

/// T48: a proxy that collects what its client sends in chunks speaks HTTP/1.0 to us, a connection each time.
#[tokio::test]
async fn t48_behind_a_buffering_proxy_of_http_1_0() {
    let server = Server::start().await;
    let bytes = pattern(150_000);
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let mut wire = server.connect().await;
        let host = server.address.to_string();
        let length = body.len().to_string();
        let mut head = format!("{method} {path} HTTP/1.0\r\nhost: {host}\r\nconnection: close\r\n");
        for (name, value) in [&[("content-length", &*length)][..], headers].concat() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        wire.write(format!("{head}\r\n").as_bytes()).await;
        wire.write(body).await;
        let answer = wire.answer(method).await;
        assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
        assert!(wire.is_closed().await, "one answer to a connection");
        answer
    };
    let size = bytes.len().to_string();
    let created = ask("POST", FILES, &[TUS, ("upload-length", &size)], b"").await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = created.header("location").expect("a location");
    let mut at = 0;
    for piece in bytes.chunks(60_000) {
        let offset = at.to_string();
        let headers = [TUS, OFFSET_TYPE, ("upload-offset", &*offset)];
        let answer = ask("PATCH", path, &headers, piece).await;
        at += piece.len();
        assert_eq!((answer.status, answer.number("upload-offset")), (204, at));
        let answer = ask("HEAD", path, &[TUS], b"").await;
        assert_eq!((answer.status, answer.number("upload-offset")), (200, at));
    }
    assert_eq!(server.stored(), [bytes]);
    let answer = ask("DELETE", path, &[TUS], b"").await;
    assert_eq!(answer.status, 204, "it was not taken");
    let form =
        b"--b\r\ncontent-disposition: form-data; name=f; filename=a.txt\r\n\r\nabc\r\n--b--\r\n";
    let headers = [("content-type", "multipart/form-data; boundary=b")];
    let answer = ask("POST", FILES, &headers, form).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(server.stored(), [b"abc"]);
}

#[cfg(feature = "cli")]
mod http2 {
    use std::{task::Poll, time::Duration};

    use axum::{Router, body::Body};
    use bytes::Bytes;
    use futures_util::stream;
    use http::{Request, Response, request::Builder};
    use hyper::{
        body::Incoming,
        client::conn::http2::{SendRequest, handshake},
        server::conn::http2,
    };
    use hyper_util::{
        rt::{TokioExecutor, TokioIo},
        service::TowerToHyperService,
    };
    use tokio::{
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    use super::*;

    /// Serves the routes of a server over HTTP/2, as `axum::serve` does where it is built with it.
    async fn connect(server: &Server) -> SendRequest<Body> {
        let app = Router::new().nest("/uploads", server.uploads.router());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("a client");
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), TowerToHyperService::new(app))
                .await
        });
        let socket = TcpStream::connect(address).await.expect("connected");
        let shaken = handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
        let (sender, connection) = shaken.expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }

    fn request(method: &str, path: &str) -> Builder {
        let uri = format!("http://127.0.0.1{path}");
        let request = Request::builder().method(method).uri(uri);
        request.header(TUS.0, TUS.1)
    }

    fn append(path: &str, at: usize) -> Builder {
        let request = request("PATCH", path).header(OFFSET_TYPE.0, OFFSET_TYPE.1);
        request.header("upload-offset", at)
    }

    async fn ask(
        sender: &mut SendRequest<Body>,
        request: Builder,
        body: impl Into<Body>,
    ) -> Response<Incoming> {
        let request = request.body(body.into()).expect("a request");
        sender.send_request(request).await.expect("an answer")
    }

    fn offset(answer: &Response<Incoming>) -> usize {
        let value = answer.headers().get("upload-offset");
        let text = value.and_then(|value| value.to_str().ok());
        text.and_then(|text| text.parse().ok()).expect("an offset")
    }

    /// T48: over HTTP/2, where a body needs no length and a stream may be reset.
    #[tokio::test]
    async fn t48_over_http_2() {
        let server = Server::start().await;
        let mut sender = connect(&server).await;
        let bytes = pattern(150_000);
        let creation = request("POST", FILES).header("upload-length", bytes.len());
        let created = ask(&mut sender, creation, Body::empty()).await;
        assert_eq!(created.status(), 201);
        let path = created.headers()["location"].to_str().expect("text");

        let first = Bytes::copy_from_slice(&bytes[..50_000]);
        let answer = ask(&mut sender, append(path, 0), first).await;
        assert_eq!((answer.status().as_u16(), offset(&answer)), (204, 50_000));

        // Bytes, and then a reset: what came is kept, and is not the end of anything.
        let second = Bytes::copy_from_slice(&bytes[50_000..90_000]);
        let mut piece = Some(second);
        let endless = stream::poll_fn(move |_| match piece.take() {
            Some(piece) => Poll::Ready(Some(std::io::Result::Ok(piece))),
            None => Poll::Pending,
        });
        let sending = append(path, 50_000).body(Body::from_stream(endless));
        let answer = sender.send_request(sending.expect("a request"));
        let answer = timeout(Duration::from_millis(300), answer).await;
        assert!(answer.is_err(), "the content is not over");

        let answer = ask(&mut sender, request("HEAD", path), Body::empty()).await;
        let at = offset(&answer);
        assert!((50_000..=90_000).contains(&at), "{at}");
        assert!(server.stored().is_empty());

        let rest = Bytes::copy_from_slice(&bytes[at..]);
        let answer = ask(&mut sender, append(path, at), rest).await;
        assert_eq!(
            (answer.status().as_u16(), offset(&answer)),
            (204, bytes.len())
        );
        assert_eq!(server.stored(), [bytes]);
        let answer = ask(&mut sender, request("DELETE", path), Body::empty()).await;
        assert_eq!(answer.status(), 204, "it was not taken");
        assert!(server.stored().is_empty());
    }
}

//! The listener, with real sockets.

use std::future::pending;

use axum::{
    body::Bytes,
    routing::{get, post},
};
use tokio::net::{TcpListener, UnixListener, UnixStream, unix};

use super::*;

/// As many requests as there are places, none of which ends, do not keep it from stopping.
#[tokio::test]
async fn it_stops_while_every_place_is_taken() {
    let limits = Limits {
        max_connections: 1,
        drain: Duration::from_millis(20),
        ..Limits::default()
    };
    let entered = Arc::new(Notify::new());
    let told = Arc::clone(&entered);
    let never = get(async move || {
        told.notify_one();
        pending::<()>().await;
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let stop = CancellationToken::new();
    let serving = {
        let stop = stop.clone();
        let app = Router::new().route("/", never);
        tokio::spawn(async move { serve(listener, app, &limits, stop).await })
    };
    let mut client = TcpStream::connect(address).await.expect("connected");
    let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    client.write_all(request).await.expect("sent");
    entered.notified().await;
    stop.cancel();
    let served = timeout(Duration::from_secs(10), serving).await;
    let served = served.expect("it stops").expect("without a panic");
    served.expect("without an error");
}

/// A connection that was accepted before the end, and sends its request after it, is answered.
#[tokio::test]
async fn a_client_accepted_before_the_end_is_answered() {
    let limits = Limits::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let stop = CancellationToken::new();
    let serving = {
        let stop = stop.clone();
        let app = Router::new().route("/", get(async || "here"));
        tokio::spawn(async move { serve(listener, app, &limits, stop).await })
    };
    let mut early = TcpStream::connect(address).await.expect("connected");
    let mut silent = TcpStream::connect(address).await.expect("connected");
    // The one accepted last tells that the others are.
    let mut last = TcpStream::connect(address).await.expect("connected");
    let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    last.write_all(request).await.expect("sent");
    last.read_u8().await.expect("an answer");
    stop.cancel();
    let idle = answer(&mut last).await;
    assert!(idle.ends_with("here"), "{idle}");
    early.write_all(request).await.expect("sent");
    let answered = answer(&mut early).await;
    assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
    assert_eq!(answer(&mut silent).await, "", "the silent one is closed");
    let served = timeout(Duration::from_secs(10), serving).await;
    let served = served.expect("it stops").expect("no panic");
    served.expect("no error");
}

async fn answer(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    let read = timeout(Duration::from_secs(10), read).await;
    read.expect("in time").expect("read");
    String::from_utf8(answer).expect("text")
}

/// When every place is taken, further visitors are answered at once.
#[tokio::test]
async fn who_finds_no_place_is_answered() {
    let limits = Limits {
        max_connections: 1,
        drain: Duration::from_millis(20),
        ..Limits::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let stop = CancellationToken::new();
    let serving = {
        let stop = stop.clone();
        let app = Router::new().route("/", get(async || "here"));
        tokio::spawn(async move { serve(listener, app, &limits, stop).await })
    };
    let silent = TcpStream::connect(address).await.expect("connected");
    let request = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
    let mut other = TcpStream::connect(address).await.expect("connected");
    other.write_all(request).await.expect("sent");
    assert!(answer(&mut other).await.starts_with("HTTP/1.1 503 "));
    // One that says less than a request hears it as well, once it has ended.
    let mut other = TcpStream::connect(address).await.expect("connected");
    other.write_all(b"GE").await.expect("sent");
    other.shutdown().await.expect("ended");
    assert!(answer(&mut other).await.starts_with("HTTP/1.1 503 "));
    drop(silent);
    let served = async {
        loop {
            let mut other = TcpStream::connect(address).await.expect("connected");
            other.write_all(request).await.expect("sent");
            if answer(&mut other).await.starts_with("HTTP/1.1 200 ") {
                break;
            }
        }
    };
    let served = timeout(Duration::from_secs(10), served).await;
    served.expect("the place comes back");
    stop.cancel();
    serving.await.expect("no panic").expect("no error");
}

/// Clients that seem to come from other machines: from the last of these addresses first.
struct Elsewhere {
    listener: TcpListener,
    peers: Vec<SocketAddr>,
}

impl Listener for Elsewhere {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (socket, _) = self.listener.accept().await.expect("a client");
        (socket, self.peers.pop().expect("its address"))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Clients of one address that are refused and say nothing leave answers for others.
#[tokio::test]
async fn refusals_of_one_address_leave_answers_to_others() {
    let limits = Limits {
        max_connections: 1,
        drain: Duration::from_millis(20),
        ..Limits::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let far = SocketAddr::from(([198, 51, 100, 9], 1));
    let mut peers = vec![far];
    peers.extend([SocketAddr::from(([203, 0, 113, 7], 1)); REFUSALS_MAX + 1]);
    let listener = Elsewhere { listener, peers };
    let stop = CancellationToken::new();
    let serving = {
        let stop = stop.clone();
        let app = Router::new().route("/", get(async || "here"));
        tokio::spawn(async move { serve(listener, app, &limits, stop).await })
    };
    let mut silent = Vec::new();
    for _ in 0..=REFUSALS_MAX {
        silent.push(TcpStream::connect(address).await.expect("connected"));
    }
    let mut other = TcpStream::connect(address).await.expect("connected");
    let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    other.write_all(request).await.expect("sent");
    assert!(answer(&mut other).await.starts_with("HTTP/1.1 503 "));
    drop(silent);
    stop.cancel();
    serving.await.expect("no panic").expect("no error");
}

/// T8: a client that finds no place and asks how far its upload has come keeps the upload, also if it asks in pieces.
#[tokio::test]
async fn t8_head_is_423_where_no_connection_is_left() {
    let limits = Limits {
        max_connections: 1,
        drain: Duration::from_millis(20),
        ..Limits::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let stop = CancellationToken::new();
    let serving = {
        let stop = stop.clone();
        let app = Router::new().route("/", get(async || "here"));
        tokio::spawn(async move { serve(listener, app, &limits, stop).await })
    };
    let silent = TcpStream::connect(address).await.expect("connected");
    let mut client = TcpStream::connect(address).await.expect("connected");
    client.write_all(b"HE").await.expect("sent");
    tokio::time::sleep(Duration::from_millis(20)).await;
    let rest = b"AD / HTTP/1.1\r\nhost: here\r\n\r\n";
    client.write_all(rest).await.expect("sent");
    client.shutdown().await.expect("ended");
    let answered = answer(&mut client).await;
    assert!(answered.starts_with("HTTP/1.1 423 "), "{answered}");
    assert!(answered.contains("retry-after: 5"), "{answered}");
    drop(silent);
    stop.cancel();
    serving.await.expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_unix_socket_is_served_with_who_connects() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let stop = CancellationToken::new();
    let peer = get(async |ConnectInfo(peer): ConnectInfo<unix::SocketAddr>| {
        assert!(peer.is_unnamed());
        "here"
    });
    let (app, limits) = (Router::new().route("/", peer), Limits::default());
    let serving = {
        let stop = stop.clone();
        tokio::spawn(async move { serve(listener, app, &limits, stop).await })
    };
    let mut client = UnixStream::connect(&path).await.expect("connected");
    let request = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
    client.write_all(request).await.expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("read");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("here"));
    stop.cancel();
    serving.await.expect("no panic").expect("no error");
}

/// Reads are larger than a head may be; also behind content that came as fast as it was read.
#[tokio::test]
async fn a_head_is_bounded_whatever_is_read_at_once() {
    let limits = Limits::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let stop = CancellationToken::new();
    let serving = {
        let stop = stop.clone();
        let app = Router::new().route("/", post(async |body: Bytes| body.len().to_string()));
        tokio::spawn(async move { serve(listener, app, &limits, stop).await })
    };
    let mut client = TcpStream::connect(address).await.expect("connected");
    for (body_bytes, filler_bytes, status) in [
        (1 << 20, 0, "200"),
        (1, HEAD_BYTES_MAX - 1024, "200"),
        (1, HEAD_BYTES_MAX + 1, "431"),
    ] {
        let (body, filler) = (vec![b'b'; body_bytes], "f".repeat(filler_bytes));
        let head = format!(
            "POST / HTTP/1.1\r\nhost: here\r\nfiller: {filler}\r\ncontent-length: {body_bytes}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.expect("sent");
        // What is refused may be closed before all of it was sent.
        let _ = client.write_all(&body).await;
        let mut line = [0; 12];
        client.read_exact(&mut line).await.expect("an answer");
        assert_eq!(line, *format!("HTTP/1.1 {status}").as_bytes());
        let mut rest = Vec::new();
        while status == "200" && !rest.ends_with(format!("\r\n\r\n{body_bytes}").as_bytes()) {
            rest.push(client.read_u8().await.expect("the rest"));
        }
    }
    drop(client);
    stop.cancel();
    serving.await.expect("no panic").expect("no error");
}

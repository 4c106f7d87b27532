//! `send` through a balancer that keeps its clients apart with a cookie.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::{lines, output, send, stored, text};
use crate::support::{
    pattern,
    server::{EMBEDDED, Server, slots},
};

/// Connections that are cut.
const CUTS: usize = 2;
/// Bytes that a client may send over each of them.
const CUT_AFTER: u64 = 1_000_000;

/// Adds its cookie to each handshake.
struct Balancer {
    port: u16,
    /// The cookies of each connection.
    cookies: Arc<Mutex<Vec<String>>>,
}

impl Balancer {
    fn before(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let cookies = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&cookies);
        thread::spawn(move || {
            let clients = listener.incoming().map_while(Result::ok);
            for (number, client) in clients.enumerate() {
                let server = TcpStream::connect(("127.0.0.1", target)).expect("the server");
                let most = if number < CUTS { CUT_AFTER } else { u64::MAX };
                let seen = Arc::clone(&seen);
                thread::spawn(move || pass(client, server, most, &seen));
            }
        });
        Self { port, cookies }
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, most: u64, seen: &Mutex<Vec<String>>) {
    let request = head(&mut client);
    let headers = request.lines().filter_map(|line| line.split_once(": "));
    let cookies = headers.filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    let cookies: Vec<_> = cookies.map(|(_, value)| value).collect();
    seen.lock().expect("whole").push(cookies.join("; "));
    server.write_all(request.as_bytes()).expect("passed on");
    let answer = head(&mut server);
    let fields = answer.strip_suffix("\r\n").expect("a head");
    let answer = format!("{fields}set-cookie: SRV=a; Path=/\r\n\r\n");
    client.write_all(answer.as_bytes()).expect("passed on");
    let mut back = (
        server.try_clone().expect("twice"),
        client.try_clone().expect("twice"),
    );
    thread::spawn(move || std::io::copy(&mut back.0, &mut back.1));
    // However it ends, both sides see it.
    let _ = std::io::copy(&mut (&client).take(most), &mut server);
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// Reads a request or an answer up to its body.
fn head(from: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

/// The session outlasts connections that set other cookies only, and each cookie is sent again.
#[test]
fn a_cookie_of_a_balancer_is_no_session() {
    let config = slots(EMBEDDED).replace("[slots.any]\n", "[slots.any]\nresumable = true\n");
    let server = Server::start(&config);
    let content = pattern::file(31, 6_000_000);
    fs::write(server.dir().join("a.bin"), &content).expect("written");
    let balancer = Balancer::before(server.port);
    let url = format!("ws://127.0.0.1:{}/uploads/ws", balancer.port);
    let sent = output(send(server.dir(), &url, &["--json", "a.bin"]));
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let line = lines(&sent).remove(0);
    assert_eq!(line["connections"], 3, "{line}");
    assert!(stored(&server, &line) == content, "{line}");
    assert_eq!(server.stored("any").len(), 1);
    let cookies = balancer.cookies.lock().expect("whole").clone();
    assert_eq!(cookies.len(), 3, "{cookies:?}");
    assert_eq!(cookies[0], "");
    assert!(cookies[1].starts_with("upload_session="), "{cookies:?}");
    assert!(cookies[1].ends_with("; SRV=a"), "{cookies:?}");
    assert_eq!(cookies[2], cookies[1]);
}

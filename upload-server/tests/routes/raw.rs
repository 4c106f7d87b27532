//! Requests written by hand, so that they can be wrong.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use upload_server::Uploads;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server in this process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) uploads: Uploads,
    pub(crate) _dir: Arc<TempDir>,
}

/// An answer, and the connection it came by.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    head: String,
    socket: TcpStream,
    rest: Vec<u8>,
}

impl Server {
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.request("GET", path, &headers).await
    }

    /// Sends one request and reads its answer; headers without a value are left out.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
    ) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut socket = TcpStream::connect(self.address).await.expect("connected");
        socket.write_all(request.as_bytes()).await.expect("sent");

        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            read(&mut socket, &mut bytes).await;
        };
        let rest = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).expect("text");
        let status = head
            .split(' ')
            .nth(1)
            .expect("a status")
            .parse()
            .expect("a number");
        let mut answer = Answer {
            status,
            body: String::new(),
            head,
            socket,
            rest,
        };
        let length = answer
            .header("content-length")
            .map_or(0, |text| text.parse().expect("a length"));
        let length = if status == 304 { 0 } else { length };
        while answer.rest.len() < length {
            read(&mut answer.socket, &mut answer.rest).await;
        }
        let body = answer.rest.drain(..length).collect();
        answer.body = String::from_utf8(body).expect("text");
        answer
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the text of the next WebSocket frame, which the server sends unmasked and whole.
    pub(crate) async fn next_text(&mut self) -> String {
        while self.rest.len() < 4 {
            read(&mut self.socket, &mut self.rest).await;
        }
        assert_eq!(self.rest[0], 0x81, "a whole text frame");
        let (start, length) = match self.rest[1] {
            126 => (
                4,
                usize::from(u16::from_be_bytes([self.rest[2], self.rest[3]])),
            ),
            length => (2, usize::from(length)),
        };
        while self.rest.len() < start + length {
            read(&mut self.socket, &mut self.rest).await;
        }
        let frame: Vec<u8> = self.rest.drain(..start + length).collect();
        String::from_utf8(frame[start..].to_vec()).expect("text")
    }

    /// Returns the code of the close frame that comes next.
    pub(crate) async fn close_code(&mut self) -> u16 {
        while self.rest.len() < 4 {
            read(&mut self.socket, &mut self.rest).await;
        }
        assert_eq!(self.rest[..2], [0x88, 2], "a close frame with a code");
        let frame: Vec<u8> = self.rest.drain(..4).collect();
        u16::from_be_bytes([frame[2], frame[3]])
    }

    /// Answers a close frame and waits until the server has hung up.
    pub(crate) async fn leave(mut self) {
        let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
        self.socket.write_all(&close).await.expect("sent");
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, self.socket.read_to_end(&mut rest)).await;
        end.expect("in time").expect("closed");
        assert!(rest.is_empty(), "nothing follows a close frame");
    }

    /// Sends one whole text frame, masked with zeros as any key would do.
    pub(crate) async fn send_text(&mut self, text: &str) {
        let length = u16::try_from(text.len()).expect("a short text");
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(length.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.socket.write_all(&frame).await.expect("sent");
    }
}

async fn read(socket: &mut TcpStream, bytes: &mut Vec<u8>) {
    let read = timeout(PATIENCE, socket.read_buf(bytes)).await;
    assert_ne!(
        read.expect("in time").expect("read"),
        0,
        "the connection ended"
    );
}

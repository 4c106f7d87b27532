//! Requests written by hand on sockets of their own, which can end anywhere.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Longest wait for an answer; reached only by a failing test.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// One connection.
pub struct Http {
    stream: TcpStream,
    said: Vec<u8>,
    host: String,
}

/// An answer, without `100 Continue` before it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Http {
    /// Connects, or returns nothing where no server listens.
    pub fn connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
        stream.set_write_timeout(Some(ANSWER_MAX)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self {
            stream,
            said: Vec::new(),
            host: format!("127.0.0.1:{port}"),
        })
    }

    /// Sends the head of a request; returns whether the connection still is.
    pub fn head(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> bool {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.write(head.as_bytes())
    }

    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Ends a write that takes longer than this.
    pub fn write_within(&mut self, time: Duration) {
        self.stream
            .set_write_timeout(Some(time))
            .expect("a time limit");
    }

    /// Reads an answer; nothing where the connection ends before it is whole.
    pub fn answer(&mut self, method: &str) -> Option<Answer> {
        loop {
            if let Some(answer) = self.whole_answer(method) {
                match answer.status {
                    100 => continue,
                    _ => return Some(answer),
                }
            }
            let mut piece = [0; 16 * 1024];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.said.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let is_late =
                        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(!is_late, "no answer to {method}");
                    return None;
                }
            }
        }
    }

    /// Takes an answer that is here with as much body as it says.
    fn whole_answer(&mut self, method: &str) -> Option<Answer> {
        let end = self.said.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.said[..end]).into_owned();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let mut answer = Answer {
            status: status.unwrap_or_default(),
            head,
            body: Vec::new(),
        };
        let length = match (method, answer.status) {
            ("HEAD", _) | (_, 100 | 204 | 304) => 0,
            _ => answer.number("content-length").unwrap_or_default() as usize,
        };
        let whole = end + 4 + length;
        if self.said.len() < whole {
            return None;
        }
        let rest = self.said.split_off(whole);
        let said = std::mem::replace(&mut self.said, rest);
        answer.body = said[end + 4..].to_vec();
        Some(answer)
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.parse().ok()
    }
}

/// Sends a whole request on a new connection, and returns the answer.
#[track_caller]
pub fn ask(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut http = Http::connect(port).expect("the server listens");
    let length = body.len().to_string();
    let mut all = vec![("content-length", &*length)];
    all.retain(|_| method != "HEAD");
    all.extend(headers);
    http.head(method, path, &all);
    // An answer may come before all of the content is sent.
    http.write(body);
    let answer = http.answer(method);
    answer.unwrap_or_else(|| panic!("{method} {path} is answered"))
}

//! Requests written by hand over a connection, and the answers to them.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    time::Duration,
};

use crate::{
    address::Address,
    check::{Outcome, Stop, ensure},
};

/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The longest body of an answer.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long the server may take for anything, unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server, and what every request to it has.
#[derive(Clone, Debug)]
pub struct Site {
    pub(crate) address: Address,
    headers: Vec<(String, String)>,
    origin: String,
    deadline: Duration,
}

/// One connection.
pub(crate) struct Wire {
    pub(crate) socket: TcpStream,
    pub(crate) rest: Vec<u8>,
    host: String,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    asked: String,
    head: String,
}

impl Site {
    /// Makes a server of its address.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            headers: Vec::new(),
            origin: "https://conformance.example".to_owned(),
            deadline: DEADLINE,
        }
    }

    /// Adds a header to every request, such as one that signs in.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Names an origin whose pages may use the server.
    #[must_use]
    pub fn origin(mut self, origin: &str) -> Self {
        origin.clone_into(&mut self.origin);
        self
    }

    /// Sets how long the server may take for anything.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns an origin whose pages may use the server, if it lets any.
    pub(crate) fn allowed_origin(&self) -> &str {
        &self.origin
    }

    /// Returns the path of the address.
    pub(crate) fn path(&self) -> &str {
        &self.address.path
    }

    /// Connects.
    pub(crate) fn connect(&self) -> Outcome<Wire> {
        let mut addresses = self.address.authority.to_socket_addrs()?;
        let address = addresses
            .next()
            .ok_or_else(|| Stop::failed("the host has no address"))?;
        let socket = TcpStream::connect_timeout(&address, self.deadline)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(self.deadline))?;
        socket.set_write_timeout(Some(self.deadline))?;
        Ok(Wire {
            socket,
            rest: Vec::new(),
            host: self.address.host.clone(),
            headers: self.headers.clone(),
        })
    }

    /// Sends one request over a new connection, and returns its final answer.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Outcome<Answer> {
        let mut wire = self.connect()?;
        wire.send(method, path, headers, body)?;
        wire.answer(method)
    }
}

impl Wire {
    /// Sends a request; its length is that of the content, unless the headers say something else.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Outcome {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        let own = self.headers.iter();
        let own = own.map(|(name, value)| (&**name, &**value));
        for (name, value) in own.chain(headers.iter().copied()) {
            head += &format!("{name}: {value}\r\n");
        }
        let frames_itself = headers
            .iter()
            .any(|(name, _)| matches!(*name, "content-length" | "transfer-encoding"));
        if !frames_itself && (!body.is_empty() || !matches!(method, "HEAD" | "GET")) {
            head += &format!("content-length: {}\r\n", body.len());
        }
        head += "\r\n";
        self.write(head.as_bytes())?;
        self.write(body)
    }

    /// Sends a request whose content follows, and waits until the server asks for it.
    pub(crate) fn begin(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Outcome {
        let headers = [headers, &[("expect", "100-continue")]].concat();
        self.send(method, path, &headers, b"")?;
        self.first_answer(method)?.is(100)
    }

    /// Sends bytes; a server that has hung up may still have answered.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Outcome {
        match self.socket.write_all(bytes) {
            Err(error) if has_hung_up(&error) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Sends nothing more, and waits until the server has noticed.
    pub(crate) fn break_off(mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let mut bytes = [0; 1024];
        while let Ok(1..) = self.socket.read(&mut bytes) {}
    }

    /// Reads the final answer.
    pub(crate) fn answer(&mut self, method: &str) -> Outcome<Answer> {
        loop {
            let answer = self.first_answer(method)?;
            if answer.status >= 200 || answer.status == 101 {
                return Ok(answer);
            }
        }
    }

    /// Reads the next answer, be it informational or final.
    pub(crate) fn first_answer(&mut self, method: &str) -> Outcome<Answer> {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(self.rest.len() < HEAD_BYTES_MAX, "the head never ends");
            ensure!(
                self.read()?,
                "{method}: the connection ended without an answer"
            );
        };
        let head = self.take(end);
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        let Some(status) = status else {
            return Err(Stop::failed(format!("{method}: this is no answer: {head}")));
        };
        let mut answer = Answer {
            status,
            body: Vec::new(),
            asked: method.to_owned(),
            head,
        };
        let has_body = method != "HEAD" && !matches!(status, 100..=199 | 204 | 304);
        if has_body {
            answer.body = self.body(&answer)?;
        }
        Ok(answer)
    }

    fn body(&mut self, answer: &Answer) -> Outcome<Vec<u8>> {
        if answer.has("transfer-encoding", "chunked") {
            return self.chunked();
        }
        match answer.header("content-length") {
            Some(_) => {
                let length = answer.number("content-length")?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                self.read_to(length)?;
                Ok(self.take(length))
            }
            None => {
                while self.read()? {
                    ensure!(self.rest.len() <= BODY_BYTES_MAX, "the body is too long");
                }
                Ok(std::mem::take(&mut self.rest))
            }
        }
    }

    fn chunked(&mut self) -> Outcome<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = self.rest.windows(2).position(|two| two == b"\r\n") {
                    break self.take(end + 2);
                }
                ensure!(self.read()?, "a chunked body ended early");
            };
            let line = String::from_utf8_lossy(&line).into_owned();
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| Stop::failed(format!("no length of a chunk: {line}")))?;
            self.read_to(size.saturating_add(2))?;
            body.extend(self.take(size));
            self.take(2);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads until this many bytes are there.
    fn read_to(&mut self, length: usize) -> Outcome {
        ensure!(length <= BODY_BYTES_MAX, "the body is too long");
        while self.rest.len() < length {
            ensure!(self.read()?, "a body ended early");
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let length = length.min(self.rest.len());
        let behind = self.rest.split_off(length);
        std::mem::replace(&mut self.rest, behind)
    }

    /// Reads what is there; false at the end.
    pub(crate) fn read(&mut self) -> Outcome<bool> {
        let mut bytes = [0; 16 * 1024];
        let read = match self.socket.read(&mut bytes) {
            Err(error) if has_hung_up(&error) => 0,
            read => read?,
        };
        let read = bytes.get(..read).unwrap_or_default();
        self.rest.extend_from_slice(read);
        Ok(!read.is_empty())
    }
}

fn has_hung_up(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset
    )
}

impl Answer {
    /// Returns a header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns a header's value, without which the check fails.
    pub(crate) fn wanted(&self, name: &str) -> Outcome<&str> {
        let missing = || Stop::failed(format!("{} ({}) has no {name}", self.asked, self.status));
        self.header(name).ok_or_else(missing)
    }

    /// Returns a header's value, which must be a number.
    pub(crate) fn number(&self, name: &str) -> Outcome<u64> {
        let text = self.wanted(name)?;
        let strange = |_| Stop::failed(format!("{} has {name}: {text}", self.asked));
        text.parse().map_err(strange)
    }

    /// Tells whether one of a header's words is this one.
    pub(crate) fn has(&self, name: &str, word: &str) -> bool {
        let values = self.head.lines().skip(1).filter_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value)
        });
        let mut words = values.flat_map(|value| value.split(','));
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    }

    /// Fails unless the status is this one.
    pub(crate) fn is(&self, status: u16) -> Outcome {
        self.one_of(&[status])
    }

    /// Fails unless the status is one of these.
    pub(crate) fn one_of(&self, statuses: &[u16]) -> Outcome {
        let wanted: Vec<_> = statuses.iter().map(u16::to_string).collect();
        ensure!(
            statuses.contains(&self.status),
            "{} was answered {}, and not {}",
            self.asked,
            self.status,
            wanted.join(" or ")
        );
        Ok(())
    }

    /// Fails unless the request was refused as the client's mistake.
    pub(crate) fn is_refusal(&self) -> Outcome {
        ensure!(
            (400..500).contains(&self.status),
            "{} was answered {}, and not refused",
            self.asked,
            self.status
        );
        Ok(())
    }

    /// Fails unless a header has this value.
    pub(crate) fn says(&self, name: &str, value: &str) -> Outcome {
        let found = self.wanted(name)?;
        ensure!(
            found == value,
            "{} has {name}: {found}, and not {value}",
            self.asked
        );
        Ok(())
    }

    /// Fails unless a header is a number of this value.
    pub(crate) fn counts(&self, name: &str, value: usize) -> Outcome {
        self.says(name, &value.to_string())
    }

    /// Fails where a header is.
    pub(crate) fn lacks(&self, name: &str) -> Outcome {
        ensure!(
            self.header(name).is_none(),
            "{} ({}) has {name}",
            self.asked,
            self.status
        );
        Ok(())
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Outcome<serde_json::Value> {
        let strange = |_| Stop::failed(format!("{} has no JSON body", self.asked));
        serde_json::from_slice(&self.body).map_err(strange)
    }
}

/// Returns bytes in which no two places look alike.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..length.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(length).collect()
}

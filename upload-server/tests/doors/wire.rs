//! A server in this process, and requests written by hand, so that they can be wrong.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use upload_server::{SlotOptions, Uploads, UploadsBuilder};

/// How long a test waits for what must come; reached only by a failing one.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server with resumable slots: `files` for anything, `taken` where a file is the application's at once, and
/// `pictures`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) uploads: Uploads,
    pub(crate) dir: Arc<TempDir>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One connection.
pub(crate) struct Wire {
    socket: TcpStream,
    rest: Vec<u8>,
    host: String,
}

pub(crate) fn files() -> SlotOptions {
    SlotOptions::new()
        .resumable(true)
        .max_entries(100)
        .max_file_size(50_000_000)
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(make: impl FnOnce(UploadsBuilder) -> UploadsBuilder) -> Self {
        Self::behind(make, |router| router).await
    }

    /// Starts a server whose routes have layers of the application around them.
    pub(crate) async fn behind(
        make: impl FnOnce(UploadsBuilder) -> UploadsBuilder,
        around: impl FnOnce(Router) -> Router,
    ) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a directory"));
        let builder = Uploads::builder()
            .data_dir(dir.path())
            .allow_upload("files", files())
            .allow_upload("taken", files().consume_on_complete(true))
            .allow_upload("pictures", files().accept(".png"));
        let uploads = make(builder).build().expect("good options");
        let app = Router::new().nest("/uploads", around(uploads.router()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            uploads,
            dir,
        }
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire {
            socket: TcpStream::connect(self.address).await.expect("connected"),
            rest: Vec::new(),
            host: self.address.to_string(),
        }
    }

    /// Sends one request over a new connection.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut wire = self.connect().await;
        wire.send(method, path, headers, body).await;
        wire.answer(method).await
    }

    /// The same as a tus client, with its version.
    pub(crate) async fn tus(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut all = vec![("tus-resumable", "1.0.0")];
        all.extend(headers);
        self.ask(method, path, &all, body).await
    }

    /// Creates an upload with tus, and returns its path.
    pub(crate) async fn create(&self, length: usize) -> String {
        let length = length.to_string();
        let headers = [("upload-length", &*length)];
        let answer = self
            .tus("POST", "/uploads/files/files", &headers, b"")
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").expect("a location").to_owned()
    }

    /// Appends with tus.
    pub(crate) async fn append(&self, path: &str, at: usize, data: &[u8]) -> Answer {
        let at = at.to_string();
        self.tus("PATCH", path, &[OFFSET_TYPE, ("upload-offset", &at)], data)
            .await
    }

    /// Returns the offset that `HEAD` tells.
    pub(crate) async fn offset(&self, path: &str) -> usize {
        let answer = self.tus("HEAD", path, &[], b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.number("upload-offset")
    }

    /// Returns the contents of all files that have their name.
    pub(crate) fn stored(&self) -> Vec<Vec<u8>> {
        let paths = self.stored_paths().into_iter();
        paths
            .map(|path| std::fs::read(path).expect("a file"))
            .collect()
    }

    /// Returns the names of these files.
    pub(crate) fn stored_names(&self) -> Vec<String> {
        let paths = self.stored_paths().into_iter();
        let name = |path: PathBuf| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        paths.filter_map(name).collect()
    }

    fn stored_paths(&self) -> Vec<PathBuf> {
        let mut stored = Vec::new();
        let mut folders: Vec<PathBuf> = vec![self.dir.path().into()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.file_name().expect("a name").to_string_lossy();
                if name.starts_with('.') {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    stored.push(path);
                }
            }
        }
        stored
    }
}

pub(crate) const OFFSET_TYPE: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// The content ends the file, or more follows.
pub(crate) const LAST: (&str, &str) = ("upload-complete", "?1");
pub(crate) const MORE: (&str, &str) = ("upload-complete", "?0");

impl Wire {
    /// Sends a request with its content whole; `content-length: none` leaves the length out.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str(&format!("host: {}\r\n", self.host));
        }
        let has_length = headers
            .iter()
            .any(|(name, _)| matches!(*name, "content-length" | "transfer-encoding"));
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !has_length && (!body.is_empty() || method != "HEAD") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.write(head.as_bytes()).await;
        self.write(body).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let sent = timeout(DEADLINE, self.socket.write_all(bytes)).await;
        sent.expect("in time").expect("sent");
    }

    /// Reads the next answer; 100 counts as one.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.read().await;
        };
        let behind = self.rest.split_off(end + 4);
        let head = std::mem::replace(&mut self.rest, behind);
        let head = String::from_utf8(head).expect("text");
        let status = head.split(' ').nth(1).expect("a status");
        let mut answer = Answer {
            status: status.parse().expect("a number"),
            body: String::new(),
            head,
        };
        let length = match (method, answer.status) {
            ("HEAD", _) | (_, 100 | 204 | 304) => 0,
            _ => answer.number("content-length"),
        };
        while self.rest.len() < length {
            self.read().await;
        }
        let body = self.rest.drain(..length).collect();
        answer.body = String::from_utf8(body).expect("text");
        answer
    }

    /// Waits until the server closes, with nothing more to say.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let read = timeout(DEADLINE, self.socket.read_buf(&mut self.rest)).await;
        matches!(read.expect("in time"), Ok(0)) && self.rest.is_empty()
    }

    async fn read(&mut self) {
        let read = timeout(DEADLINE, self.socket.read_buf(&mut self.rest)).await;
        let read = read.expect("in time").expect("read");
        assert_ne!(read, 0, "the connection ended");
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn number(&self, name: &str) -> usize {
        let text = self.header(name);
        let text = text.unwrap_or_else(|| panic!("{name} in {self:?}"));
        text.parse().expect("a number")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// Bytes in which no two places look alike.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

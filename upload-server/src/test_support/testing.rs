//! A client for tests of applications, which speaks to the whole app over a real connection.

mod contexts;
mod requests;
mod talk;

use std::{collections::VecDeque, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

#[doc(hidden)]
pub use axum;
use axum::{Router, extract::Request, middleware};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::{net::TcpStream, task::AbortHandle};
use tokio_websockets::{MaybeTlsStream, WebSocketStream};
use upload_proto::{EventPush, Frame, ServerMessage, Status, UploadRef};
use uuid::Uuid;

pub use self::requests::Answer;
use self::talk::{ended, refused, refused_as};
#[cfg(feature = "presign")]
#[doc(hidden)]
pub use super::fuzz::*;
#[cfg(feature = "doors")]
#[doc(hidden)]
pub use super::headers::*;
use crate::http::identity::TestOwner;

/// Longest time a test waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Names the owner of a test's requests.
const OWNER: HeaderName = HeaderName::from_static("x-test-owner");

/// A page's client and its browser, for tests.
///
/// It serves an app on a free port, and uses it as a page does: it uploads files, fires events,
/// and sends forms. A connection is opened with the first upload or event, under the headers that were
/// set before.
///
/// ```
/// use axum::Router;
/// use serde_json::json;
/// use upload_server::{HandlerError, Owner, SlotOptions, Uploads, testing::TestClient};
///
/// async fn greet(Owner(owner): Owner) -> Result<String, HandlerError> {
///     Ok(format!("Hello, {owner}"))
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let uploads = Uploads::builder()
///     .data_dir(dir.path())
///     .allow_upload("notes", SlotOptions::new())
///     .handle_event("greet", greet)
///     .build()?;
/// let app = Router::new().nest("/uploads", uploads.router());
///
/// let mut ann = TestClient::new(app)?.owner("ann");
/// let stored = ann.upload("notes", "a.txt", "some text").await?;
/// assert!(stored.result["path"].is_string());
/// assert_eq!(ann.event("greet", json!({})).await?, json!("Hello, ann"));
/// # Ok(())
/// # }
/// ```
pub struct TestClient {
    server: Arc<Server>,
    headers: HeaderMap,
    socket: Option<Socket>,
    /// What the application told this page, as far as the test has not asked for it.
    pushes: VecDeque<EventPush>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An app that is served until its last client is gone.
struct Server {
    address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A file that was stored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Uploaded {
    /// The ref of the upload, which a form names.
    pub upload: UploadRef,
    /// What the writer returned.
    pub result: Value,
}

/// Why a test's client did not get what it asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TestError {
    /// The server refused, with a code and a text.
    #[error("refused with {code}: {text}")]
    Refused {
        /// The code of the protocol, or the application's own.
        code: String,
        /// The text that people see.
        text: String,
    },
    /// The server closed the connection with this code.
    #[error("the connection was closed with {0}")]
    Closed(u16),
    /// No answer came in 20 seconds.
    #[error("no answer in time")]
    TimedOut,
    /// The connection failed, or said what it should not.
    #[error("the connection failed: {0}")]
    Broken(String),
}

impl TestError {
    /// Returns the code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::Closed(_) | Self::TimedOut | Self::Broken(_) => None,
        }
    }

    fn broken(error: impl fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

impl TestClient {
    /// Serves an app, whose uploads are below `/uploads`, on a free port.
    ///
    /// # Errors
    ///
    /// There is no port to be had, or no runtime.
    pub fn new(app: Router) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let app = app.layer(middleware::from_fn(
            async |mut request: Request, next: middleware::Next| {
                if let Some(owner) = request.headers_mut().remove(OWNER) {
                    let owner = String::from_utf8_lossy(owner.as_bytes()).into_owned();
                    request.extensions_mut().insert(TestOwner(owner));
                }
                next.run(request).await
            },
        ));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        let task = serving.abort_handle();
        Ok(Self {
            server: Arc::new(Server { address, task }),
            headers: HeaderMap::new(),
            socket: None,
            pushes: VecDeque::new(),
        })
    }

    /// Returns another client of the same app, without headers, over another connection.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            server: Arc::clone(&self.server),
            headers: HeaderMap::new(),
            socket: None,
            pushes: VecDeque::new(),
        }
    }

    /// Makes requests those of this owner, whatever the application's `owner` says.
    ///
    /// A typed [`Owner<T>`](crate::Owner) is not made of it: there, sign in as a browser does, and set its
    /// [`header`](Self::header).
    #[must_use]
    pub fn owner(self, owner: &str) -> Self {
        self.header(OWNER.as_str(), owner)
    }

    /// Sends this header with every request, such as a cookie.
    ///
    /// One that cannot be a header is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let pair = name.parse::<HeaderName>().ok();
        if let Some((name, value)) = pair.zip(HeaderValue::from_bytes(value.as_bytes()).ok()) {
            self.headers.insert(name, value);
        }
        self.socket = None;
        self
    }

    /// Returns `http://` and the address of the app.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Uploads a file, whose type is that of its extension.
    ///
    /// # Errors
    ///
    /// The server refuses it.
    pub async fn upload(
        &mut self,
        slot: &str,
        name: &str,
        bytes: impl AsRef<[u8]>,
    ) -> Result<Uploaded, TestError> {
        let extension = upload_validate::extension(name);
        let media_type = extension.and_then(upload_validate::media_type_for_extension);
        let upload = UploadRef::from(Uuid::new_v4());
        let bytes = bytes.as_ref();
        self.say(json!({
            "type": "upload_register", "upload_name": slot, "ref": upload, "client_name": name,
            "client_type": media_type.unwrap_or_default(), "client_size": bytes.len(),
        }))
        .await?;
        let (chunk_bytes, mut credit) = loop {
            match self.heard().await? {
                ServerMessage::Registered(it) if it.upload == upload => {
                    break (it.chunk_size as usize, it.credit);
                }
                ServerMessage::Error(it) => return Err(refused_as(it)),
                other => ended(other, upload)?,
            }
        };
        let mut sent = 0_u64;
        for (index, data) in (0..).zip(bytes.chunks(chunk_bytes.max(1))) {
            sent = sent.saturating_add(data.len() as u64);
            while sent > credit {
                match self.heard().await? {
                    ServerMessage::Progress(it)
                        if it.upload == upload && it.status == Status::Uploading =>
                    {
                        credit = it.credit;
                    }
                    other => ended(other, upload)?,
                }
            }
            let data = Bytes::copy_from_slice(data);
            let chunk = Frame::Chunk {
                upload,
                index,
                data,
            };
            self.frame(&chunk).await?;
        }
        let crc32c = Some(crc32c::crc32c(bytes));
        self.frame(&Frame::Complete { upload, crc32c }).await?;
        loop {
            match self.heard().await? {
                ServerMessage::Progress(it)
                    if it.upload == upload && it.status == Status::Complete =>
                {
                    let result = it.result.unwrap_or_default();
                    return Ok(Uploaded { upload, result });
                }
                other => ended(other, upload)?,
            }
        }
    }

    /// Fires an event of the page and returns its result; `params` is an object.
    ///
    /// # Errors
    ///
    /// There is no such event, or its handler failed.
    pub async fn event(&mut self, event: &str, params: impl Serialize) -> Result<Value, TestError> {
        let params = serde_json::to_value(params).map_err(TestError::broken)?;
        self.say(json!({ "type": "event", "event": event, "id": 1, "params": params }))
            .await?;
        loop {
            match self.heard().await? {
                ServerMessage::EventResult(it) if it.ok => {
                    return Ok(it.result.unwrap_or_default());
                }
                ServerMessage::EventResult(it) => {
                    return Err(refused(it.code, it.reason, it.error));
                }
                ServerMessage::Error(it) => return Err(refused_as(it)),
                _ => {}
            }
        }
    }

    /// Waits for something that the application tells this page, and returns the event's name and value.
    ///
    /// What was told while the client waited for something else comes first.
    ///
    /// # Errors
    ///
    /// Nothing comes in time.
    pub async fn pushed(&mut self) -> Result<(String, Value), TestError> {
        loop {
            if let Some(EventPush { event, value }) = self.pushes.pop_front() {
                return Ok((event, value));
            }
            self.hear_push().await?;
        }
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient")
            .field("address", &self.server.address)
            .finish_non_exhaustive()
    }
}

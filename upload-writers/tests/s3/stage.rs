//! An S3 server in this process: s3s over a directory, behind a layer that keeps strict books, knows
//! what s3s-fs does not (lists of uploads and of parts), and disturbs requests by a script.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, IdentityCache, ProvideCredentials, Region,
        SharedIdentityCache,
    },
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::{
    Body,
    service::{S3Service, S3ServiceBuilder},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::RwLock};

use super::ledger::{Ledger, refusal};

pub(crate) const BUCKET: &str = "bucket";

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Create,
    Part(u32),
    Complete,
    Abort,
    Parts,
    Uploads,
    Head,
    Put,
    Get,
    Other,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered with this status and has no effect.
    Status(u16),
    /// It is answered with status 200 and an error in the body, and has no effect.
    ErrorInBody,
    /// The connection is closed before it has an effect.
    Reset,
    /// It gets no answer for a minute and has no effect.
    Hang,
    /// It takes effect, but the connection is closed before the answer.
    LoseAnswer,
    /// It takes effect, but gets no answer for a minute.
    HoldAnswer,
    /// One bit of its body changes on the way.
    Flip,
    /// It is answered with this status and code and has no effect.
    Code(u16, &'static str),
    /// Somebody before the bucket answers with this status and text, and it has no effect.
    Page(u16, &'static str),
}

type Script = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;

/// The server, its script and its books.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) addr: SocketAddr,
    pub(crate) dir: TempDir,
    books: Arc<Books>,
}

struct Books {
    s3: S3Service,
    ledger: Mutex<Ledger>,
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    /// An abort waits for parts under way, which s3s-fs would otherwise leave lying.
    aborts: RwLock<()>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::create_dir(dir.path().join(BUCKET)).expect("makes the bucket");
        let files = s3s_fs::FileSystem::new(dir.path()).expect("opens the directory");
        let books = Arc::new(Books {
            s3: S3ServiceBuilder::new(files).build(),
            ledger: Mutex::default(),
            script: Mutex::new(Box::new(|_| None)),
            asked: Mutex::default(),
            aborts: RwLock::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let addr = listener.local_addr().expect("has an address");
        tokio::spawn(serve(listener, Arc::clone(&books)));
        Self {
            client: client(addr),
            addr,
            dir,
            books,
        }
    }

    /// Disturbs the requests for which `script` says so.
    pub(crate) fn disturb(&self, script: impl FnMut(&Asked) -> Option<Fault> + Send + 'static) {
        *lock(&self.books.script) = Box::new(script);
    }

    /// Tells what was asked for so far, and forgets it.
    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *lock(&self.books.asked))
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.books.ledger)
    }

    /// Names everything that is kept: objects, unfinished uploads, and files of parts.
    pub(crate) fn kept(&self) -> Vec<String> {
        let mut names: Vec<String> = self.ledger().unfinished().collect();
        fn walk(dir: &std::path::Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(dir).expect("lists") {
                let path = entry.expect("lists").path();
                if path.is_dir() {
                    walk(&path, names);
                } else {
                    names.push(path.to_string_lossy().into_owned());
                }
            }
        }
        walk(&self.dir.path().join(BUCKET), &mut names);
        for entry in fs::read_dir(self.dir.path()).expect("lists") {
            let name = entry.expect("lists").file_name();
            let name = name.to_string_lossy().into_owned();
            if name.contains(".part-") {
                names.push(name);
            }
        }
        names.sort();
        names
    }

    pub(crate) async fn read(&self, key: &str) -> Option<Vec<u8>> {
        let request = self.client.get_object().bucket(BUCKET).key(key);
        let answer = request.send().await.ok()?;
        Some(answer.body.collect().await.ok()?.to_vec())
    }
}

/// A client as a user makes it, with everything at its default.
fn client(addr: SocketAddr) -> Client {
    let credentials = Credentials::new("key", "secret", None, None, "test");
    client_with(addr, credentials, IdentityCache::lazy().build())
}

/// A client with these credentials.
pub(crate) fn client_with(
    addr: SocketAddr,
    credentials: impl ProvideCredentials + 'static,
    cache: SharedIdentityCache,
) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(credentials)
        .identity_cache(cache)
        .region(Region::new("test"))
        .endpoint_url(format!("http://{addr}"))
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

async fn serve(listener: TcpListener, books: Arc<Books>) {
    while let Ok((stream, _)) = listener.accept().await {
        let books = Arc::clone(&books);
        let service = service_fn(move |request| answer(Arc::clone(&books), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

async fn answer(books: Arc<Books>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let asked = asked(&request);
    lock(&books.asked).push(asked.clone());
    let fault = (lock(&books.script))(&asked);
    match fault {
        Some(Fault::Reset) => return Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::Hang) => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return Err(io::ErrorKind::TimedOut.into());
        }
        _ => {}
    }
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let mut body = body.to_bytes();
    if fault == Some(Fault::Flip) {
        let mut bytes = body.to_vec();
        *bytes.last_mut().expect("has a body") ^= 1;
        body = bytes.into();
    }
    let request = Request::from_parts(head, body);
    match fault {
        Some(Fault::Code(status, code)) => Ok(refusal(status, code)),
        Some(Fault::Page(status, text)) => {
            let page = Response::builder().status(status);
            let page = page.header("content-type", "text/plain");
            Ok(page.body(Body::from(text.to_owned())).expect("an answer"))
        }
        Some(Fault::Status(status)) => Ok(refusal(
            status,
            match status {
                403 => "AccessDenied",
                503 => "SlowDown",
                507 => "InsufficientStorage",
                _ => "InternalError",
            },
        )),
        Some(Fault::ErrorInBody) => Ok(refusal(200, "InternalError")),
        Some(Fault::LoseAnswer) => {
            effect(&books, &asked, request).await?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Some(Fault::HoldAnswer) => {
            effect(&books, &asked, request).await?;
            tokio::time::sleep(Duration::from_secs(60)).await;
            Err(io::ErrorKind::TimedOut.into())
        }
        _ => effect(&books, &asked, request).await,
    }
}

/// Has the books check a request, s3s carry it out, and the books note what became of it.
async fn effect(
    books: &Books,
    asked: &Asked,
    request: Request<Bytes>,
) -> io::Result<Response<Body>> {
    let (_alone, _beside) = match asked {
        Asked::Abort => (Some(books.aborts.write().await), None),
        _ => (None, Some(books.aborts.read().await)),
    };
    let (key, query) = (key(&request), query(&request));
    let upload = query.get("uploadId").cloned().unwrap_or_default();
    let checked = lock(&books.ledger).check(asked, &key, &upload, &query, &request);
    if let Some(answer) = checked {
        return Ok(answer);
    }
    let sent = request.clone();
    let answer = books.s3.call(plain(request)).await;
    let (head, body) = answer.map_err(|_| io::ErrorKind::Other)?.into_parts();
    let body = body.collect().await.map_err(|_| io::ErrorKind::Other)?;
    let answer = Response::from_parts(head, body.to_bytes());
    if answer.status() == StatusCode::OK || answer.status() == StatusCode::NO_CONTENT {
        lock(&books.ledger).note(asked, &key, &upload, &sent, &answer);
    }
    Ok(answer.map(Body::from))
}

/// Makes a request one that s3s-fs can take: it has no accounts here, and its file names no room
/// for long keys.
fn plain(request: Request<Bytes>) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    for name in ["authorization", "x-amz-content-sha256", "x-amz-date"] {
        head.headers.remove(name);
    }
    let path = head.uri.path().to_owned();
    if path.len() > 100 && path.matches('/').count() > 1 {
        let mut hash = DefaultHasher::new();
        path.hash(&mut hash);
        let query = head.uri.query().unwrap_or_default();
        let short = format!("/{BUCKET}/long-{:016x}?{query}", hash.finish());
        let mut uri = head.uri.into_parts();
        uri.path_and_query = Some(short.parse().expect("a path"));
        head.uri = uri.try_into().expect("a URI");
    }
    Request::from_parts(head, Body::from(body))
}

fn asked(request: &Request<Incoming>) -> Asked {
    let query = query(request);
    let has = |name: &str| query.contains_key(name);
    match request.method().as_str() {
        "POST" if has("uploads") => Asked::Create,
        "POST" if has("uploadId") => Asked::Complete,
        "PUT" if has("partNumber") => {
            let number = query["partNumber"].parse().expect("a number");
            Asked::Part(number)
        }
        "PUT" => Asked::Put,
        "DELETE" if has("uploadId") => Asked::Abort,
        "GET" if has("uploadId") => Asked::Parts,
        "GET" if has("uploads") => Asked::Uploads,
        "GET" => Asked::Get,
        "HEAD" => Asked::Head,
        _ => Asked::Other,
    }
}

fn key<B>(request: &Request<B>) -> String {
    let path = request.uri().path();
    let key = path.trim_start_matches('/').split_once('/');
    decoded(key.map_or("", |(_, key)| key))
}

fn query<B>(request: &Request<B>) -> BTreeMap<String, String> {
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex: Vec<u8> = rest.by_ref().take(2).collect();
            let hex = str::from_utf8(&hex).expect("hex digits");
            bytes.push(u8::from_str_radix(hex, 16).expect("hex digits"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics under it")
}

//! What stands between a server and its bucket: it notes every request, and slows some down.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpListener, time::Instant};

type Body = BoxBody<Bytes, hyper::Error>;

/// What a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Create,
    Part(u32),
    Complete,
    Abort,
    /// Azure's parts.
    Block,
    Other,
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Seen {
    pub asked: Asked,
    pub path: String,
    pub status: u16,
}

/// An HTTP proxy to a bucket.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    target: u16,
    client: Client<HttpConnector, Body>,
    seen: Mutex<Vec<Seen>>,
    slow: Mutex<Option<Slow>>,
    /// Payload bytes that went through slowly.
    slow_bytes: AtomicU64,
}

#[derive(Clone)]
struct Slow {
    name: String,
    bytes_per_second: u32,
    /// When the next byte may pass, for all requests of the name together.
    next: Arc<Mutex<Instant>>,
}

impl Proxy {
    /// Stands before the bucket on `target`.
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared {
            target,
            client: Client::builder(TokioExecutor::new()).build_http(),
            seen: Mutex::default(),
            slow: Mutex::default(),
            slow_bytes: AtomicU64::new(0),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { port, shared, task }
    }

    /// Lets only so many bytes per second pass to keys in which `name` stands, all together.
    pub fn slow_down(&self, name: &str, bytes_per_second: u32) {
        *self.shared.slow.lock().expect("whole") = Some(Slow {
            name: name.to_owned(),
            bytes_per_second,
            next: Arc::new(Mutex::new(Instant::now())),
        });
    }

    /// Lets everything pass at full speed, requests under way included.
    pub fn speed_up(&self) {
        if let Some(slow) = self.shared.slow.lock().expect("whole").take() {
            *slow.next.lock().expect("whole") = Instant::now() - Duration::from_secs(3600 * 24);
        }
    }

    /// Tells how many bytes went through slowly.
    pub fn slow_bytes(&self) -> u64 {
        self.shared.slow_bytes.load(SeqCst)
    }

    /// Tells what was answered so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("whole").clone()
    }

    /// Lists the parts that were stored, in the order they were.
    pub fn parts(&self) -> Vec<u32> {
        let stored = |seen: Seen| match seen {
            Seen {
                asked: Asked::Part(number),
                status: 200,
                ..
            } => Some(number),
            _ => None,
        };
        self.seen().into_iter().filter_map(stored).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.pass(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

impl Shared {
    async fn pass(self: &Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let asked = asked(head.method.as_str(), head.uri.query().unwrap_or_default());
        let path = head.uri.path().to_owned();
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        head.uri = format!("http://127.0.0.1:{}{target}", self.target)
            .parse()
            .expect("an address");
        let slow = self.slow.lock().expect("whole").clone();
        let body = match slow.filter(|slow| path.contains(&slow.name)) {
            Some(slow) => self.slowly(body, slow),
            None => body.boxed(),
        };
        let answer = self.client.request(Request::from_parts(head, body)).await;
        let Ok(answer) = answer else {
            let mut answer = Response::new(Full::default().map_err(|never| match never {}).boxed());
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            return answer;
        };
        self.seen.lock().expect("whole").push(Seen {
            asked,
            path,
            status: answer.status().as_u16(),
        });
        answer.map(BodyExt::boxed)
    }

    fn slowly(self: &Arc<Self>, body: Incoming, slow: Slow) -> Body {
        let shared = Arc::clone(self);
        let paced = BodyStream::new(body).then(move |frame: Result<Frame<Bytes>, hyper::Error>| {
            let (shared, slow) = (Arc::clone(&shared), slow.clone());
            async move {
                let frame = frame?;
                if let Some(data) = frame.data_ref() {
                    let bytes = u32::try_from(data.len()).expect("a small frame");
                    let takes = Duration::from_secs(1) * bytes / slow.bytes_per_second;
                    let at = {
                        let mut next = slow.next.lock().expect("whole");
                        // One that was sped up stays so.
                        if *next + Duration::from_secs(3600) > Instant::now() {
                            *next = (*next).max(Instant::now()) + takes;
                        }
                        *next
                    };
                    tokio::time::sleep_until(at).await;
                    shared.slow_bytes.fetch_add(bytes.into(), SeqCst);
                }
                Ok(frame)
            }
        });
        BodyExt::boxed(StreamBody::new(Box::pin(SyncStream(Mutex::new(Box::pin(
            paced,
        ))))))
    }
}

/// A boxed body has to be `Sync`, which a stream with a future inside is not.
struct SyncStream<S>(Mutex<S>);

impl<S: futures_util::Stream + Unpin> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.get_mut().expect("whole").poll_next_unpin(cx)
    }
}

fn asked(method: &str, query: &str) -> Asked {
    let value = |name: &str| {
        let pairs = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    };
    match (method, value("partNumber"), value("uploadId")) {
        ("PUT", ..) if value("comp") == Some("block") => Asked::Block,
        ("PUT", Some(number), _) => Asked::Part(number.parse().expect("a number")),
        ("POST", _, Some(_)) => Asked::Complete,
        ("DELETE", _, Some(_)) => Asked::Abort,
        ("POST", ..) if value("uploads").is_some() => Asked::Create,
        _ => Asked::Other,
    }
}

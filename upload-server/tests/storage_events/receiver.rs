//! The receiver of hooks, in this process; it may refuse the first calls.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, http::HeaderMap, http::StatusCode, routing::post};
use serde_json::Value;
use tokio::{net::TcpListener, time::timeout};

use crate::http::signature;

const PATIENCE: Duration = Duration::from_secs(60);

/// One call, accepted or refused.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) signature: String,
    pub(crate) body: Bytes,
}

impl Call {
    /// Checks the signature and reads the body.
    pub(crate) fn verified(&self, secret: &str) -> Value {
        assert_eq!(self.signature, signature(secret, &self.body));
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    wake: Arc<tokio::sync::Notify>,
}

impl Receiver {
    /// Listens, and answers `refusals` calls with 503 before it takes any.
    pub(crate) async fn start(listener: TcpListener, refusals: usize) -> Self {
        let address = listener.local_addr().expect("an address");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let wake = Arc::new(tokio::sync::Notify::new());
        let (kept, woken) = (Arc::clone(&calls), Arc::clone(&wake));
        let take = move |headers: HeaderMap, body: Bytes| {
            let (kept, woken) = (Arc::clone(&kept), Arc::clone(&woken));
            async move {
                let signature = headers.get("x-upload-signature");
                let signature = signature.map(|value| value.to_str().expect("text").to_owned());
                let mut kept = kept.lock().expect("whole");
                kept.push(Call {
                    signature: signature.unwrap_or_default(),
                    body,
                });
                woken.notify_one();
                if kept.len() <= refusals {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::NO_CONTENT
                }
            }
        };
        let app = Router::new().route("/uploaded", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            calls,
            wake,
        }
    }

    /// Waits until there were so many calls.
    pub(crate) async fn calls(&self, count: usize) -> Vec<Call> {
        let enough = async {
            loop {
                let calls = self.calls.lock().expect("whole").clone();
                if calls.len() >= count {
                    return calls;
                }
                self.wake.notified().await;
            }
        };
        timeout(PATIENCE, enough).await.expect("called in time")
    }
}

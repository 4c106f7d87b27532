//! Ordinary requests of a test.

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::{ANSWER_TIMEOUT, TestClient, TestError};

/// Longest answer to an ordinary request, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An answer to an ordinary request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// Returns the body as text; what is no text is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the cookies that it sets, as the header `cookie` of later requests has them.
    pub fn cookie(&self) -> String {
        let set = self.headers.get_all(header::SET_COOKIE).iter();
        let pairs = set.filter_map(|value| value.to_str().ok()?.split(';').next());
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Returns the body as JSON, or `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl TestClient {
    /// Sends a form as a browser does, `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Result<Answer, TestError> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let fields = fields.iter();
        let fields = fields.map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let body = fields.collect::<Vec<_>>().join("&");
        let media_type = "application/x-www-form-urlencoded";
        self.request(Method::POST, path, Some(media_type), body)
            .await
    }

    /// Sends a JSON body by `POST`.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn post(&self, path: &str, body: impl Serialize) -> Result<Answer, TestError> {
        let body = serde_json::to_vec(&body).map_err(TestError::broken)?;
        self.request(Method::POST, path, Some("application/json"), body)
            .await
    }

    /// Gets a page.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn get(&self, path: &str) -> Result<Answer, TestError> {
        self.request(Method::GET, path, None, "").await
    }

    /// Sends any request without a body of this path and method.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn send(&self, method: Method, path: &str) -> Result<Answer, TestError> {
        self.request(method, path, None, "").await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        media_type: Option<&str>,
        body: impl Into<Body>,
    ) -> Result<Answer, TestError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url()));
        if let Some(media_type) = media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let mut request = request.body(body.into()).map_err(TestError::broken)?;
        request.headers_mut().extend(self.headers.clone());
        let client: Client<HttpConnector, Body> =
            Client::builder(TokioExecutor::new()).build_http();
        let answer = async {
            let response = client.request(request).await.map_err(TestError::broken)?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
            let body = body.map_err(TestError::broken)?.to_bytes();
            Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        };
        timeout(ANSWER_TIMEOUT, answer)
            .await
            .map_err(|_| TestError::TimedOut)?
    }
}

//! HTTP calls that the server makes itself: of hooks, and of servers that sign visitors in.

#[cfg(feature = "hooks-tls")]
use std::sync::Arc;
use std::{io, time::Duration};

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

/// How long connecting may take; callers have a shorter limit where it wants one.
const CONNECT: Duration = Duration::from_secs(10);

#[cfg(not(feature = "hooks-tls"))]
type Connector = HttpConnector;
#[cfg(feature = "hooks-tls")]
type Connector = hyper_rustls::HttpsConnector<HttpConnector>;

/// Calls addresses, and keeps a few idle connections to each.
pub(crate) type HttpClient = Client<Connector, Full<Bytes>>;

/// Makes a client for calls of these addresses that keeps at most `idle_max` idle connections to a host.
///
/// # Errors
///
/// One of them is called over TLS, and the system's certificates cannot be read.
pub(crate) fn client<'a>(
    idle_max: usize,
    addresses: impl IntoIterator<Item = &'a Uri>,
) -> io::Result<HttpClient> {
    let needs_tls = addresses.into_iter().any(is_tls);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(idle_max)
        .build(connector(needs_tls)?))
}

/// Returns whether an address is called over TLS.
pub(crate) fn is_tls(address: &Uri) -> bool {
    address.scheme_str() == Some("https")
}

#[cfg(not(feature = "hooks-tls"))]
fn connector(_: bool) -> io::Result<Connector> {
    Ok(plain())
}

#[cfg(feature = "hooks-tls")]
fn connector(needs_tls: bool) -> io::Result<Connector> {
    let mut plain = plain();
    plain.enforce_http(false);
    let provider = rustls::crypto::ring::default_provider();
    let https = hyper_rustls::HttpsConnectorBuilder::new();
    let https = if needs_tls {
        let https = https.with_provider_and_native_roots(provider);
        https.map_err(|error| {
            let text = format!("the system's certificates cannot be read: {error}");
            io::Error::new(error.kind(), text)
        })?
    } else {
        https.with_tls_config(trusting_none(provider)?)
    };
    Ok(https.https_or_http().enable_http1().wrap_connector(plain))
}

/// Trusts no certificate, so it needs none of the system.
#[cfg(feature = "hooks-tls")]
fn trusting_none(provider: rustls::crypto::CryptoProvider) -> io::Result<rustls::ClientConfig> {
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

fn plain() -> HttpConnector {
    let mut plain = HttpConnector::new();
    plain.set_connect_timeout(Some(CONNECT));
    plain.set_nodelay(true);
    plain
}

#[cfg(feature = "cli")]
pub(crate) use self::answers::{address, ask};

/// Calls whose answer is read.
#[cfg(feature = "cli")]
mod answers {
    use http::{Request, StatusCode, Uri};
    use http_body_util::{BodyExt, Limited};
    use tokio::time::timeout;

    use super::{Bytes, Duration, Full, HttpClient};

    /// What was answered.
    #[derive(Debug)]
    pub(crate) struct Answer {
        pub(crate) status: StatusCode,
        pub(crate) body: Bytes,
    }

    /// A call came to nothing.
    #[derive(Debug, thiserror::Error)]
    pub(crate) enum CallError {
        #[error("no answer in time")]
        Late,
        #[error("the answer is larger than {0} bytes, or broke off")]
        Body(usize),
        #[error("{0}")]
        Failed(String),
    }

    /// An address cannot be called.
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    pub(crate) enum AddressError {
        #[error("is not an address such as \"http://127.0.0.1:7000/path\"")]
        Url,
        #[error("\"https\" needs a build with the feature \"hooks-tls\"")]
        Tls,
    }

    /// Reads an address that can be called.
    ///
    /// # Errors
    ///
    /// It is no HTTP address, or one that this build cannot call.
    pub(crate) fn address(url: &str) -> Result<Uri, AddressError> {
        let uri: Uri = url.parse().map_err(|_| AddressError::Url)?;
        match uri.scheme_str() {
            _ if uri.host().is_none_or(str::is_empty) => Err(AddressError::Url),
            Some("http") => Ok(uri),
            Some("https") if cfg!(feature = "hooks-tls") => Ok(uri),
            Some("https") => Err(AddressError::Tls),
            _ => Err(AddressError::Url),
        }
    }

    /// Sends a request and reads the whole answer, within `limit` and of at most `bytes_max` bytes; redirects
    /// are not followed.
    ///
    /// # Errors
    ///
    /// There is no such answer.
    pub(crate) async fn ask(
        client: &HttpClient,
        request: Request<Full<Bytes>>,
        limit: Duration,
        bytes_max: usize,
    ) -> Result<Answer, CallError> {
        let call = async {
            let answer = client.request(request).await;
            let answer = answer.map_err(|error| CallError::Failed(crate::text::chain(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), bytes_max).collect().await;
            let body = body.map_err(|_| CallError::Body(bytes_max))?.to_bytes();
            Ok(Answer { status, body })
        };
        timeout(limit, call).await.map_err(|_| CallError::Late)?
    }
}

//! What the ready server listens on, and how it speaks there.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Router;
use listenfd::ListenFd;
use serde::Deserialize;
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Config, ConfigError, Server};
use crate::{
    http::{
        forwarded::Proxies,
        listener::{Speech, serve_as},
        tls::Certificates,
    },
    server::limits::Limits,
};

/// Who may connect to a socket of the file system: its owner and group.
const SOCKET_MODE: u32 = 0o660;

/// `[tls]`: the server speaks TLS itself, HTTP/1.1 and HTTP/2 on one port.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificate and those that follow it up to the authority, in PEM; read anew when the file changes.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

/// A listener.
#[derive(Debug)]
pub enum Bound {
    /// A port.
    Tcp(TcpListener),
    /// A socket of the file system, for proxies of this machine.
    Unix(UnixListener),
}

impl Bound {
    async fn serve(self, app: Router, speech: Speech, limits: &Limits, stop: CancellationToken) {
        match self {
            Self::Tcp(listener) => serve_as(listener, app, speech, limits, stop).await,
            Self::Unix(listener) => serve_as(listener, app, speech, limits, stop).await,
        }
    }
}

/// What a server listens on.
#[derive(Debug, Default)]
pub struct Listeners {
    /// What pages and clients reach, with what to tell of each.
    pub open: Vec<(Bound, String)>,
    /// For `/metrics` and the like, if that is apart.
    pub admin: Option<(Bound, String)>,
}

/// How one listener is spoken with.
pub(super) struct Ways {
    plain: Speech,
    tls: Option<(Arc<Certificates>, TlsAcceptor)>,
    limits: Limits,
}

impl Config {
    /// Takes listeners that were inherited (`LISTEN_FDS`), inside a runtime and before [`Self::open`]: who reaches
    /// them decides what is served.
    ///
    /// Inherited ones are those of pages and clients; where there are several, and an `admin_listen`, the
    /// last of them is for that.
    ///
    /// # Errors
    ///
    /// One cannot be taken; or no slot is named, and others than this machine could come in.
    pub fn inherit(&mut self) -> io::Result<Listeners> {
        let mut listeners = Listeners {
            open: inherited(self.scheme())?,
            admin: None,
        };
        if self.admin_listen.is_some() && listeners.open.len() > 1 {
            listeners.admin = listeners.open.pop();
        }
        let ports = listeners.open.iter().filter_map(|(bound, _)| match bound {
            Bound::Tcp(port) => Some(port.local_addr()),
            Bound::Unix(_) => None,
        });
        self.inherited = ports.collect::<io::Result<_>>()?;
        self.check_openness().map_err(io::Error::other)?;
        Ok(listeners)
    }

    /// Binds the listeners that are configured, unless others were [inherited](Self::inherit) in their place.
    ///
    /// # Errors
    ///
    /// One cannot be bound.
    pub async fn bind(&self, mut listeners: Listeners) -> io::Result<Listeners> {
        if let (Some(address), None) = (self.admin_listen, &listeners.admin) {
            listeners.admin = Some(bind_port(address, "http").await?);
        }
        if !listeners.open.is_empty() {
            return Ok(listeners);
        }
        let port = bind_port(self.listen, self.scheme()).await?;
        listeners.open.push(port);
        if let Some(path) = &self.listen_socket {
            let bound = bind_socket(path).map_err(|error| in_words(error, &path.display()))?;
            let text = format!("unix:{}", path.display());
            listeners.open.push((Bound::Unix(bound), text));
        }
        Ok(listeners)
    }

    fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Reads the certificate, if there is one.
    pub(super) fn ways(&self, proxies: Proxies) -> Result<Ways, ConfigError> {
        let limits = self.limits();
        let tls = match &self.tls {
            Some(tls) => Some(tls.open()?),
            None => None,
        };
        Ok(Ways {
            plain: Speech::plain(&limits).behind(proxies),
            tls,
            limits,
        })
    }
}

impl TlsConfig {
    fn open(&self) -> Result<(Arc<Certificates>, TlsAcceptor), ConfigError> {
        let invalid = |why: String| ConfigError::invalid("tls", why);
        let certificates = Certificates::load(&self.certificate, &self.key);
        let certificates = certificates.map_err(|error| invalid(error.to_string()))?;
        let acceptor = certificates.acceptor();
        let acceptor = acceptor.map_err(|error| invalid(error.to_string()))?;
        Ok((certificates, acceptor))
    }
}

impl Server {
    /// Serves `app` to pages and clients until `stop` is cancelled, over TLS where that is configured and
    /// the listener is a port.
    pub async fn serve(&self, bound: Bound, app: Router, stop: CancellationToken) {
        let ways = &self.ways;
        let speech = match (&ways.tls, &bound) {
            (Some((_, acceptor)), Bound::Tcp(_)) => {
                let plain = ways.plain.clone();
                plain.over_tls(acceptor.clone(), &ways.limits)
            }
            _ => ways.plain.clone(),
        };
        bound.serve(app, speech, &ways.limits, stop).await;
    }

    /// Serves `app` without TLS, as for those who collect metrics.
    pub async fn serve_plain(&self, bound: Bound, app: Router, stop: CancellationToken) {
        let ways = &self.ways;
        let speech = ways.plain.clone();
        bound.serve(app, speech, &ways.limits, stop).await;
    }

    /// Takes a new certificate whenever there is one; never ends, and does nothing without TLS.
    pub async fn keep_certificates(&self) {
        match &self.ways.tls {
            Some((certificates, _)) => Arc::clone(certificates).keep_up().await,
            None => std::future::pending().await,
        }
    }
}

fn in_words(error: io::Error, what: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {what}: {error}"))
}

async fn bind_port(address: SocketAddr, scheme: &str) -> io::Result<(Bound, String)> {
    let bound = TcpListener::bind(address).await;
    let bound = bound.map_err(|error| in_words(error, &address))?;
    let text = format!("{scheme}://{}", bound.local_addr()?);
    Ok((Bound::Tcp(bound), text))
}

/// Makes a socket of the file system, in place of one that no server listens on any more.
fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    let is_stale = match fs::symlink_metadata(path) {
        Ok(facts) if facts.file_type().is_socket() => {
            std::os::unix::net::UnixStream::connect(path).is_err()
        }
        _ => false,
    };
    if is_stale {
        fs::remove_file(path)?;
    }
    let bound = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(bound)
}

/// Returns what the process was started with.
fn inherited(scheme: &str) -> io::Result<Vec<(Bound, String)>> {
    let mut given = ListenFd::from_env();
    let mut taken = Vec::new();
    for number in 0..given.len() {
        if let Ok(Some(listener)) = given.take_tcp_listener(number) {
            listener.set_nonblocking(true)?;
            let text = format!("{scheme}://{} (inherited)", listener.local_addr()?);
            taken.push((Bound::Tcp(TcpListener::from_std(listener)?), text));
        } else if let Some(listener) = given.take_unix_listener(number)? {
            listener.set_nonblocking(true)?;
            let bound = Bound::Unix(UnixListener::from_std(listener)?);
            taken.push((bound, "unix socket (inherited)".to_owned()));
        }
    }
    Ok(taken)
}

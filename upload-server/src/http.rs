//! An HTTP server whose clients must send their request in time (PROTOCOL CONN-3).

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::shared::Limits;

/// How long accepting rests when the system has no file descriptor or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Serves `app` on `listener` until `stop` is cancelled; requests under way are then finished.
///
/// Unlike `axum::serve`, a client has [`Limits::handshake`] to send its request, and at most
/// [`Limits::max_connections`] are connected without a socket of their own. Upgraded connections
/// are not waited for: that is [`Uploads::shutdown`](crate::Uploads::shutdown).
///
/// # Errors
///
/// The listener is unusable from the start.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: &Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    listener.local_addr()?;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.handshake)
        .max_buf_size(HEAD_BYTES_MAX);
    let http = Arc::new(http);
    let places_max = limits.max_connections.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places_max));
    loop {
        // Whoever waits for its turn is not accepted before there is a place.
        let admitted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            admitted = admitted => admitted,
            () = stop.cancelled() => break,
        };
        let place = place.map_err(io::Error::other)?;
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Whatever it was concerns one client, or passes.
                tracing::warn!(%error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (http, app, stop) = (Arc::clone(&http), app.clone(), stop.clone());
        tokio::spawn(async move {
            connection(&http, socket, app, stop).await;
            drop(place);
        });
    }
    // Every place that comes back is a connection that ended.
    let all = u32::try_from(places_max).unwrap_or(u32::MAX);
    let ended = tokio::time::timeout(limits.drain, places.acquire_many(all)).await;
    if ended.is_err() {
        tracing::debug!("some HTTP connections did not end in time");
    }
    Ok(())
}

async fn connection(
    http: &http1::Builder,
    socket: TcpStream,
    app: Router,
    stop: CancellationToken,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "the client left at once");
        return;
    }
    let service = TowerToHyperService::new(app);
    let serving = http
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::routing::get;
    use tokio::{io::AsyncWriteExt, sync::Notify, time::timeout};

    use super::*;

    /// As many requests as there are places, none of which ends, do not keep it from stopping.
    #[tokio::test]
    async fn it_stops_while_every_place_is_taken() {
        let limits = Limits {
            max_connections: 1,
            drain: Duration::from_millis(20),
            ..Limits::default()
        };
        let entered = Arc::new(Notify::new());
        let told = Arc::clone(&entered);
        let never = get(async move || {
            told.notify_one();
            pending::<()>().await;
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let stop = CancellationToken::new();
        let serving = {
            let stop = stop.clone();
            let app = Router::new().route("/", never);
            tokio::spawn(async move { serve(listener, app, &limits, stop).await })
        };
        let mut client = TcpStream::connect(address).await.expect("connected");
        let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
        client.write_all(request).await.expect("sent");
        entered.notified().await;
        stop.cancel();
        let served = timeout(Duration::from_secs(10), serving).await;
        let served = served.expect("it stops").expect("without a panic");
        served.expect("without an error");
    }
}

//! Connections that nothing paces.

use std::{env, io};

use rustix::net::sockopt::set_tcp_congestion;
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// The variable that names another congestion control.
pub const CONGESTION: &str = "UPLOAD_BENCH_CONGESTION";

/// Connects with `reno` for congestion control, if the environment does not name another.
///
/// Pacing (BBR) slows a loopback down, and its timers are charged to the process that happens to run.
/// A connection that was ever BBR's stays paced whatever is set later, so this is set before.
///
/// # Errors
///
/// The address is invalid, or no server answers there.
pub async fn connect(address: &str) -> io::Result<TcpStream> {
    let congestion = env::var(CONGESTION);
    let congestion = congestion.as_deref().unwrap_or("reno");
    let mut refused = io::ErrorKind::NotFound.into();
    for to in lookup_host(address).await? {
        let socket = if to.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        set_tcp_congestion(&socket, congestion)?;
        match socket.connect(to).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

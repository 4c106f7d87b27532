//! Connections that nothing paces.

use std::io;

use rustix::net::sockopt::set_tcp_congestion;
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// Connects with `reno` for congestion control.
///
/// Pacing (BBR) holds a loopback back, and its timers are charged to whoever happens to run.
/// A connection that was ever BBR's stays paced whatever it is told later, so this is told before.
///
/// # Errors
///
/// The address is none, or nobody answers there.
pub async fn connect(address: &str) -> io::Result<TcpStream> {
    let to = lookup_host(address).await?.next();
    let to = to.ok_or(io::ErrorKind::NotFound)?;
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    set_tcp_congestion(&socket, "reno")?;
    socket.connect(to).await
}

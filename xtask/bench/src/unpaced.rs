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
    let mut refused = io::ErrorKind::NotFound.into();
    for to in lookup_host(address).await? {
        let socket = if to.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        set_tcp_congestion(&socket, "reno")?;
        match socket.connect(to).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

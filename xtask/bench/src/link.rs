//! A link with a round trip and with stalls, between a client and a server of this machine.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{Instant, sleep_until},
};

/// Bytes taken from a socket at a time; also what may stall.
const SEGMENT_BYTES: usize = 64 * 1024;

/// What a link does to bytes.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Delay of each direction, half a round trip.
    pub delay: Duration,
    /// One segment in this many stalls all behind it; 0 for none.
    pub stall_one_in: u32,
    /// How long a stall lasts.
    pub stall: Duration,
}

impl Link {
    /// Opens the link to a server; returns the address of its near end.
    ///
    /// # Errors
    ///
    /// There is no free address.
    pub async fn open(self, server: String) -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&server).await else {
                    return;
                };
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(self.carry(near_read, far_write));
                tokio::spawn(self.carry(far_read, near_write));
            }
        });
        Ok(address)
    }

    /// Carries one direction. What is on its way is bounded by the credit of the upload it carries.
    async fn carry(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut on_the_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut segments = 0_u32;
        let mut not_before = Instant::now();
        let mut is_open = true;
        let mut segment = vec![0; SEGMENT_BYTES];
        while is_open || !on_the_way.is_empty() {
            let due = on_the_way.front().map(|(due, _)| *due);
            tokio::select! {
                read = from.read(&mut segment), if is_open => match read {
                    Ok(0) | Err(_) => is_open = false,
                    Ok(bytes) => {
                        segments = segments.wrapping_add(1);
                        let mut due = Instant::now() + self.delay;
                        if self.stall_one_in > 0 && segments.is_multiple_of(self.stall_one_in) {
                            due += self.stall;
                        }
                        // Bytes keep their order, so a stall holds up everything behind it.
                        not_before = not_before.max(due);
                        on_the_way.push_back((not_before, segment[..bytes].to_vec()));
                    }
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some((_, bytes)) = on_the_way.pop_front()
                        && to.write_all(&bytes).await.is_err()
                    {
                        return;
                    }
                }
            }
        }
    }
}

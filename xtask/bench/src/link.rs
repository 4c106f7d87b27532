//! A link with a round trip and with stalls, between a client and a server of this machine.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Builder,
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::unpaced;

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
    /// Opens the link to a server, in a separate thread: what it carries must not wait for the sender.
    /// Returns the address of its near end.
    ///
    /// # Errors
    ///
    /// There is no free address, or no thread.
    pub fn open(self, server: String) -> Result<SocketAddr> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || runtime.block_on(self.serve(listener, server)))?;
        Ok(address)
    }

    async fn serve(self, listener: std::net::TcpListener, server: String) {
        let Ok(listener) = TcpListener::from_std(listener) else {
            return;
        };
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = unpaced::connect(&server).await else {
                return;
            };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            self.carry(near_read, far_write);
            self.carry(far_read, near_write);
        }
    }

    /// Carries one direction. What is on its way is bounded by the credit of the upload it carries.
    fn carry(self, from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (enter, mut leave) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
        tokio::spawn(self.delay(from, enter));
        tokio::spawn(async move {
            while let Some((due, bytes)) = leave.recv().await {
                sleep_until(due).await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Says of each segment when it leaves; a receiver that is slow does not change that.
    async fn delay(
        self,
        mut from: OwnedReadHalf,
        enter: mpsc::UnboundedSender<(Instant, Vec<u8>)>,
    ) {
        let mut segments = 0_u32;
        let mut not_before = Instant::now();
        let mut segment = vec![0; SEGMENT_BYTES];
        while let Ok(bytes @ 1..) = from.read(&mut segment).await {
            segments = segments.wrapping_add(1);
            let mut due = Instant::now() + self.delay;
            if self.stall_one_in > 0 && segments.is_multiple_of(self.stall_one_in) {
                due += self.stall;
            }
            // Bytes keep their order, so a stall holds up everything behind it.
            not_before = not_before.max(due);
            if enter.send((not_before, segment[..bytes].to_vec())).is_err() {
                return;
            }
        }
    }
}

//! A plain TCP stream, and one whose sender waits for an answer after each chunk: the least and the most that a
//! protocol can cost on a long link.
//!
//! The receiver drops what it receives. The sender prints `ready` once it is connected, begins at a line on its
//! input, and ends with one line of JSON.

use std::{
    io::{Read, Write, stdin, stdout},
    net::{Shutdown, TcpListener, TcpStream},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::json;

/// Bytes of a call.
const CALL_BYTES: usize = 1 << 18;
/// What the receiver answers.
const ANSWER: [u8; 1] = [b'.'];

/// Sends or receives a plain stream.
#[derive(Parser)]
enum Args {
    /// Receives one stream after the other; answers each at its end, and after each chunk if there are any
    Receive {
        /// Where to listen
        #[arg(long)]
        listen: String,
        /// Bytes of a chunk
        #[arg(long)]
        chunk: Option<usize>,
    },
    /// Sends a stream
    Send(Send),
}

#[derive(clap::Args)]
struct Send {
    /// Address of the receiver
    #[arg(long)]
    address: String,
    /// Bytes of the stream
    #[arg(long)]
    bytes: u64,
    /// Bytes of a chunk, after which an answer is waited for
    #[arg(long)]
    chunk: Option<usize>,
}

fn main() -> Result<()> {
    match Args::parse() {
        Args::Receive { listen, chunk } => receive(&listen, chunk),
        Args::Send(send) => send.run(),
    }
}

fn receive(listen: &str, chunk: Option<usize>) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| listen.to_owned())?;
    let mut buffer = vec![0; chunk.unwrap_or(CALL_BYTES)];
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        match chunk {
            // The last of them may be shorter, and is answered at the end.
            Some(_) => {
                while stream.read_exact(&mut buffer).is_ok() {
                    stream.write_all(&ANSWER)?;
                }
            }
            None => while stream.read(&mut buffer)? > 0 {},
        }
        stream.write_all(&ANSWER)?;
    }
    Ok(())
}

impl Send {
    fn run(&self) -> Result<()> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        println!("ready");
        stdout().flush()?;
        stdin().read_line(&mut String::new())?;
        let begun = Instant::now();
        let data = vec![0x5a; self.chunk.unwrap_or(CALL_BYTES)];
        let mut left = self.bytes;
        let mut answer = ANSWER;
        while left > 0 {
            let bytes = usize::try_from(left)?.min(data.len());
            stream.write_all(&data[..bytes])?;
            left -= bytes as u64;
            if self.chunk.is_some() && bytes == data.len() {
                stream.read_exact(&mut answer)?;
            }
        }
        stream.shutdown(Shutdown::Write)?;
        // The stream is over once the receiver has all of it.
        stream.read_exact(&mut answer)?;
        ensure!(answer == ANSWER, "a strange answer");
        println!(
            "{}",
            json!({"bytes": self.bytes, "seconds": begun.elapsed().as_secs_f64(), "resume_ms": []})
        );
        Ok(())
    }
}

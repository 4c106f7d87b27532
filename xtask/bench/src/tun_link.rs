//! A link between two TUN devices: what the kernel sends into one comes out of the other, with delay, rate, a bounded
//! queue, losses and stalls.
//!
//! It makes both devices and prints `ready`; its parent moves them to where they belong, and then writes
//! a line. It ends with its input.

use std::{
    io::{Write, stdin, stdout},
    process::exit,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Parser;
use tun_rs::{DeviceBuilder, SyncDevice};
use upload_bench::path::{Direction, Fate, Path};

/// Bytes of a packet at most.
const MTU: u16 = 1500;
/// Packets that a device keeps for this program; the kernel drops what is more, which must never happen.
const DEVICE_PACKETS: u32 = 50_000;

/// Carries packets between two TUN devices.
#[derive(Parser)]
struct Args {
    /// Name of the one device
    #[arg(long)]
    near: String,
    /// Name of the other
    #[arg(long)]
    far: String,
    /// Milliseconds of a round trip
    #[arg(long)]
    round_trip_ms: u64,
    /// Megabits a second
    #[arg(long)]
    mbit: u64,
    /// Bytes of the queue of each direction
    #[arg(long)]
    queue: usize,
    /// Of a million segments with data, so many are lost
    #[arg(long, default_value_t = 0)]
    lost_per_million: u64,
    /// The middle time between two stalls, in milliseconds; 0 for none
    #[arg(long, default_value_t = 0)]
    stall_every_ms: u64,
    /// How long a stall lasts, in milliseconds
    #[arg(long, default_value_t = 200)]
    stall_ms: u64,
    /// Where chance begins
    #[arg(long)]
    seed: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let path = Path {
        delay: Duration::from_millis(args.round_trip_ms) / 2,
        rate: args.mbit * 1_000_000 / 8,
        queue_bytes: args.queue,
        lost_per_million: args.lost_per_million,
        stall_every: (args.stall_every_ms > 0).then(|| Duration::from_millis(args.stall_every_ms)),
        stall: Duration::from_millis(args.stall_ms),
        seed: args.seed,
    };
    let near = device(&args.near)?;
    let far = device(&args.far)?;
    println!("ready");
    stdout().flush()?;
    stdin().read_line(&mut String::new())?;
    let begun = Instant::now();
    carry(&near, &far, path, begun)?;
    carry(&far, &near, path, begun)?;
    while stdin().read_line(&mut String::new())? > 0 {}
    // The threads wait for packets.
    exit(0);
}

fn device(name: &str) -> Result<Arc<SyncDevice>> {
    let device = DeviceBuilder::new()
        .name(name)
        .mtu(MTU)
        .tx_queue_len(DEVICE_PACKETS)
        .enable(false)
        .build_sync();
    Ok(Arc::new(device.with_context(|| {
        format!("cannot make the TUN device {name}, which takes root")
    })?))
}

/// Carries one direction, in two threads: one says when each packet arrives, the other lets it.
fn carry(from: &Arc<SyncDevice>, to: &Arc<SyncDevice>, path: Path, begun: Instant) -> Result<()> {
    let (from, to) = (Arc::clone(from), Arc::clone(to));
    let (enter, leave) = mpsc::channel::<(Duration, Box<[u8]>)>();
    thread::Builder::new().spawn(move || {
        let mut direction = Direction::new(path);
        let mut packet = [0; MTU as usize];
        loop {
            let bytes = from.recv(&mut packet).expect("a device that is up");
            let fate = direction.enter(begun.elapsed(), bytes);
            if let Fate::Arrives(at) = fate
                && enter.send((at, packet[..bytes].into())).is_err()
            {
                return;
            }
        }
    })?;
    thread::Builder::new().spawn(move || {
        while let Ok((at, packet)) = leave.recv() {
            thread::sleep(at.saturating_sub(begun.elapsed()));
            // One that the kernel does not take is lost, as on any link.
            let _ = to.send(&packet);
        }
    })?;
    Ok(())
}

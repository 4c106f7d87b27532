//! What the machine itself gives, whatever runs on it: how long it pauses, and how fast its disk is.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

/// Shortest pause that is noted.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// How much is written to find out how fast the disk is.
const DISK_MIB: u32 = 1024;

/// Returns the pauses, in milliseconds, of loops on every core that do nothing but read the clock.
///
/// Nothing else runs meanwhile, so they come from the host: a virtual machine that has used up its share
/// pauses until the next one.
pub(crate) fn pauses(time: Duration) -> Vec<f64> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let loops: Vec<_> = (0..cores)
        .map(|_| thread::spawn(move || read_clock(time)))
        .collect();
    let pauses = loops.into_iter().filter_map(|one| one.join().ok());
    pauses.flatten().collect()
}

fn read_clock(time: Duration) -> Vec<f64> {
    let begun = Instant::now();
    let mut pauses = Vec::new();
    let mut last = begun;
    while last.duration_since(begun) < time {
        let now = Instant::now();
        let pause = now.duration_since(last);
        if pause >= PAUSE_MIN {
            pauses.push(pause.as_secs_f64() * 1e3);
        }
        last = now;
    }
    pauses
}

/// Returns the MiB that the disk below a folder takes per second, past the page cache; `None` where the file
/// system does not write past it.
///
/// # Errors
///
/// The file cannot be removed.
pub(crate) fn disk_mib_per_second(folder: &Path) -> Result<Option<f64>> {
    let path = folder.join("disk");
    let begun = Instant::now();
    let status = Command::new("dd")
        .args(["if=/dev/zero", "bs=8M", "oflag=direct", "conv=fsync"])
        .arg(format!("count={}", DISK_MIB / 8))
        .arg(format!("of={}", path.display()))
        .stderr(Stdio::null())
        .status();
    let seconds = begun.elapsed().as_secs_f64();
    if path.exists() {
        fs::remove_file(path)?;
    }
    let has_written = status.is_ok_and(|status| status.success());
    Ok(has_written.then_some(f64::from(DISK_MIB) / seconds))
}

//! The bare loop of small files: made, synced in groups and renamed, with nothing around it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Files that are synced one after the other to find out how long one takes.
const SYNCS_TIMED: usize = 31;

/// Returns files per second in groups of `group`, and the middle time of one sync by itself in milliseconds.
///
/// The files stay: what is removed makes the next ones dearer.
///
/// # Errors
///
/// The folder does not take a file.
pub(crate) fn measure(
    folder: &Path,
    file: &[u8],
    files: usize,
    group: usize,
    syncs: usize,
) -> Result<(f64, f64)> {
    if files == 0 || group == 0 || syncs == 0 {
        bail!("nothing to do");
    }
    let (under_way, done) = (folder.join("under-way"), folder.join("done"));
    fs::create_dir_all(&under_way)?;
    fs::create_dir_all(&done)?;
    let mut times = Vec::new();
    for number in 0..SYNCS_TIMED {
        let one = make(&under_way.join(format!("sync-{number}")), file)?;
        let begun = Instant::now();
        one.sync_all()?;
        times.push(begun.elapsed());
    }
    let begun = Instant::now();
    let mut first = 0;
    while first < files {
        let names: Vec<_> = (first..files.min(first + group))
            .map(|number| number.to_string())
            .collect();
        first += names.len();
        let made: io::Result<Vec<_>> = names
            .iter()
            .map(|name| make(&under_way.join(name), file))
            .collect();
        sync_all(&made?, syncs)?;
        for name in &names {
            fs::rename(under_way.join(name), done.join(name))?;
        }
        let folders = [File::open(&under_way)?, File::open(&done)?];
        sync_all(&folders, folders.len())?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    times.sort();
    let middle: Duration = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok((files as f64 / seconds, middle.as_secs_f64() * 1e3))
}

fn make(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Syncs all of them, `most` at a time.
fn sync_all(files: &[File], most: usize) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<()> {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            file.sync_all()?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..most.min(files.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let ended = workers.into_iter().map(thread::ScopedJoinHandle::join);
        // A worker does not panic.
        ended.flatten().collect()
    })
}

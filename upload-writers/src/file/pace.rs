//! Whether a file is written from the calling task or from a blocking thread.
//!
//! Writing from the task that also reads the socket costs the least: the bytes are still in its
//! cache and nothing is handed over. A thread hop per batch roughly doubles the processor time of
//! an upload. But a file system that must write back before it takes more makes `write` wait, and
//! then the task holds up everything else on its runtime thread. So a writer starts inline, goes
//! over to the blocking pool once a call held its task up for too long, and tries again later.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice, Write},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};

/// How many quick batches a blocking thread writes before inline writing is tried again.
const OFFLOADED_BATCHES: u32 = 64;

/// How many chunks go into one vectored write; Linux takes up to 1024.
const SLICES_MAX: usize = 64;

/// How many bytes go into one vectored write, unless its first chunk alone is larger.
/// Between two writes the time is looked at, so this bounds how much a slow disk is given at once.
const SLICES_BYTES_MAX: usize = 2 * 1024 * 1024;

/// One writer's choice between inline and offloaded writing.
#[derive(Debug)]
pub(super) struct Pace {
    inline_max: Duration,
    offloaded_left: u32,
}

impl Pace {
    /// Starts inline; `inline_max` is how long one call may hold up its task.
    pub(super) fn new(inline_max: Duration) -> Self {
        Self {
            inline_max,
            offloaded_left: 0,
        }
    }

    /// Tells how long the next batch may be written inline; `None`: not at all.
    pub(super) fn inline(&self) -> Option<Duration> {
        (self.offloaded_left == 0).then_some(self.inline_max)
    }

    /// Notes how long a batch took, inline or offloaded.
    pub(super) fn took(&mut self, time: Duration) {
        if time > self.inline_max {
            self.offloaded_left = OFFLOADED_BATCHES;
        } else {
            self.offloaded_left = self.offloaded_left.saturating_sub(1);
        }
    }
}

/// Writes `chunks` front to back at the file's cursor, until they are gone or `time_max` has passed.
///
/// What was written leaves `chunks`, so the rest can be written by a later call.
pub(super) fn write_front(
    mut file: &File,
    chunks: &mut VecDeque<Bytes>,
    time_max: Option<Duration>,
) -> io::Result<(u64, Duration)> {
    let start = Instant::now();
    let mut total = 0;
    loop {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let used = fill(&mut slices, chunks);
        let (slices, _) = slices.split_at(used);
        if used == 0 {
            chunks.clear();
            return Ok((total, start.elapsed()));
        }
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                advance(chunks, written);
                total += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let time = start.elapsed();
        if time_max.is_some_and(|max| time > max) {
            return Ok((total, time));
        }
    }
}

/// Points `slices` at the first chunks that have bytes; answers how many it used.
fn fill<'a>(slices: &mut [IoSlice<'a>], chunks: &'a VecDeque<Bytes>) -> usize {
    let mut used = 0;
    let mut bytes = 0_usize;
    let filled = chunks.iter().filter(|chunk| !chunk.is_empty());
    for (slice, chunk) in slices.iter_mut().zip(filled) {
        bytes = bytes.saturating_add(chunk.len());
        if used > 0 && bytes > SLICES_BYTES_MAX {
            break;
        }
        *slice = IoSlice::new(chunk);
        used += 1;
    }
    used
}

/// Removes the first `written` bytes.
fn advance(chunks: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(front) = chunks.front_mut() {
        if written < front.len() {
            front.advance(written);
            return;
        }
        written -= front.len();
        chunks.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    const QUICK: Duration = Duration::from_millis(1);
    const LIMIT: Duration = Duration::from_millis(20);
    const SLOW: Duration = Duration::from_millis(21);

    #[test]
    fn a_slow_write_moves_the_next_batches_off_the_task() {
        let mut pace = Pace::new(LIMIT);
        assert_eq!(pace.inline(), Some(LIMIT));
        pace.took(LIMIT);
        assert_eq!(pace.inline(), Some(LIMIT), "the limit itself is allowed");
        pace.took(SLOW);
        for _ in 0..OFFLOADED_BATCHES {
            assert_eq!(pace.inline(), None);
            pace.took(QUICK);
        }
        assert_eq!(pace.inline(), Some(LIMIT), "and then tries inline again");
    }

    #[test]
    fn offloading_goes_on_while_the_disk_is_slow() {
        let mut pace = Pace::new(LIMIT);
        pace.took(SLOW);
        for _ in 1..OFFLOADED_BATCHES {
            pace.took(QUICK);
        }
        pace.took(SLOW);
        pace.took(QUICK);
        assert_eq!(pace.inline(), None);
    }

    /// CHUNK-1: data is appended in the order of the chunks, however they are cut.
    #[test]
    fn writes_every_chunk_in_order() {
        let mut file = tempfile::tempfile().expect("temp file");
        let mut chunks = VecDeque::new();
        let mut expected = Vec::new();
        for index in 0_u32..200 {
            // Every fifth chunk is empty, and some are larger than one vectored write.
            let len = if index % 5 == 0 {
                0
            } else {
                index as usize * 7
            };
            let len = if index % 90 == 89 {
                SLICES_BYTES_MAX + 3
            } else {
                len
            };
            let chunk: Vec<u8> = (0..len).map(|at| (at as u32 ^ index) as u8).collect();
            expected.extend_from_slice(&chunk);
            chunks.push_back(Bytes::from(chunk));
        }
        let (total, _) = write_front(&file, &mut chunks, None).expect("writes");
        assert_eq!(total, expected.len() as u64);
        assert!(chunks.is_empty());
        let mut stored = Vec::new();
        file.rewind().expect("rewinds");
        file.read_to_end(&mut stored).expect("reads");
        assert!(stored == expected, "stored bytes differ");
    }

    #[test]
    fn stops_between_two_writes_when_time_is_up() {
        let file = tempfile::tempfile().expect("temp file");
        let chunks: Vec<_> = (0..SLICES_MAX + 1)
            .map(|_| Bytes::from_static(b"x"))
            .collect();
        let mut chunks = VecDeque::from(chunks);
        let (total, _) = write_front(&file, &mut chunks, Some(Duration::ZERO)).expect("writes");
        assert_eq!((total, chunks.len()), (SLICES_MAX as u64, 1));
        let mut empty = VecDeque::from([Bytes::new(), Bytes::new()]);
        let (total, _) = write_front(&file, &mut empty, None).expect("writes");
        assert_eq!((total, empty.len()), (0, 0));
    }

    #[test]
    fn advances_inside_a_chunk() {
        let mut chunks = VecDeque::from([Bytes::from_static(b"abc"), Bytes::from_static(b"def")]);
        advance(&mut chunks, 4);
        assert_eq!(chunks, [Bytes::from_static(b"ef")]);
        advance(&mut chunks, 2);
        assert!(chunks.is_empty());
    }
}

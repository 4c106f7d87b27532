//! Whether files are written from the calling tasks or from blocking threads.
//!
//! Writing from the task that also reads the socket costs the least: the bytes are still in its
//! cache and nothing is handed over. A thread hop per batch roughly doubles the processor time of
//! an upload. But a file system that must write back before it takes more makes `write` wait, and
//! then the task holds up everything else on its runtime thread. That is a matter of the disk, not
//! of one file. A call that does not return is worse: it takes a thread of the runtime with it.
//! A file server or a volume that hangs would take one with each file, until nothing runs any more, disk or not.
//! So one thread of the runtime is always left without such a
//! call, a watchdog keeps that one awake, and while one is slow no other begins.
//! That holds for every call on the file system, not for writes alone.
//! Where as many calls run as may, the next one waits for one of them to return: that takes less than a thread hop.
//! With two threads and eight uploads a fifth of the batches went to other threads, which cost a tenth in all.
//!
//! For calls that do return there is one rule: a call that takes longer than `inline_write_max` sends all writers
//! of the factory to blocking threads for a second. Then they try again.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice, Write},
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use tokio::runtime::Handle;

use super::watchdog::Watchdog;

/// How long writes stay on blocking threads behind a call that was slow.
const SLOW_FOR: Duration = Duration::from_secs(1);

/// How long a batch waits for another one before it goes to another thread.
///
/// That is longer than a thread that the system let stand waits for a processor, more than once where two cores are
/// busy.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// How many chunks go into one vectored write; Linux takes up to 1024.
const SLICES_MAX: usize = 64;

/// How many bytes go into one vectored write, unless its first chunk alone is larger.
/// Between two writes the time is looked at, so this bounds how much a slow disk is given at once.
const SLICES_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What the writers of one factory know of their disk.
#[derive(Debug)]
pub(super) struct Pace {
    inline_max: Duration,
    /// How many calls may be inline at a time.
    calls_max: OnceLock<usize>,
    watchdog: Watchdog,
    seen: Mutex<Seen>,
    /// Told when a call returned.
    returned: Condvar,
}

/// A call that is made inline, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pace: &'a Pace,
    begun: Instant,
}

impl Turn<'_> {
    /// Since when it may hold up its task, and for how long.
    pub(super) fn time_max(&self) -> (Instant, Duration) {
        (self.begun, self.pace.inline_max)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pace.watchdog.end();
        // To notify is a system call, even where no thread waits.
        if self.pace.end(self.begun, Instant::now()) > 0 {
            self.pace.returned.notify_one();
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    /// Until when nobody writes inline.
    slow_until: Option<Instant>,
    /// When the calls began that have not returned.
    running: Vec<Instant>,
    /// Threads that wait for one of them to return.
    waiting: usize,
}

impl Pace {
    /// Starts inline; `inline_max` is how long one call may hold up its task.
    pub(super) fn new(inline_max: Duration) -> Self {
        Self {
            inline_max,
            calls_max: OnceLock::new(),
            watchdog: Watchdog::default(),
            seen: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// Lets a batch be written inline, soon; `None`: not now.
    ///
    /// It may hold up its task, for [`WAIT_MAX`] or for as long as a call may.
    pub(super) fn turn(&self) -> Option<Turn<'_>> {
        let begun = Instant::now();
        let by = later(begun, self.wait_max());
        let (mut seen, mut now) = (self.seen(), begun);
        while self.may_soon(&mut seen, now) && now < by {
            let left = by.saturating_duration_since(now);
            seen.waiting = seen.waiting.saturating_add(1);
            let waited = self.returned.wait_timeout(seen, left);
            (seen, _) = waited.unwrap_or_else(PoisonError::into_inner);
            seen.waiting = seen.waiting.saturating_sub(1);
            now = Instant::now();
        }
        self.take(seen, now)
    }

    /// Lets a call be made inline if that may be at once.
    pub(super) fn inline(&self, now: Instant) -> Option<Turn<'_>> {
        self.take(self.seen(), now)
    }

    fn take(&self, mut seen: MutexGuard<'_, Seen>, now: Instant) -> Option<Turn<'_>> {
        if !self.may_now(&mut seen, now) {
            return None;
        }
        seen.running.push(now);
        drop(seen);
        self.watchdog.begin();
        Some(Turn {
            pace: self,
            begun: now,
        })
    }

    /// Says whether a call may be made inline as soon as another one returned.
    fn may_soon(&self, seen: &mut Seen, now: Instant) -> bool {
        let is_quick = |begun: &Instant| now.saturating_duration_since(*begun) < self.wait_max();
        let is_taken = seen.running.len() >= self.calls_max();
        // Where all have run for longer, the disk is not quick, and waiting would hold up the last thread.
        !self.is_slow(seen, now) && is_taken && seen.running.iter().any(is_quick)
    }

    /// No longer than a call may hold up its task.
    fn wait_max(&self) -> Duration {
        WAIT_MAX.min(self.inline_max)
    }

    fn may_now(&self, seen: &mut Seen, now: Instant) -> bool {
        !self.is_slow(seen, now) && seen.running.len() < self.calls_max()
    }

    fn is_slow(&self, seen: &mut Seen, now: Instant) -> bool {
        let is_late = |begun: &Instant| now.saturating_duration_since(*begun) > self.inline_max;
        if seen.running.iter().any(is_late) {
            // It does not return, so it is not noted as slow either.
            seen.slow_until = Some(later(now, SLOW_FOR));
        }
        seen.slow_until.is_some_and(|until| now < until)
    }

    /// Leaves one thread of the runtime without a call that may not return; a runtime of one has no other.
    fn calls_max(&self) -> usize {
        *self.calls_max.get_or_init(|| {
            let runtime = Handle::try_current();
            let workers = runtime.map_or(1, |runtime| runtime.metrics().num_workers());
            workers.saturating_sub(1).max(1)
        })
    }

    /// Notes a call that held up its task from `begun` to `ended`; returns how many threads wait for it.
    fn end(&self, begun: Instant, ended: Instant) -> usize {
        let mut seen = self.seen();
        if let Some(at) = seen.running.iter().position(|at| *at == begun) {
            seen.running.swap_remove(at);
        }
        if ended.saturating_duration_since(begun) > self.inline_max {
            seen.slow_until = Some(later(ended, SLOW_FOR));
        }
        seen.waiting
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Whatever a panic left is a good state.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or(now)
}

/// Writes `chunks` front to back at the file's cursor, until they are gone or so much time has passed
/// since then; answers how many bytes it wrote.
///
/// What was written leaves `chunks`, so the rest can be written by a later call.
pub(super) fn write_front(
    mut file: &File,
    chunks: &mut VecDeque<Bytes>,
    time_max: Option<(Instant, Duration)>,
) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let used = fill(&mut slices, chunks);
        let (slices, _) = slices.split_at(used);
        if used == 0 {
            chunks.clear();
            return Ok(total);
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
        if time_max.is_some_and(|(since, max)| since.elapsed() > max) {
            return Ok(total);
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
    use std::{
        io::{Read, Seek},
        thread,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);
    const SLOW: Duration = Duration::from_millis(51);

    /// Whether a call may begin; it returns at once.
    fn inline(pace: &Pace, now: Instant) -> bool {
        pace.inline(now).is_some()
    }

    /// A runtime has threads that no call can take, however many files hang.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn a_thread_of_the_runtime_is_always_left() {
        let (pace, start) = (Pace::new(LIMIT), Instant::now());
        let calls = [1, 2].map(|_| pace.inline(start).expect("may be inline"));
        assert!(!inline(&pace, start), "two of three threads are taken");
        drop(calls);
        assert!(inline(&pace, start));
    }

    /// A call that does not return tells that the disk is slow before it ends.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn no_call_begins_beside_one_that_does_not_return() {
        let (pace, start) = (Pace::new(LIMIT), Instant::now());
        let stuck = pace.inline(start).expect("may be inline");
        assert!(inline(&pace, start + LIMIT));
        for after in [SLOW, SLOW_FOR * 60] {
            assert!(!inline(&pace, start + after), "{after:?}");
        }
        drop(stuck);
        assert!(
            !inline(&pace, start + SLOW_FOR * 60),
            "it was slow a moment ago"
        );
        assert!(inline(&pace, start + SLOW_FOR * 61));
    }

    /// Two calls at a time on three threads: a third one waits until one returns, and not for long.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn a_batch_waits_for_a_call_that_returns() {
        let pace = Pace::new(Duration::from_secs(60));
        let calls = [1, 2].map(|_| pace.inline(Instant::now()).expect("may be inline"));
        assert!(pace.turn().is_none(), "none of them returns");
        let [first, second] = calls;
        thread::scope(|scope| {
            let waiting = scope.spawn(|| (0..2000).any(|_| pace.turn().is_some()));
            drop(first);
            assert!(waiting.join().expect("does not panic"));
        });
        drop(second);

        let pace = Pace::new(LIMIT);
        let late = pace.inline(Instant::now() - SLOW).expect("may be inline");
        let may_soon = pace.may_soon(&mut pace.seen(), Instant::now());
        assert!(!may_soon, "the disk is slow, so no one waits");
        drop(late);

        let pace = Pace::new(LIMIT);
        let begun = Instant::now();
        let calls = [1, 2].map(|_| pace.inline(begun).expect("may be inline"));
        assert!(pace.may_soon(&mut pace.seen(), begun));
        let may_soon = pace.may_soon(&mut pace.seen(), begun + WAIT_MAX);
        assert!(!may_soon, "they take their time");
        drop(calls);
    }

    #[test]
    fn one_slow_write_moves_all_writers_off_their_tasks() {
        let (pace, start) = (Pace::new(LIMIT), Instant::now());
        pace.end(start, start + LIMIT);
        assert!(inline(&pace, start + LIMIT), "the limit itself is allowed");
        pace.end(start, start + SLOW);
        let until = start + SLOW + SLOW_FOR;
        assert!(!inline(&pace, until - Duration::from_millis(1)));
        assert!(inline(&pace, until), "they try again");
        pace.end(until, until + SLOW);
        assert!(!inline(&pace, until + SLOW));
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
        let total = write_front(&file, &mut chunks, None).expect("writes");
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
        let total = write_front(&file, &mut chunks, Some((Instant::now(), Duration::ZERO)))
            .expect("writes");
        assert_eq!((total, chunks.len()), (SLICES_MAX as u64, 1));
        let mut empty = VecDeque::from([Bytes::new(), Bytes::new()]);
        let total = write_front(&file, &mut empty, None).expect("writes");
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

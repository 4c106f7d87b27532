//! Whether files are written from the calling tasks or from blocking threads.
//!
//! Writing from the task that also reads the socket costs the least: the bytes are still in its
//! cache and nothing is handed over. A thread hop per batch roughly doubles the processor time of
//! an upload. But a file system that must write back before it takes more makes `write` wait, and
//! then the task holds up everything else on its runtime thread. That is a matter of the disk, not
//! of one file. A call that does not return is worse: it takes a thread of the runtime with it, and a file
//! server or a volume that hangs would take one with each file, until nothing runs any more, not even
//! what has nothing to do with the disk. So one thread of the runtime is always left without such a
//! call, a watchdog keeps that one awake, and while one is slow no other begins.
//!
//! For calls that do return: all writers of a factory go over to the blocking pool once a call of one of them
//! held its task up for too long, and after a while one of them finds out for all whether it still
//! does.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice, Write},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use tokio::runtime::Handle;

use super::watchdog::Watchdog;

/// How many times longer than allowed one call must take to tell by itself that the disk is slow.
///
/// A machine may stand still for some hundredths of a second, which looks like a slow call; a disk makes
/// more than one of them slow.
const GRAVE: u32 = 3;

/// A slow call that is followed by so many quick ones was not the disk's doing.
const STRIKE_CALLS: u32 = 32;

/// How long writes stay on blocking threads before one writer tries the disk again.
const SLOW_FOR: Duration = Duration::from_secs(1);

/// How long that writer's calls must have been quick before the others follow it. A file system that
/// slows its writers down does not make each call wait.
const TRIAL_FOR: Duration = Duration::from_millis(500);

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
}

/// A call that is made inline, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pace: &'a Pace,
    begun: Instant,
}

impl Turn<'_> {
    /// How long it may hold up its task.
    pub(super) fn time_max(&self) -> Duration {
        self.pace.inline_max
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pace.watchdog.end();
        let mut seen = self.pace.seen();
        if let Some(at) = seen.running.iter().position(|begun| *begun == self.begun) {
            seen.running.swap_remove(at);
        }
    }
}

#[derive(Debug)]
struct Seen {
    disk: Disk,
    /// When the calls began that have not returned.
    running: Vec<Instant>,
    /// When a call ended that was slow, and how many quick ones may follow before it is forgotten.
    strike: Option<(Instant, u32)>,
}

#[derive(Clone, Copy, Debug)]
enum Disk {
    /// Everybody writes inline.
    Quick,
    /// Nobody does, until then.
    Slow { until: Instant },
    /// One writer does, and until then none of its calls may be slow.
    Tried { by: u128, until: Instant },
}

impl Pace {
    /// Starts inline; `inline_max` is how long one call may hold up its task.
    pub(super) fn new(inline_max: Duration) -> Self {
        Self {
            inline_max,
            calls_max: OnceLock::new(),
            watchdog: Watchdog::default(),
            seen: Mutex::new(Seen {
                disk: Disk::Quick,
                running: Vec::new(),
                strike: None,
            }),
        }
    }

    /// Lets this writer's next batch be written inline; `None`: not now.
    pub(super) fn inline(&self, writer: u128, now: Instant) -> Option<Turn<'_>> {
        let calls_max = *self.calls_max.get_or_init(calls_max);
        let mut seen = self.seen();
        let is_late = |begun: &Instant| now.saturating_duration_since(*begun) > self.inline_max;
        if seen.running.iter().any(is_late) {
            // It does not return, so it is not noted as slow either.
            seen.disk = Disk::Slow {
                until: later(now, SLOW_FOR),
            };
        }
        if seen.running.len() >= calls_max {
            return None;
        }
        let disk = &mut seen.disk;
        let trial = Disk::Tried {
            by: writer,
            until: later(now, TRIAL_FOR),
        };
        *disk = match *disk {
            Disk::Quick => Disk::Quick,
            Disk::Slow { until } if now >= until => trial,
            Disk::Tried { by, until } if by == writer && now >= until => Disk::Quick,
            // Whoever tried has gone.
            Disk::Tried { until, .. } if now >= later(until, TRIAL_FOR) => trial,
            same => same,
        };
        let may = match *disk {
            Disk::Quick => true,
            Disk::Slow { .. } => false,
            Disk::Tried { by, .. } => by == writer,
        };
        if !may {
            return None;
        }
        seen.running.push(now);
        drop(seen);
        self.watchdog.begin();
        let turn = Turn {
            pace: self,
            begun: now,
        };
        Some(turn)
    }

    /// Says whether writes are inline, so that a call on the file system may be, too.
    pub(super) fn is_quick(&self) -> bool {
        matches!(self.seen().disk, Disk::Quick)
    }

    /// Notes a batch that held up its task from `begun` to `ended`.
    pub(super) fn took(&self, begun: Instant, ended: Instant) {
        let time = ended.saturating_duration_since(begun);
        let mut seen = self.seen();
        if time <= self.inline_max {
            seen.strike = seen
                .strike
                .and_then(|(at, left)| Some((at, left.checked_sub(1)?)));
            return;
        }
        let is_grave = time > self.inline_max.saturating_mul(GRAVE);
        // Calls that stood still together tell no more than one of them.
        let is_second = seen.strike.is_some_and(|(at, _)| begun >= at);
        if is_grave || is_second {
            seen.strike = None;
            seen.disk = Disk::Slow {
                until: later(ended, SLOW_FOR),
            };
        } else if seen.strike.is_none() {
            seen.strike = Some((ended, STRIKE_CALLS));
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Whatever a panic left is a good state.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves one thread of the runtime without a call that may not return; a runtime of one has no other.
fn calls_max() -> usize {
    let workers = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
    workers.saturating_sub(1).max(1)
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
    use std::io::{Read, Seek};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);
    const SLOW: Duration = Duration::from_millis(61);

    /// Whether a call may begin; it returns at once.
    fn inline(pace: &Pace, writer: u128, now: Instant) -> bool {
        pace.inline(writer, now).is_some()
    }

    /// A runtime has threads that no call can take, however many files hang.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn a_thread_of_the_runtime_is_always_left() {
        let (pace, start) = (Pace::new(LIMIT), Instant::now());
        let calls = [1, 2].map(|writer| pace.inline(writer, start).expect("may be inline"));
        assert!(!inline(&pace, 3, start), "two of three threads are taken");
        drop(calls);
        assert!(inline(&pace, 3, start));
    }

    /// A call that does not return tells that the disk is slow before it ends.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn no_call_begins_beside_one_that_does_not_return() {
        let (pace, start) = (Pace::new(LIMIT), Instant::now());
        let stuck = pace.inline(1, start).expect("may be inline");
        assert!(inline(&pace, 2, start + LIMIT));
        for after in [SLOW, SLOW_FOR * 60] {
            assert!(!inline(&pace, 2, start + after), "{after:?}");
        }
        drop(stuck);
        assert!(
            !inline(&pace, 2, start + SLOW_FOR * 60),
            "it was slow a moment ago"
        );
        assert!(inline(&pace, 2, start + SLOW_FOR * 61));
    }

    #[test]
    fn one_slow_write_moves_all_writers_off_their_tasks() {
        let (pace, start) = (Pace::new(LIMIT), Instant::now());
        pace.took(start, start + LIMIT);
        assert!(inline(&pace, 1, start), "the limit itself is allowed");
        pace.took(start - SLOW, start);
        let soon = start + SLOW_FOR - Duration::from_millis(1);
        assert_eq!([1, 2].map(|writer| inline(&pace, writer, soon)), [false; 2]);
    }

    #[test]
    fn a_slow_call_may_be_the_machine_s() {
        let (pace, start) = (Pace::new(LIMIT), Instant::now());
        let ms = |ms| start + Duration::from_millis(ms);
        let inline = |at| inline(&pace, 1, at);
        pace.took(ms(0), ms(30));
        pace.took(ms(5), ms(30));
        assert!(inline(ms(30)), "two at once stood still together");
        for _ in 0..=STRIKE_CALLS {
            pace.took(ms(30), ms(31));
        }
        pace.took(ms(40), ms(70));
        assert!(inline(ms(70)), "the first one is forgotten");
        pace.took(ms(70), ms(71));
        pace.took(ms(71), ms(92));
        assert!(!inline(ms(92)), "two soon after each other are the disk's");
    }

    #[test]
    fn one_writer_tries_for_all() {
        let (pace, start) = (Pace::new(LIMIT), Instant::now());
        pace.took(start - SLOW, start);
        let tried = start + SLOW_FOR;
        assert!(inline(&pace, 2, tried));
        assert!(!inline(&pace, 1, tried));
        assert!(inline(&pace, 2, tried), "still the one that tries");
        let over = tried + TRIAL_FOR;
        assert!(!inline(&pace, 1, over), "only the other one knows");
        assert!(inline(&pace, 2, over));
        assert!(inline(&pace, 1, over));
    }

    #[test]
    fn a_trial_that_fails_or_is_given_up_begins_anew() {
        let (pace, start) = (Pace::new(LIMIT), Instant::now());
        pace.took(start - SLOW, start);
        let tried = start + SLOW_FOR;
        assert!(inline(&pace, 1, tried));
        pace.took(tried - SLOW, tried);
        assert!(!inline(&pace, 1, tried));
        let again = tried + SLOW_FOR;
        assert!(inline(&pace, 1, again));
        let given_up = again + 2 * TRIAL_FOR;
        assert!(inline(&pace, 2, given_up));
        assert!(!inline(&pace, 1, given_up));
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

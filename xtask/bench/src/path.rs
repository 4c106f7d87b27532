//! When packets leave a link of so much delay, rate, queue, loss and so many stalls.

use std::{collections::VecDeque, time::Duration};

/// Packets of at most so many bytes carry no data worth losing: acknowledgements, handshakes.
const BARE_BYTES_MAX: usize = 200;

/// What a link does to packets, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// From one end to the other, half a round trip.
    pub delay: Duration,
    /// Bytes a second.
    pub rate: u64,
    /// Bytes that may wait for their turn; what comes then is dropped.
    pub queue_bytes: usize,
    /// Of a million segments with data, so many are lost.
    pub lost_per_million: u64,
    /// The middle time between two stalls; none without.
    pub stall_every: Option<Duration>,
    /// How long a stall lasts.
    pub stall: Duration,
    /// Where chance begins.
    pub seed: u64,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is at the other end at this time.
    Arrives(Duration),
    /// It is lost by chance.
    Lost,
    /// The queue is full.
    Dropped,
}

/// One direction of a link; times are counted from its beginning.
pub struct Direction {
    path: Path,
    losses: Chance,
    stalls: Chance,
    free_at: Duration,
    next_stall: Duration,
    /// Packets that wait: when each has left, and its bytes.
    queue: VecDeque<(Duration, usize)>,
    queued: usize,
}

impl Direction {
    /// Makes a direction that carries nothing yet. Stalls are at the same times in both.
    pub fn new(path: Path) -> Self {
        let mut direction = Self {
            path,
            losses: Chance::new(path.seed),
            stalls: Chance::new(!path.seed),
            free_at: Duration::ZERO,
            next_stall: Duration::ZERO,
            queue: VecDeque::new(),
            queued: 0,
        };
        direction.next_stall = direction.pause();
        direction
    }

    /// Takes a packet.
    pub fn enter(&mut self, now: Duration, bytes: usize) -> Fate {
        while let Some((_, left)) = self.queue.pop_front_if(|(at, _)| *at <= now) {
            self.queued -= left;
        }
        if bytes > BARE_BYTES_MAX && self.losses.below(1_000_000) < self.path.lost_per_million {
            return Fate::Lost;
        }
        if self.queued + bytes > self.path.queue_bytes {
            return Fate::Dropped;
        }
        let mut begin = self.free_at.max(now);
        while self.path.stall_every.is_some() && begin >= self.next_stall {
            let end = self.next_stall + self.path.stall;
            begin = begin.max(end);
            self.next_stall = end + self.pause();
        }
        let nanos = bytes as u64 * 1_000_000_000 / self.path.rate.max(1);
        self.free_at = begin + Duration::from_nanos(nanos);
        self.queue.push_back((self.free_at, bytes));
        self.queued += bytes;
        Fate::Arrives(self.free_at + self.path.delay)
    }

    /// Between half and one and a half of the middle time.
    fn pause(&mut self) -> Duration {
        let every = self.path.stall_every.unwrap_or_default();
        let thousandths = u32::try_from(500 + self.stalls.below(1000)).unwrap_or(1000);
        every * thousandths / 1000
    }
}

/// Numbers that a seed decides (splitmix64).
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn path() -> Path {
        Path {
            delay: 50 * MS,
            rate: 1_000_000,
            queue_bytes: 3000,
            lost_per_million: 0,
            stall_every: None,
            stall: 200 * MS,
            seed: 7,
        }
    }

    #[test]
    fn packets_leave_at_the_rate_of_the_link() {
        let mut link = Direction::new(path());
        assert_eq!(link.enter(MS, 1000), Fate::Arrives(52 * MS));
        assert_eq!(link.enter(MS, 1000), Fate::Arrives(53 * MS));
        assert_eq!(link.enter(100 * MS, 1000), Fate::Arrives(151 * MS));
    }

    #[test]
    fn a_full_queue_drops() {
        let mut link = Direction::new(path());
        let fates: Vec<_> = (0..4).map(|_| link.enter(Duration::ZERO, 1000)).collect();
        assert_eq!(fates[2], Fate::Arrives(53 * MS));
        assert_eq!(fates[3], Fate::Dropped);
        assert_eq!(link.enter(MS, 1000), Fate::Arrives(54 * MS));
    }

    #[test]
    fn a_seed_decides_what_is_lost() {
        let lost = |seed| {
            let mut link = Direction::new(Path {
                lost_per_million: 1000,
                queue_bytes: usize::MAX,
                seed,
                ..path()
            });
            let is_lost = |n: &u64| {
                // What has no data is never lost, and moves no chance.
                assert_ne!(link.enter(*n as u32 * MS, 40), Fate::Lost);
                link.enter(*n as u32 * MS, 1500) == Fate::Lost
            };
            (0..100_000).filter(is_lost).collect::<Vec<_>>()
        };
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
        assert!((60..140).contains(&lost(1).len()), "{}", lost(1).len());
    }

    #[test]
    fn a_stall_holds_up_what_comes_meanwhile() {
        let mut link = Direction::new(Path {
            stall_every: Some(1000 * MS),
            ..path()
        });
        let mut stalls = 0;
        for ms in (0..100_000).step_by(10) {
            let Fate::Arrives(at) = link.enter(ms * MS, 100) else {
                continue;
            };
            let waited = at - ms * MS - link.path.delay;
            assert!(waited <= link.path.stall + 3 * MS, "{waited:?}");
            stalls += u32::from(waited > 190 * MS);
        }
        assert!((60..160).contains(&stalls), "{stalls}");
    }
}

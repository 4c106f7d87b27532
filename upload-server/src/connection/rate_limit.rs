//! How fast one connection is listened to: small messages cost more than their bytes.
//!
//! What its owner, its address and all together may send is charged beside that (`server/rates.rs`).
//! Text messages, tiny chunks and control frames are charged to a bucket each; an
//! empty bucket delays the next read and drops nothing (PROTOCOL CONN-4).
//! A file that was stored gives back what its registration and its complete frame took: many small files are
//! many messages, and no flood.

use std::time::Duration;

use tokio::time::Instant;

use crate::server::{limits::TINY_CHUNK_BYTES, rates::Rates};

/// Text messages of one connection per second, once the burst is used up.
const TEXTS_PER_SECOND: u32 = 200;
/// Text messages of one connection at once.
const TEXTS_BURST: u32 = 400;
/// Tiny chunks, and frames without data, of one connection per second, once the burst is used up.
const TINY_PER_SECOND: u32 = 2_000;
/// Tiny chunks of one connection at once.
const TINY_BURST: u32 = 20_000;
/// Pings and pongs of one connection per second, once the burst is used up.
const CONTROLS_PER_SECOND: u32 = 100;
/// Pings and pongs of one connection at once.
const CONTROLS_BURST: u32 = 400;

/// A connection that was too fast is listened to again after this long at least: to wake for each
/// message that its bucket has room for would cost more than the messages do.
const REST: Duration = Duration::from_millis(100);

/// What one connection may send, and when it is listened to again.
#[derive(Debug)]
pub(crate) struct RateLimit {
    text: Bucket,
    tiny: Bucket,
    control: Bucket,
    shared: Rates,
    until: Option<Instant>,
}

impl RateLimit {
    /// Starts with full buckets.
    pub(crate) fn new(shared: Rates, now: Instant) -> Self {
        Self {
            shared,
            text: Bucket::new(TEXTS_PER_SECOND, TEXTS_BURST, now),
            tiny: Bucket::new(TINY_PER_SECOND, TINY_BURST, now),
            control: Bucket::new(CONTROLS_PER_SECOND, CONTROLS_BURST, now),
            until: None,
        }
    }

    /// Charges a text message.
    pub(crate) fn text(&mut self, now: Instant) {
        let ready = self.text.charge(now);
        self.delay(ready);
    }

    /// Charges a registration, besides its text message.
    pub(crate) fn registration(&mut self, now: Instant) {
        let ready = self.shared.registration(now);
        self.delay(ready);
    }

    /// Charges a binary message with `bytes` of data; more if that is few.
    pub(crate) fn binary(&mut self, bytes: usize, now: Instant) {
        let payload = u64::try_from(bytes).unwrap_or(u64::MAX);
        let ready = self.shared.bytes(payload, now);
        self.delay(ready);
        if bytes < TINY_CHUNK_BYTES {
            let ready = self.tiny.charge(now);
            self.delay(ready);
        }
    }

    /// Gives back what one stored file took: a text message, and a frame without data.
    pub(crate) fn stored(&mut self) {
        self.text.give_back();
        self.tiny.give_back();
    }

    /// Charges a ping or a pong.
    pub(crate) fn control(&mut self, now: Instant) {
        let ready = self.control.charge(now);
        self.delay(ready);
    }

    /// Returns when to read again, or `None` for at once.
    pub(crate) fn wait(&mut self, now: Instant) -> Option<Instant> {
        self.until = self.until.filter(|until| *until > now);
        self.until
    }

    fn delay(&mut self, ready: Option<Instant>) {
        self.until = self.until.max(ready);
    }
}

/// A token bucket kept as the one moment at which it is full again.
#[derive(Debug)]
struct Bucket {
    /// One token's worth of time.
    every: Duration,
    /// The whole bucket's worth of time.
    depth: Duration,
    full_at: Instant,
}

impl Bucket {
    fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let every = Duration::from_secs(1)
            .checked_div(per_second)
            .unwrap_or(Duration::from_secs(1));
        Self {
            every,
            depth: every.saturating_mul(burst),
            full_at: now,
        }
    }

    /// Takes one token, on credit where there is none; returns when the debt is paid and some more is
    /// there.
    fn charge(&mut self, now: Instant) -> Option<Instant> {
        self.full_at = self.full_at.max(now).checked_add(self.every)?;
        let ready = self.full_at.checked_sub(self.depth)?;
        (ready > now).then(|| {
            now.checked_add(REST)
                .map_or(ready, |rested| ready.max(rested))
        })
    }

    /// Puts one token back; a bucket that is full stays so.
    fn give_back(&mut self) {
        self.full_at = self.full_at.checked_sub(self.every).unwrap_or(self.full_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::rates::{AllRates, RateLimits};

    fn unlimited() -> Rates {
        AllRates::new(RateLimits::default()).of("owner", None)
    }

    /// CONN-4: 20,000 chunks of 100 bytes pass without any delay.
    #[test]
    fn twenty_thousand_tiny_chunks_pass_at_once() {
        let now = Instant::now();
        let mut pace = RateLimit::new(unlimited(), now);
        for _ in 0..20_000 {
            pace.binary(100, now);
        }
        assert_eq!(pace.wait(now), None);
        pace.binary(100, now);
        let until = pace.wait(now).expect("the burst is used up");
        assert_eq!(until - now, REST);
        assert_eq!(pace.wait(until), None);
        for _ in 0..200 {
            pace.binary(100, until);
        }
        let next = pace.wait(until).expect("what a rest gave is used up");
        assert_eq!(next - until, REST);
    }

    /// CONN-4: text messages past the burst are taken at their rate.
    #[test]
    fn texts_are_delayed_and_not_dropped() {
        let start = Instant::now();
        let mut pace = RateLimit::new(unlimited(), start);
        let mut now = start;
        for _ in 0..1400 {
            now = pace.wait(now).unwrap_or(now);
            pace.text(now);
        }
        let took = now - start;
        let least = Duration::from_millis(5 * 999);
        assert!((least..=least + REST).contains(&took), "{took:?}");
    }

    /// CONN-4: files that are stored are no flood of messages, however small they are.
    #[test]
    fn stored_files_delay_nothing() {
        let now = Instant::now();
        let mut pace = RateLimit::new(unlimited(), now);
        for _ in 0..100_000 {
            pace.text(now);
            pace.binary(4096, now);
            pace.binary(0, now);
            assert_eq!(pace.wait(now), None);
            pace.stored();
        }
        for _ in 0..=TEXTS_BURST {
            pace.text(now);
        }
        assert!(
            pace.wait(now).is_some(),
            "what was given back is no more than was taken"
        );
    }

    /// CONN-4: pings and pongs past the burst are taken at their rate.
    #[test]
    fn controls_are_delayed() {
        let now = Instant::now();
        let mut pace = RateLimit::new(unlimited(), now);
        for _ in 0..500 {
            pace.control(now);
        }
        let until = pace.wait(now).expect("the burst is used up");
        assert_eq!(until - now, Duration::from_secs(1));
    }

    /// CONN-4: a connection waits until every bucket that it shares has recovered.
    #[test]
    fn what_is_shared_delays_as_well() {
        let limits = RateLimits {
            bytes_per_owner: Some(1 << 20),
            registrations_per_owner: 1,
            ..RateLimits::default()
        };
        let rates = AllRates::new(limits).of("owner", None);
        let now = Instant::now();
        let mut pace = RateLimit::new(rates.clone(), now);
        pace.binary(2 << 20, now);
        let until = pace.wait(now).expect("more than the burst");
        assert!(until - now > Duration::from_secs(1));
        let mut beside = RateLimit::new(rates, now);
        assert_eq!(beside.wait(now), None);
        for _ in 0..11 {
            beside.registration(now);
        }
        assert!(beside.wait(now).is_some());
    }

    #[test]
    fn full_chunks_cost_nothing() {
        let now = Instant::now();
        let mut pace = RateLimit::new(unlimited(), now);
        for _ in 0..100_000 {
            pace.binary(TINY_CHUNK_BYTES, now);
        }
        assert_eq!(pace.wait(now), None);
    }

    #[test]
    fn a_rest_refills_the_bucket_and_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 2, start);
        assert_eq!(bucket.charge(start), None);
        assert_eq!(bucket.charge(start), None);
        assert!(bucket.charge(start).is_some());
        let later = start + Duration::from_secs(60);
        assert_eq!(bucket.charge(later), None);
        assert_eq!(bucket.charge(later), None);
        assert_eq!(
            bucket.charge(later),
            Some(later + Duration::from_millis(100))
        );
    }
}

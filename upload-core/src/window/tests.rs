//! Windows next to links of several lengths, each a few lines of arithmetic.

use std::collections::VecDeque;

use super::*;

const MIB: u64 = 1 << 20;
const CHUNK: u64 = 65_536;
const SIZES: WindowSizes = WindowSizes {
    usual: 4 * MIB,
    room: 32 * MIB,
};

fn of(bytes: u64) -> WindowSizes {
    WindowSizes {
        usual: bytes,
        room: bytes,
    }
}

/// CREDIT-1: whatever happens, credit never goes back.
#[test]
fn credit_only_grows() {
    let mut window = Window::new(of(4 << 20), 65_536, 8192, 0);
    assert_eq!(window.credit(), 4 << 20);
    window.advance(65_536, of(0));
    assert_eq!(window.credit(), 4 << 20);
    window.advance(4 << 20, of(0));
    assert_eq!(window.credit(), (4 << 20) + 2 * 65_536);
}

/// CREDIT-2: a window is at least two chunks, however short memory is.
#[test]
fn a_window_holds_two_chunks() {
    assert_eq!(Window::new(of(1), 1000, 100, 500).credit(), 2500);
}

/// CREDIT-2: a client that sends whole chunks only fills the content gate.
#[test]
fn a_window_holds_the_head() {
    assert_eq!(Window::new(of(1), 3000, 8192, 0).credit(), 3000 + 8192);
}

/// What a client that sends whole chunks as soon as it may gets of a link.
struct Ran {
    window: Window,
    seconds: f64,
}

/// Sends `bytes` over a link; the writer is behind by what it took `lag` ago.
fn run(round_trip_ms: u64, bytes_per_second: u64, bytes: u64, lag: Duration) -> Ran {
    run_in(round_trip_ms, bytes_per_second, bytes, lag, SIZES)
}

fn run_in(
    round_trip_ms: u64,
    bytes_per_second: u64,
    bytes: u64,
    lag: Duration,
    sizes: WindowSizes,
) -> Ran {
    run_over((round_trip_ms, None), bytes_per_second, bytes, lag, sizes)
}

/// Returns when a segment was lost last, at irregular times.
fn last_lost(now: Duration, every: Duration) -> Duration {
    let count = u32::try_from(now.as_nanos() / every.as_nanos()).expect("few");
    let lost = |number: u32| every * number + every * (number.wrapping_mul(7919) % 97) / 97;
    match lost(count) {
        lost if lost <= now => lost,
        _ => count.checked_sub(1).map_or(Duration::ZERO, lost),
    }
}

/// Where a segment is lost every so often, what comes behind it waits a round trip until it is sent again.
fn run_over(
    (round_trip_ms, lost_every): (u64, Option<Duration>),
    bytes_per_second: u64,
    bytes: u64,
    lag: Duration,
    sizes: WindowSizes,
) -> Ran {
    let one_way = Duration::from_millis(round_trip_ms) / 2;
    let per_chunk = Duration::from_nanos(CHUNK * 1_000_000_000 / bytes_per_second);
    let mut window = Window::new(sizes, CHUNK as u32, 8192, 0);
    // When the client hears of which credit, and when the writer is done with which byte.
    let mut heard = VecDeque::from([(Duration::ZERO, window.credit())]);
    let mut taken = VecDeque::new();
    let (mut credit, mut told, mut free_at) = (0, window.credit(), Duration::ZERO);
    let mut received = 0;
    let mut now = Duration::ZERO;
    while received < bytes {
        while credit < received + CHUNK {
            let (at, next) = heard.pop_front().expect("credit is on its way");
            free_at = free_at.max(at);
            credit = next;
        }
        free_at += per_chunk;
        now = free_at + one_way;
        if let Some(every) = lost_every {
            now = now.max(last_lost(now, every) + 2 * one_way);
        }
        received += CHUNK;
        taken.push_back((now + lag, received));
        let mut took = received.saturating_sub(CHUNK * taken.len() as u64);
        while let Some((_, byte)) = taken.pop_front_if(|(at, _)| *at <= now) {
            took = byte;
        }
        if lag > Duration::ZERO && credit < received + CHUNK && heard.is_empty() {
            // The client has nothing left to send before the writer goes on.
            while let Some((at, byte)) = taken.pop_front() {
                (now, took) = (at, byte);
            }
        }
        window.came(received, took, now, sizes);
        window.advance(took, sizes);
        if window.credit() >= told + window.size(sizes) / 4 {
            window.tell(told, now);
            told = window.credit();
            heard.push_back((now + one_way, told));
        }
    }
    Ran {
        window,
        seconds: now.as_secs_f64(),
    }
}

/// CREDIT-2: over a long link a window grows until it does not limit the upload.
#[test]
fn a_window_grows_with_the_link() {
    for (round_trip_ms, rate) in [(100, 125_000_000), (30, 300_000_000), (250, 60_000_000)] {
        let bytes = 8 * rate;
        let ran = run(round_trip_ms, rate, bytes, Duration::ZERO);
        let speed = bytes as f64 / ran.seconds / rate as f64;
        assert!(speed > 0.9, "{round_trip_ms} ms, {rate}: {speed:.2} of it");
    }
}

/// CREDIT-2: a machine that is busy now and then is no long link.
#[test]
fn a_window_stays_usual_where_the_machine_is_busy() {
    let mut window = Window::new(SIZES, CHUNK as u32, 8192, 0);
    let usual = window.size(SIZES);
    let mut at = Duration::ZERO;
    for round in 0..40 {
        let before = window.credit();
        window.came(before, before, at, SIZES);
        window.advance(before, SIZES);
        window.tell(before, at);
        at += Duration::from_millis(if round % 4 == 0 { 1 } else { 40 });
        window.came(before + CHUNK, before + CHUNK, at, SIZES);
    }
    assert_eq!(window.size(SIZES), usual);
}

/// CREDIT-2: what arrives in pieces, since segments are lost, is waited for as well.
#[test]
fn a_window_grows_where_segments_are_lost() {
    for every_ms in [15, 40, 100, 170] {
        let (rate, every) = (125_000_000, Duration::from_millis(every_ms));
        let ran = run_over((100, Some(every)), rate, 8 * rate, Duration::ZERO, SIZES);
        let speed = 8.0 / ran.seconds;
        assert!(speed > 0.9, "one in {every_ms} ms: {speed:.2} of it");
    }
}

/// CREDIT-2: where the window is enough, as on short links and slow ones, it stays.
#[test]
fn a_window_that_is_enough_stays() {
    for (round_trip_ms, rate) in [
        (0, 2_000_000_000),
        (1, 1_000_000_000),
        (9, 2_000_000_000),
        (100, 20_000_000),
        (100, 100_000),
        (300, 1_000_000),
    ] {
        let ran = run(round_trip_ms, rate, 256 * MIB, Duration::ZERO);
        let size = ran.window.size(SIZES);
        assert_eq!(size, SIZES.usual, "{round_trip_ms} ms, {rate}");
    }
}

/// CREDIT-2: a window never grows past what memory has room for.
#[test]
fn a_window_grows_within_memory() {
    let sizes = WindowSizes {
        usual: 4 * MIB,
        room: 6 * MIB,
    };
    let ran = run_in(100, 125_000_000, 256 * MIB, Duration::ZERO, sizes);
    assert_eq!(ran.window.size(sizes), 6 * MIB);
    let short = WindowSizes {
        usual: 4 * MIB,
        room: MIB,
    };
    assert_eq!(ran.window.size(short), MIB);
}

/// CREDIT-2: a window that a writer does not keep up with is of the usual size again.
#[test]
fn a_window_does_not_grow_for_a_slow_writer() {
    let ran = run(100, 125_000_000, 64 * MIB, Duration::from_millis(400));
    assert_eq!(ran.window.size(SIZES), SIZES.usual);

    let mut grown = run(100, 125_000_000, 256 * MIB, Duration::ZERO).window;
    assert!(grown.size(SIZES) >= 16 * MIB);
    let (taken, begun) = (256 * MIB, Duration::from_secs(60));
    grown.came(taken + 5 * MIB, taken, begun, SIZES);
    let almost = begun + BEHIND_MAX - Duration::from_millis(1);
    grown.came(taken + 6 * MIB, taken, almost, SIZES);
    assert!(grown.size(SIZES) >= 16 * MIB);
    grown.came(taken + 6 * MIB, taken, begun + BEHIND_MAX, SIZES);
    assert_eq!(grown.size(SIZES), SIZES.usual);
}

/// CREDIT-2: what comes at once behind a lost segment does not make a window smaller.
#[test]
fn a_window_stays_large_behind_a_lost_segment() {
    let mut grown = run(100, 125_000_000, 256 * MIB, Duration::ZERO).window;
    let size = grown.size(SIZES);
    let (mut taken, mut at) = (256 * MIB, Duration::from_secs(60));
    for _ in 0..20 {
        grown.came(taken + 12 * MIB, taken, at, SIZES);
        taken += 12 * MIB;
        grown.came(taken + CHUNK, taken, at + BEHIND_MAX / 2, SIZES);
        taken += CHUNK;
        at += BEHIND_MAX;
    }
    assert!(grown.size(SIZES) >= size);
}

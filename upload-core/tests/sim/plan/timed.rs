//! What goes wrong at some time, drawn by chance.

use upload_core::StorageFault;

use crate::rng::Rng;

use super::{Setup, TabPlan, Timed};

/// Draws one fault.
pub(super) fn timed(rng: &mut Rng, setup: &Setup, tabs: &[TabPlan]) -> Timed {
    let tab = rng.below(tabs.len());
    let upload = rng.below(tabs[tab].uploads.len());
    let node = rng.below(setup.nodes);
    let soon_or_late = |rng: &mut Rng| match rng.below(3) {
        0 => rng.range(0, 5),
        1 => rng.range(5, 500),
        _ => rng.range(500, 20_000),
    };
    match rng.below(37) {
        0..10 => Timed::Cut {
            tab,
            server_after: soon_or_late(rng),
            tab_after: rng.pick(&[0, 1, 30, 2000]),
        },
        10 => Timed::Leave {
            tab,
            back_after: rng.range(1, 4000),
            file_changed: rng.chance(30),
        },
        11 => Timed::Pause {
            tab,
            lasts: rng.range(100, 15_000),
        },
        12 => Timed::Cancel { tab, upload },
        13 => Timed::AppCancel { tab, upload },
        14..16 => Timed::Rival { tab },
        16 => Timed::Twin { tab },
        17..21 => Timed::Crash {
            node,
            down_for: rng.range(1, 3000),
        },
        21..23 => Timed::Drain {
            node,
            down_for: rng.range(1, 3000),
        },
        23..25 => Timed::Freeze {
            node,
            lasts: rng.range(50, 12_000),
        },
        25 => Timed::Clock {
            node,
            skew: rng.range(0, 40_000) as i64 - 20_000,
        },
        26 => Timed::Squeeze {
            node,
            bytes: rng.range(0, 64),
            lasts: rng.range(100, 5000),
        },
        27 => Timed::EmptyLot { node },
        28 => Timed::StoreDown {
            lasts: rng.range(50, 5000),
            after_effect: rng.chance(40),
        },
        29 => Timed::StoreSlow {
            lasts: rng.range(50, 3000),
            by: rng.range(50, 4000),
        },
        30 => Timed::StorageShort {
            lasts: rng.range(10, 2000),
            fault: rng.pick(&[StorageFault::Full, StorageFault::Throttled]),
        },
        31..33 => Timed::Door { tab },
        33..36 => Timed::Clumsy {
            tab,
            lasts: rng.range(100, 4000),
        },
        _ => Timed::WritersSlow {
            lasts: rng.range(50, 3000),
            by: rng.range(50, 8000),
        },
    }
}

//! What one history is made of: who takes part, and what goes wrong.

mod timed;

use upload_core::StorageFault;

use crate::rng::Rng;

use self::timed::timed;

/// Faults happen before this time, in milliseconds; afterwards all must end well.
pub(crate) const FAULTS_END: u64 = 8_000;

/// Until this time, in milliseconds, single requests over HTTP break off, go to another node, or get no answer.
///
/// Where nodes share no records and nothing is durable, enough of them in a row keep a client from its end for any
/// time. What is unfinished long after the last of them is stuck by itself.
pub(crate) const TROUBLED_REQUESTS_END: u64 = FAULTS_END + 200_000;

/// One history, before it is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    pub(crate) tabs: Vec<TabPlan>,
    pub(crate) faults: Vec<Fault>,
}

/// The server's side.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) nodes: usize,
    /// Records do not outlive their node; then there is one node.
    pub(crate) memory_store: bool,
    pub(crate) checksum: bool,
    pub(crate) announces: bool,
    /// The application is asked.
    pub(crate) authorizes: bool,
    pub(crate) chunk_size: u32,
    pub(crate) head_bytes: u32,
    pub(crate) window: u64,
    pub(crate) keeping: Keeping,
    /// Most parts that fit into a checkpoint.
    pub(crate) parts_told_max: u64,
    pub(crate) parked_max: usize,
    /// Entries that one connection may have in one slot; never fewer than its tab has files for it.
    pub(crate) max_entries: u32,
    /// Reads of a file are answered in the order in which they were asked for.
    pub(crate) reads_in_order: bool,
    /// Longest usual delay of a message, in milliseconds.
    pub(crate) delay: u64,
    /// Longest usual time of a writer's call, in milliseconds.
    pub(crate) writer_delay: u64,
    /// Longest usual time of a store's call, in milliseconds.
    pub(crate) store_delay: u64,
}

impl Setup {
    /// Returns how large a window may become.
    pub(crate) fn window_max(&self) -> u64 {
        self.window.saturating_mul(4)
    }
}

/// How a writer keeps bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// What is written is durable.
    AtOnce,
    /// What is written is durable after a flush.
    OnFlush,
    /// Whole parts are durable, and the checkpoint lists them as long as they fit.
    Parts(u64),
    /// It can not be reopened.
    NoCheckpoint,
}

impl Keeping {
    /// Returns how much a flush leaves received and durable of what was so before.
    pub(crate) fn flushed(self, (received, durable): (u64, u64)) -> (u64, u64) {
        match self {
            Self::AtOnce | Self::NoCheckpoint => (received, durable),
            Self::OnFlush => (received, received),
            Self::Parts(size) => (received, durable.max(received / size * size)),
        }
    }

    /// Returns how many bytes are in the writer's memory.
    pub(crate) fn buffered(self, received: u64, durable: u64) -> u64 {
        match self {
            Self::AtOnce | Self::NoCheckpoint | Self::OnFlush => 0,
            Self::Parts(_) => received - durable,
        }
    }
}

/// One browser tab.
#[derive(Clone, Debug)]
pub(crate) struct TabPlan {
    pub(crate) owner: u8,
    pub(crate) kind: Kind,
    pub(crate) opens_at: u64,
    pub(crate) uploads: Vec<UploadPlan>,
}

impl TabPlan {
    /// Returns how many files the tab has for one slot at most.
    fn most_in_a_slot(&self) -> u32 {
        let files_for = |slot| {
            self.uploads
                .iter()
                .filter(|upload| upload.slot == slot)
                .count()
        };
        let most = self
            .uploads
            .iter()
            .map(|upload| files_for(upload.slot))
            .max();
        most.map_or(1, |most| most as u32)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Drives the real `Sender`.
    Modern,
    /// Knows what djust's client knows: no credit, no going back, no resume.
    Plain,
    /// Says anything.
    Hostile,
    /// Uploads over HTTP, by requests to any node.
    Http,
}

#[derive(Clone, Debug)]
pub(crate) struct UploadPlan {
    pub(crate) slot: &'static str,
    pub(crate) size: u64,
    /// The content check says no.
    pub(crate) unwelcome: bool,
    /// The application says no, if not before then at the end.
    pub(crate) forbidden: bool,
    /// Its size is not told before its end; only over HTTP.
    pub(crate) is_open: bool,
}

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    At(u64, Timed),
    /// The n-th call of the store.
    Store(u32, StoreTrouble),
    /// The n-th call of a writer.
    Writer(u32, WriterTrouble),
}

#[derive(Clone, Debug)]
pub(crate) enum Timed {
    /// The connection breaks; each side learns of it in its own time.
    Cut {
        tab: usize,
        server_after: u64,
        tab_after: u64,
    },
    /// The tab is closed and opened again, knowing its uploads.
    Leave {
        tab: usize,
        back_after: u64,
        file_changed: bool,
    },
    /// The user looks elsewhere.
    Pause {
        tab: usize,
        lasts: u64,
    },
    Cancel {
        tab: usize,
        upload: usize,
    },
    AppCancel {
        tab: usize,
        upload: usize,
    },
    /// Chunks are sent twice, and some not at all.
    Clumsy {
        tab: usize,
        lasts: u64,
    },
    /// Another tab, another client, the same uploads.
    Rival {
        tab: usize,
    },
    /// The same client once more, while the first still runs.
    Twin {
        tab: usize,
    },
    /// The same uploads over HTTP, while the first still runs.
    Door {
        tab: usize,
    },
    Crash {
        node: usize,
        down_for: u64,
    },
    /// A restart with notice.
    Drain {
        node: usize,
        down_for: u64,
    },
    /// The node does nothing for a while.
    Freeze {
        node: usize,
        lasts: u64,
    },
    /// The wall clock is set.
    Clock {
        node: usize,
        skew: i64,
    },
    /// Memory is short.
    Squeeze {
        node: usize,
        bytes: u64,
        lasts: u64,
    },
    /// The parking lot lets everything go.
    EmptyLot {
        node: usize,
    },
    StoreDown {
        lasts: u64,
        after_effect: bool,
    },
    StoreSlow {
        lasts: u64,
        by: u64,
    },
    StorageShort {
        lasts: u64,
        fault: StorageFault,
    },
    WritersSlow {
        lasts: u64,
        by: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreTrouble {
    FailsBefore,
    FailsAfter,
    /// It says that it failed, and does it later.
    Late(u64),
    Slow(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriterTrouble {
    FailsBefore(StorageFault),
    FailsAfter(StorageFault),
    Slow(u64),
}

impl Plan {
    /// Returns whether answers may be late.
    pub(crate) fn has_delays(&self) -> bool {
        self.faults.iter().any(|fault| {
            matches!(
                fault,
                Fault::At(_, Timed::Freeze { .. } | Timed::StoreSlow { .. })
                    | Fault::Store(_, StoreTrouble::Slow(_) | StoreTrouble::Late(_))
            )
        })
    }

    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let memory_store = rng.chance(15);
        let chunk_size = rng.pick(&[8, 16, 24, 64]);
        let mut setup = Setup {
            nodes: if memory_store {
                1
            } else {
                rng.pick(&[1, 1, 2, 3])
            },
            memory_store,
            checksum: rng.chance(85),
            announces: rng.chance(50),
            authorizes: rng.chance(30),
            chunk_size,
            head_bytes: rng.pick(&[0, 1, 10, 16, 40, 100]),
            window: u64::from(chunk_size) * rng.range(2, 8),
            keeping: match rng.below(10) {
                0..3 => Keeping::AtOnce,
                3..6 => Keeping::OnFlush,
                6..9 => Keeping::Parts(rng.pick(&[20, 48, 150])),
                _ => Keeping::NoCheckpoint,
            },
            parts_told_max: u64::MAX,
            parked_max: rng.pick(&[1, 4, 32]),
            max_entries: 32,
            reads_in_order: true,
            delay: rng.pick(&[2, 20, 120]),
            writer_delay: rng.pick(&[0, 5, 60]),
            store_delay: rng.pick(&[0, 5, 60]),
        };
        let tabs: Vec<_> = (0..rng.range(1, 3)).map(|_| tab(&mut rng)).collect();
        let mut faults: Vec<_> = (0..rng.range(3, 9))
            .map(|_| Fault::At(rng.range(1, FAULTS_END - 1), timed(&mut rng, &setup, &tabs)))
            .collect();
        for _ in 0..rng.range(1, 4) {
            let trouble = match rng.below(4) {
                0 => StoreTrouble::FailsBefore,
                1 => StoreTrouble::FailsAfter,
                2 => StoreTrouble::Late(rng.range(1, 4000)),
                _ => StoreTrouble::Slow(rng.range(50, 9000)),
            };
            faults.push(Fault::Store(rng.range(0, 30) as u32, trouble));
        }
        for _ in 0..rng.range(1, 4) {
            let fault = rng.pick(&[
                StorageFault::Failed,
                StorageFault::Denied,
                StorageFault::Full,
                StorageFault::Throttled,
                StorageFault::Throttled,
            ]);
            let trouble = match rng.below(4) {
                0 => WriterTrouble::FailsBefore(fault),
                1 => WriterTrouble::FailsAfter(fault),
                _ => WriterTrouble::Slow(rng.range(50, 9000)),
            };
            faults.push(Fault::Writer(rng.range(0, 60) as u32, trouble));
        }
        if rng.chance(30) {
            setup.parts_told_max = rng.range(0, 6);
        }
        if rng.chance(50) {
            setup.max_entries = tabs.iter().map(TabPlan::most_in_a_slot).max().unwrap_or(1);
        }
        setup.reads_in_order = rng.chance(40);
        Self {
            seed,
            setup,
            tabs,
            faults,
        }
    }
}

fn tab(rng: &mut Rng) -> TabPlan {
    let kind = match rng.below(10) {
        0 => Kind::Hostile,
        1..3 => Kind::Plain,
        3..5 => Kind::Http,
        _ => Kind::Modern,
    };
    let uploads = (0..rng.pick(&[1, 1, 2, 3]))
        .map(|_| UploadPlan {
            slot: rng.pick(&["keep", "keep", "keep", "wait", "stay", "file"]),
            size: match rng.below(8) {
                0 => 0,
                1 => rng.range(1, 20),
                2 => 16 * rng.range(1, 20),
                _ => rng.range(50, 600),
            },
            unwelcome: rng.chance(3),
            forbidden: rng.chance(3),
            is_open: rng.chance(40),
        })
        .collect();
    TabPlan {
        owner: rng.range(1, 2) as u8,
        kind,
        opens_at: rng.range(0, 2000),
        uploads,
    }
}

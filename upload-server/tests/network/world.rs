//! A server in a simulation, and what the tests see of it.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use turmoil::{Sim, net::TcpListener};
use upload_server::{Limits, SlotOptions, Uploads, testing};
use upload_stores::MemoryStore;
use upload_writers::{Call, Fault, FaultyWriterFactory, RecordingWriterFactory};

use crate::PATIENCE;

/// Where the server listens.
const PORT: u16 = 80;

/// How often the server's state is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// How long each write takes, so that bytes wait for writers at all; and how many do.
const WRITE: Duration = Duration::from_millis(200);
const WRITES: u64 = 2_000;

/// What stays when a server goes.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) recorder: RecordingWriterFactory,
    pub(crate) state: Arc<State>,
    writers: FaultyWriterFactory,
    store: Arc<MemoryStore>,
    dir: Arc<TempDir>,
}

/// What is known of the running server.
#[derive(Default)]
pub(crate) struct State(Mutex<Seen>);

#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// WebSockets now, and at most.
    pub(crate) connections: usize,
    pub(crate) connections_ever: usize,
    /// Sockets that were accepted.
    pub(crate) accepted: usize,
    /// Payload bytes that wait now, and at most.
    pub(crate) buffered: u64,
    pub(crate) buffered_ever: u64,
    /// The first server stops after this.
    pub(crate) stop_after: Option<Duration>,
    /// How long it took to.
    pub(crate) stopped_in: Option<Duration>,
    /// The test is over: the server stops, and says whether it came to rest.
    pub(crate) ends: bool,
    pub(crate) at_rest: Option<bool>,
    /// Tasks of the server's machine before it served, and after it stopped.
    pub(crate) tasks: Option<(usize, usize)>,
}

impl State {
    pub(crate) fn look<T>(&self, see: impl FnOnce(&Seen) -> T) -> T {
        see(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits, in the simulation's time, until something is so.
    pub(crate) async fn until(&self, is_so: impl Fn(&Seen) -> bool) {
        while !self.look(&is_so) {
            sleep(LOOK).await;
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let recorder = RecordingWriterFactory::new();
        let writers = FaultyWriterFactory::new(Arc::new(recorder.clone()));
        for number in 0..WRITES {
            writers.disturb(Call::Write, number, Fault::Stall(WRITE));
        }
        Self {
            seed,
            recorder,
            writers,
            state: Arc::default(),
            store: Arc::new(MemoryStore::new()),
            dir: Arc::new(TempDir::new().expect("a temporary directory")),
        }
    }

    pub(crate) fn sim(&self) -> Sim<'static> {
        turmoil::Builder::new()
            .tick_duration(Duration::from_millis(5))
            .simulation_duration(PATIENCE)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(40))
            .tcp_capacity(256)
            .enable_random_order()
            .rng_seed(self.seed)
            .build()
    }

    pub(crate) fn dice(&self) -> Dice {
        Dice(self.seed)
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://server:{PORT}/uploads/ws")
    }

    /// Adds the machine `server`.
    pub(crate) fn host(&self, sim: &mut Sim<'static>, limits: Limits) {
        let (writers, store) = (self.writers.clone(), Arc::clone(&self.store));
        let (state, dir) = (Arc::clone(&self.state), Arc::clone(&self.dir));
        sim.host("server", move || {
            let make = {
                let (writers, store) = (writers.clone(), Arc::clone(&store));
                let (dir, limits) = (Arc::clone(&dir), limits.clone());
                move || uploads(&writers, &store, &dir, &limits)
            };
            let state = Arc::clone(&state);
            async move {
                let before = tasks();
                if let Some(after) = state.look(|it| it.stop_after) {
                    let begun = Instant::now();
                    let is_over = async || sleep(after.saturating_sub(begun.elapsed())).await;
                    let took = serve(make(), &state, is_over()).await?;
                    state.change(|it| it.stopped_in = Some(took));
                }
                let ends = Arc::clone(&state);
                serve(
                    make(),
                    &state,
                    async move { ends.until(|it| it.ends).await },
                )
                .await?;
                // HTTP connections and their timers end by themselves.
                for _ in 0..1_000 {
                    if tasks() <= before {
                        break;
                    }
                    sleep(LOOK).await;
                }
                state.change(|it| it.tasks = Some((before, tasks())));
                std::future::pending().await
            }
        });
    }

    /// Stops the server, and asserts that nothing is left of anything.
    pub(crate) fn rest(&self, sim: &mut Sim<'static>) {
        self.state.change(|it| it.ends = true);
        let state = Arc::clone(&self.state);
        sim.client("end", async move {
            state.until(|it| it.tasks.is_some()).await;
            Ok(())
        });
        sim.run()
            .unwrap_or_else(|error| panic!("NETWORK_SEED={}: {error}", self.seed));
        let seen = self.state.look(Clone::clone);
        let what = format!("NETWORK_SEED={}", self.seed);
        assert_eq!(seen.at_rest, Some(true), "{what}");
        assert_eq!((seen.connections, seen.buffered), (0, 0), "{what}");
        let (before, after) = seen.tasks.expect("counted");
        assert_eq!(after, before, "no task is left, {what}");
    }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

fn uploads(
    writers: &FaultyWriterFactory,
    store: &Arc<MemoryStore>,
    dir: &TempDir,
    limits: &Limits,
) -> Uploads {
    let slot = SlotOptions::new()
        .max_entries(16)
        .resumable(true)
        .writer(writers.clone());
    Uploads::builder()
        .data_dir(dir.path())
        .store(Arc::clone(store) as _)
        .owner(|parts| {
            let owner = parts
                .headers
                .get("x-owner")
                .and_then(|name| name.to_str().ok());
            Ok(owner.map(str::to_owned))
        })
        .buffer_budget(limits.buffer_budget)
        .limits(limits.clone())
        .allow_upload("files", slot)
        .build()
        .expect("the uploads")
}

/// Serves until `stop`, then drains; returns how long that took.
async fn serve(
    uploads: Uploads,
    state: &Arc<State>,
    stop: impl Future<Output = ()>,
) -> Result<Duration, Box<dyn std::error::Error>> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let app = Router::new().nest("/uploads", uploads.router());
    let mut stop = std::pin::pin!(stop);
    let closing = CancellationToken::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (socket, _) = accepted?;
                state.change(|it| it.accepted += 1);
                let service = TowerToHyperService::new(app.clone());
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(10))
                    .serve_connection(TokioIo::new(socket), service)
                    .with_upgrades();
                let closing = closing.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = connection => {}
                        () = closing.cancelled() => {}
                    }
                });
            }
            () = sleep(LOOK) => watch(&uploads, state),
            () = &mut stop => break,
        }
    }
    drop(listener);
    let begun = Instant::now();
    let at_rest = uploads.shutdown().await;
    let took = begun.elapsed();
    closing.cancel();
    watch(&uploads, state);
    state.change(|it| it.at_rest = Some(at_rest && it.at_rest.unwrap_or(true)));
    Ok(took)
}

fn watch(uploads: &Uploads, state: &State) {
    let now = testing::load(uploads);
    state.change(|it| {
        (it.connections, it.buffered) = (now.connections, now.buffered_bytes);
        it.connections_ever = it.connections_ever.max(now.connections);
        it.buffered_ever = it.buffered_ever.max(now.buffered_bytes);
    });
}

/// Returns where the seeds of this run begin.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("NETWORK_SEED");
    given.map_or(1, |seed| seed.parse().expect("NETWORK_SEED is a number"))
}

/// Bytes that tell their own place.
pub(crate) fn file(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice(seed.wrapping_mul(0x0123_4567_89ab_cdef));
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Numbers that look random, the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

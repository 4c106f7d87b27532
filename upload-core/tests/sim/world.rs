//! Everything there is in one history, and the queue of what happens next.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use upload_core::{
    DisconnectReason, EntryId, Now, OwnerTally, ReadId, Refusal, Reply, Request, ServerTally,
    StorageFault, StoreEvent, Verdict,
};
use upload_proto::{Code, Frame, ServerMessage, UploadRef};

use crate::{
    driver::FLUSHED_AFTER,
    due::Due,
    host::{Answer, Host, ParkedWriter, StoreCall},
    plan::{FAULTS_END, Fault, Kind, Plan, StoreTrouble, Timed, WriterTrouble},
    records::Records,
    rng::{Rng, mix},
    storage::Storage,
    tab::{
        Tab,
        http::{Asker, Body},
    },
    truth::Truth,
};

/// One upload of one owner.
pub(crate) type Key = (u8, UploadRef);

/// Everything must have ended this long after the last fault, in milliseconds.
const LIVENESS: u64 = 400_000;

/// Nothing else is found out in a history of more steps than this.
const STEPS_MAX: u64 = 400_000;

/// What happens at some time.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A message arrives at the server.
    ToServer(usize, Up),
    /// A message arrives at the tab.
    ToTab(usize, Box<ServerMessage>),
    /// The server learns that a connection is gone.
    ServerLost(usize, DisconnectReason),
    /// The tab learns it.
    TabLost(usize),
    Connect(usize),
    /// A session asked to be woken.
    Wake(usize),
    StoreEffect(usize, StoreCall, Option<StoreTrouble>),
    StoreAnswer(usize, EntryId, StoreEvent),
    WriterEffect(usize, EntryId, Option<WriterTrouble>),
    WriterAnswer(usize, EntryId, Answer),
    FlushOverdue(usize, EntryId, (u64, u64)),
    Judged(usize, EntryId, Verdict),
    Announced(usize, EntryId),
    EvictArrives(usize, UploadRef),
    EvictDone(usize, EntryId),
    Authorized(usize, EntryId, Result<(), Code>),
    HttpAsks(usize, UploadRef, Asker, Box<Request>),
    HttpBody(usize, Body),
    HttpAnswer(Asker, Option<Box<Reply>>),
    SenderWake(usize, usize),
    SenderUp(usize, usize),
    Data(usize, usize, ReadId, u64, u32),
    TabStep(usize),
    Fault(usize),
    NodeUp(usize),
    NodeDown(usize, u64),
    Unsqueeze(usize),
    Unpause(usize),
    Reopen(usize, bool),
}

/// What a client says.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Frame(Frame),
    Message(upload_proto::ClientMessage),
    BadFrame,
}

/// One WebSocket connection, both ends of it.
pub(crate) struct Conn {
    pub(crate) tab: usize,
    pub(crate) node: usize,
    pub(crate) owner: u8,
    pub(crate) plain: bool,
    pub(crate) host: Option<Box<Host>>,
    pub(crate) inbox: VecDeque<Up>,
    /// The server has not noticed an end.
    pub(crate) server_open: bool,
    /// The tab has not noticed an end.
    pub(crate) tab_open: bool,
    /// Nothing gets through any more.
    pub(crate) cut: bool,
    up_at: u64,
    down_at: u64,
}

/// One process of the server.
pub(crate) struct Node {
    pub(crate) boot: u32,
    pub(crate) up: bool,
    pub(crate) drains: bool,
    pub(crate) skew: i64,
    frozen_until: u64,
    pub(crate) squeeze: Option<u64>,
    pub(crate) parked: VecDeque<(Key, ParkedWriter)>,
    pub(crate) holders: BTreeMap<Key, usize>,
    pub(crate) waiters: Vec<(Key, usize, EntryId)>,
    /// The visit of each upload that was asked about over HTTP.
    pub(crate) visits: BTreeMap<Key, usize>,
    pub(crate) tallies: BTreeMap<u8, Arc<OwnerTally>>,
    pub(crate) all: Arc<ServerTally>,
}

/// Troubles that last.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    pub(crate) store_down: Option<(u64, bool)>,
    pub(crate) store_slow: Option<(u64, u64)>,
    pub(crate) storage_short: Option<(u64, StorageFault)>,
    pub(crate) writers_slow: Option<(u64, u64)>,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    queue: BinaryHeap<Reverse<Due<Happening>>>,
    seq: u64,
    pub(crate) conns: Vec<Conn>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) tabs: Vec<Tab>,
    pub(crate) records: Records,
    pub(crate) storage: Storage,
    pub(crate) truth: BTreeMap<Key, Truth>,
    /// What a cancel arrived for, which ends it wherever it is held.
    pub(crate) cancelled: BTreeSet<Key>,
    pub(crate) weather: Weather,
    pub(crate) store_calls: u32,
    /// No call of the store has failed so far.
    pub(crate) store_worked: bool,
    pub(crate) writer_calls: u32,
    pub(crate) store_troubles: BTreeMap<u32, StoreTrouble>,
    pub(crate) writer_troubles: BTreeMap<u32, WriterTrouble>,
    pub(crate) faults_felt: u32,
    /// Bytes the store told as durable may be gone.
    pub(crate) is_lossy: bool,
    /// Some node's wall clock jumped.
    pub(crate) clocks_were_set: bool,
    pub(crate) refs: u64,
    /// Requests over HTTP so far.
    pub(crate) requests: u64,
    /// Tabs that are closed and will be opened again.
    pub(crate) coming_back: u32,
    steps: u64,
    trace: u64,
    wrong: Option<String>,
    pub(crate) is_loud: bool,
}

/// How a history went.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) trace: u64,
    pub(crate) steps: u64,
    pub(crate) faults: u32,
    pub(crate) completed: u32,
    pub(crate) wrong: Option<String>,
}

impl World {
    pub(crate) fn new(plan: Plan, is_loud: bool) -> Self {
        let node = |_| Node {
            boot: 0,
            up: true,
            drains: false,
            skew: 0,
            frozen_until: 0,
            squeeze: None,
            parked: VecDeque::new(),
            holders: BTreeMap::new(),
            waiters: Vec::new(),
            visits: BTreeMap::new(),
            tallies: BTreeMap::new(),
            all: Arc::new(ServerTally::new(u32::MAX)),
        };
        let mut world = Self {
            now: 0,
            rng: Rng::new(plan.seed ^ 0x5eed),
            queue: BinaryHeap::new(),
            seq: 0,
            conns: Vec::new(),
            nodes: (0..plan.setup.nodes).map(node).collect(),
            tabs: Vec::new(),
            records: Records::default(),
            storage: Storage::new(plan.setup.parts_told_max),
            truth: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            weather: Weather::default(),
            store_calls: 0,
            store_worked: true,
            writer_calls: 0,
            store_troubles: BTreeMap::new(),
            writer_troubles: BTreeMap::new(),
            faults_felt: 0,
            is_lossy: false,
            clocks_were_set: false,
            refs: 0,
            requests: 0,
            coming_back: 0,
            steps: 0,
            trace: plan.seed,
            wrong: None,
            is_loud,
            plan,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for (number, fault) in self.plan.faults.clone().into_iter().enumerate() {
            match fault {
                Fault::At(at, _) => self.at(at, Happening::Fault(number)),
                Fault::Store(call, trouble) => {
                    self.store_troubles.insert(call, trouble);
                }
                Fault::Writer(call, trouble) => {
                    self.writer_troubles.insert(call, trouble);
                }
            }
        }
        for (number, tab) in self.plan.tabs.clone().into_iter().enumerate() {
            self.open_tab(&tab, number, None);
        }
    }

    /// Runs the history to its end.
    pub(crate) fn run(mut self) -> Ending {
        self.run_until(FAULTS_END + LIVENESS, true);
        let unfinished = self.unfinished();
        if let Some(what) = unfinished {
            self.fail(format!("7 liveness: {what}"));
        }
        self.close_all();
        let end = self.now + 120_000;
        self.run_until(end, false);
        self.look_back();
        Ending {
            trace: self.trace,
            steps: self.steps,
            faults: self.faults_felt,
            completed: self.truth.values().filter(|it| it.is_complete).count() as u32,
            wrong: self.wrong,
        }
    }

    fn run_until(&mut self, end: u64, stop_when_ended: bool) {
        while self.wrong.is_none() {
            if stop_when_ended && self.now > FAULTS_END && self.unfinished().is_none() {
                return;
            }
            let due = self.queue.peek().map(|Reverse(due)| due.at);
            if due.is_none_or(|at| at > end) {
                return;
            }
            let Some(Reverse(due)) = self.queue.pop() else {
                return;
            };
            self.now = self.now.max(due.at);
            self.steps += 1;
            if self.steps > STEPS_MAX {
                self.fail("7 liveness: too many steps".into());
                return;
            }
            self.step(due.what);
        }
    }

    fn step(&mut self, what: Happening) {
        if let Some(until) = self.frozen_until(&what) {
            let pause = match what {
                // What it has to do it does once it is awake.
                Happening::FlushOverdue(..) => FLUSHED_AFTER,
                _ => 0,
            };
            self.at(until + pause, what);
            return;
        }
        if self.is_loud {
            println!("{:>7} {what:?}", self.now);
        }
        self.note(self.now ^ (self.seq << 20));
        match what {
            Happening::ToServer(conn, up) => self.arrives(conn, up),
            Happening::ToTab(conn, message) => self.tab_hears(conn, &message),
            Happening::ServerLost(conn, reason) => self.server_lost(conn, reason),
            Happening::TabLost(conn) => self.tab_lost(conn),
            Happening::Connect(tab) => self.connect(tab),
            Happening::Wake(conn) => self.wake(conn),
            Happening::StoreEffect(conn, call, trouble) => self.store_effect(conn, call, trouble),
            Happening::StoreAnswer(conn, entry, event) => self.store_answers(conn, entry, event),
            Happening::WriterEffect(conn, entry, trouble) => {
                self.writer_effect(conn, entry, trouble);
            }
            Happening::WriterAnswer(conn, entry, answer) => {
                self.writer_answers(conn, entry, answer)
            }
            Happening::FlushOverdue(conn, entry, written) => {
                self.check_flushed(conn, entry, written);
            }
            Happening::Judged(conn, entry, verdict) => {
                self.input(conn, |session, now| {
                    session.handle_verdict(entry, verdict, now)
                });
            }
            Happening::Announced(conn, entry) => {
                self.input(conn, |session, now| session.handle_announced(entry, now));
            }
            Happening::EvictArrives(conn, upload) => {
                self.input(conn, |session, now| session.handle_evict(upload, now));
            }
            Happening::EvictDone(conn, entry) => self.evict_done(conn, entry),
            Happening::Authorized(conn, entry, answer) => {
                let answer = answer.map_err(Refusal::from);
                self.input(conn, |core, now| core.handle_authorized(entry, answer, now));
            }
            Happening::HttpAsks(node, upload, asker, request) => {
                self.http_asks(node, upload, asker, *request);
            }
            Happening::HttpBody(conn, body) => self.http_body(conn, body),
            Happening::HttpAnswer(asker, reply) => self.http_hears(asker, reply),
            Happening::SenderWake(tab, member) => self.sender_wakes(tab, member),
            Happening::SenderUp(tab, member) => self.sender_up(tab, member),
            Happening::Data(tab, member, id, offset, length) => {
                self.data_read(tab, member, id, offset, length);
            }
            Happening::TabStep(tab) => self.tab_steps(tab),
            Happening::Fault(number) => self.fault(number),
            Happening::NodeUp(node) => {
                self.nodes[node].up = true;
                self.nodes[node].drains = false;
            }
            Happening::NodeDown(node, down_for) => self.crash(node, down_for),
            Happening::Unsqueeze(node) => {
                self.nodes[node].squeeze = None;
                self.tell_window(node);
            }
            Happening::Unpause(tab) => self.unpause(tab),
            Happening::Reopen(tab, file_changed) => self.reopen_tab(tab, file_changed),
        }
    }

    /// A frozen process takes nothing in.
    fn frozen_until(&self, what: &Happening) -> Option<u64> {
        let conn = match what {
            Happening::HttpAsks(node, ..) => {
                let until = self.nodes[*node].frozen_until;
                return (until > self.now).then_some(until);
            }
            Happening::ToServer(conn, _)
            | Happening::ServerLost(conn, _)
            | Happening::Wake(conn)
            | Happening::StoreAnswer(conn, ..)
            | Happening::WriterEffect(conn, ..)
            | Happening::WriterAnswer(conn, ..)
            | Happening::FlushOverdue(conn, ..)
            | Happening::Judged(conn, ..)
            | Happening::Announced(conn, _)
            | Happening::Authorized(conn, ..)
            | Happening::HttpBody(conn, _)
            | Happening::EvictArrives(conn, _)
            | Happening::EvictDone(conn, _) => *conn,
            _ => return None,
        };
        let node = &self.nodes[self.conns[conn].node];
        (node.frozen_until > self.now).then_some(node.frozen_until)
    }

    pub(crate) fn at(&mut self, at: u64, what: Happening) {
        self.seq += 1;
        self.queue.push(Reverse(Due {
            at,
            seq: self.seq,
            what,
        }));
    }

    pub(crate) fn after(&mut self, delay: u64, what: Happening) {
        self.at(self.now + delay, what);
    }

    /// Sends to the server; what one side sends arrives in order.
    pub(crate) fn send_up(&mut self, conn: usize, up: Up) {
        let delay = self.delay();
        let it = &mut self.conns[conn];
        if it.cut || !it.tab_open {
            return;
        }
        it.up_at = it.up_at.max(self.now + delay);
        let at = it.up_at;
        self.at(at, Happening::ToServer(conn, up));
    }

    pub(crate) fn send_down(&mut self, conn: usize, message: ServerMessage) {
        let delay = self.delay();
        let it = &mut self.conns[conn];
        if it.cut || !it.server_open {
            return;
        }
        it.down_at = it.down_at.max(self.now + delay);
        let at = it.down_at;
        self.at(at, Happening::ToTab(conn, Box::new(message)));
    }

    pub(crate) fn delay(&mut self) -> u64 {
        let most = self.plan.setup.delay;
        self.rng.range(0, most)
    }

    fn connect(&mut self, tab: usize) {
        self.tabs[tab].is_connecting = false;
        if self.tabs[tab].is_closed || self.tabs[tab].conn.is_some() {
            return;
        }
        let up: Vec<_> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].up && !self.nodes[*node].drains)
            .collect();
        if up.is_empty() {
            self.connect_failed(tab);
            return;
        }
        let node = up[self.rng.below(up.len())];
        let conn = self.add_conn(tab, node, true);
        self.tabs[tab].conn = Some(conn);
        self.accept(conn, None);
        self.tab_connected(tab);
    }

    fn add_conn(&mut self, tab: usize, node: usize, is_socket: bool) -> usize {
        let (owner, plain) = (self.tabs[tab].owner, self.tabs[tab].kind == Kind::Plain);
        self.conns.push(Conn {
            tab,
            node,
            owner,
            plain,
            host: None,
            inbox: VecDeque::new(),
            server_open: is_socket,
            tab_open: is_socket,
            cut: !is_socket,
            up_at: self.now,
            down_at: self.now,
        });
        self.conns.len() - 1
    }

    /// Returns the visit of an upload on a node, a new one where there is none.
    pub(crate) fn visit_of(&mut self, node: usize, tab: usize, upload: UploadRef) -> usize {
        let key = (self.tabs[tab].owner, upload);
        if let Some(conn) = self.nodes[node].visits.get(&key)
            && self.conns[*conn].host.is_some()
        {
            return *conn;
        }
        let conn = self.add_conn(tab, node, false);
        self.nodes[node].visits.insert(key, conn);
        self.accept(conn, Some(upload));
        conn
    }

    /// Breaks a connection; what is on its way is lost.
    pub(crate) fn cut(&mut self, conn: usize, server_after: u64, tab_after: u64) {
        if self.conns[conn].cut {
            return;
        }
        self.conns[conn].cut = true;
        self.after(
            server_after,
            Happening::ServerLost(conn, DisconnectReason::Lost),
        );
        self.after(tab_after, Happening::TabLost(conn));
    }

    fn fault(&mut self, number: usize) {
        let Fault::At(_, what) = self.plan.faults[number].clone() else {
            return;
        };
        self.faults_felt += 1;
        match what {
            Timed::Cut {
                tab,
                server_after,
                tab_after,
            } => match self.tabs[tab].conn {
                Some(conn) => self.cut(conn, server_after, tab_after),
                None => self.faults_felt -= 1,
            },
            Timed::Leave {
                tab,
                back_after,
                file_changed,
            } => self.leave(tab, back_after, file_changed && self.plan.setup.checksum),
            Timed::Pause { tab, lasts } => self.pause(tab, lasts),
            Timed::Cancel { tab, upload } => self.cancel(tab, upload),
            Timed::AppCancel { tab, upload } => self.app_cancel(tab, upload),
            Timed::Clumsy { tab, lasts } => self.tabs[tab].clumsy_until = self.now + lasts,
            Timed::Rival { tab } => self.open_again(tab, false),
            Timed::Twin { tab } => self.open_again(tab, true),
            Timed::Door { tab } => self.open_door(tab),
            Timed::Crash { node, down_for } => self.crash(node, down_for),
            Timed::Drain { node, down_for } => self.drain_node(node, down_for),
            Timed::Freeze { node, lasts } => {
                // What waits for the end of an earlier one must not be overtaken.
                let until = &mut self.nodes[node].frozen_until;
                *until = (*until).max(self.now + lasts);
            }
            Timed::Clock { node, skew } => {
                self.nodes[node].skew = skew;
                self.clocks_were_set = true;
            }
            Timed::Squeeze { node, bytes, lasts } => {
                self.nodes[node].squeeze = Some(bytes);
                self.tell_window(node);
                self.after(lasts, Happening::Unsqueeze(node));
            }
            Timed::EmptyLot { node } => self.empty_lot(node),
            Timed::StoreDown {
                lasts,
                after_effect,
            } => self.weather.store_down = Some((self.now + lasts, after_effect)),
            Timed::StoreSlow { lasts, by } => {
                self.weather.store_slow = Some((self.now + lasts, by));
            }
            Timed::StorageShort { lasts, fault } => {
                self.weather.storage_short = Some((self.now + lasts, fault));
            }
            Timed::WritersSlow { lasts, by } => {
                self.weather.writers_slow = Some((self.now + lasts, by));
            }
        }
    }

    /// Returns what has not ended that should.
    fn unfinished(&self) -> Option<String> {
        if self.coming_back > 0 {
            return Some("a tab comes back".into());
        }
        self.tabs
            .iter()
            .enumerate()
            .find_map(|(number, tab)| tab.unfinished().map(|what| format!("tab {number}: {what}")))
    }

    pub(crate) fn clock(&self, node: usize) -> Now {
        let unix = 1_700_000_000_000_i64 + self.now as i64 + self.nodes[node].skew;
        Now {
            instant: instant(self.now),
            unix_ms: unix as u64,
        }
    }

    /// The clock of a browser.
    pub(crate) fn tab_clock(&self) -> Now {
        Now {
            instant: instant(self.now),
            unix_ms: self.now,
        }
    }

    /// Adds to the trace, by which two runs of one seed are compared.
    pub(crate) fn note(&mut self, what: u64) {
        self.trace = mix(self.trace ^ what);
    }

    /// Notes the first thing that went wrong; it ends the history.
    pub(crate) fn fail(&mut self, what: String) {
        if self.wrong.is_none() {
            self.wrong = Some(format!("at {} ms: {what}", self.now));
        }
    }

    pub(crate) fn new_ref(&mut self) -> UploadRef {
        self.refs += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&mix(self.plan.seed).to_be_bytes());
        bytes[8..].copy_from_slice(&self.refs.to_be_bytes());
        UploadRef::from_bytes(bytes)
    }
}

/// Returns a moment of virtual time.
pub(crate) fn instant(ms: u64) -> Instant {
    epoch() + Duration::from_millis(ms)
}

/// Returns when a session wants to be woken, rounded up.
pub(crate) fn ms_of(at: Instant) -> u64 {
    let micros = at.saturating_duration_since(epoch()).as_micros();
    u64::try_from(micros.div_ceil(1000)).expect("virtual time is short")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one reading all others count from"
)]
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

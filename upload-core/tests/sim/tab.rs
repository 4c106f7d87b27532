//! Browser tabs that drive the real `Sender`.
//!
//! The rooms beside this one: `plain` (tabs without it), `users` (what happens
//! to tabs).

pub(crate) mod http;
mod plain;
mod users;

use bytes::Bytes;
use upload_core::{FileCheck, FileFacts, Outcome, ReadId, Sender, SenderConfig, SenderOutput};
use upload_proto::{Code, Frame, ResumeStatus, ServerMessage, UploadRef};

use crate::{
    plan::{Kind, TabPlan, UploadPlan},
    rng::{content, mix},
    tab::http::Http,
    truth::Truth,
    world::{Happening, Up, World, ms_of},
};

/// One tab, or one program.
pub(crate) struct Tab {
    pub(crate) owner: u8,
    pub(crate) kind: Kind,
    client_id: String,
    pub(crate) conn: Option<usize>,
    pub(crate) is_connecting: bool,
    pub(crate) is_closed: bool,
    members: Vec<Member>,
    plan: TabPlan,
    plan_number: usize,
    steps: u32,
    pub(crate) clumsy_until: u64,
}

/// One file a tab sends.
struct Member {
    sender: Option<Sender>,
    plain: Plain,
    http: Http,
    /// Requests over HTTP so far, and the node of the last one.
    attempt: u32,
    node: usize,
    /// Its user had it deleted.
    is_deleted: bool,
    plan: UploadPlan,
    seed: u64,
    upload: UploadRef,
    wake_at: Option<u64>,
    read_at: u64,
    wants_connection: bool,
    /// It may end otherwise than complete.
    is_excused: bool,
    /// Another tab sends the same, and may have taken it over.
    has_rival: bool,
    credit: u64,
}

/// What a plain client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Idle,
    Registering,
    Sending { sent: u64, index: u32 },
    Waiting,
    Done,
}

impl Tab {
    /// Returns what is still under way, unless nothing has to end here.
    pub(crate) fn unfinished(&self) -> Option<String> {
        if self.is_closed || self.kind == Kind::Hostile {
            return None;
        }
        if self.kind == Kind::Http {
            let under_way = self.members.iter().find(|it| it.http != Http::Done);
            return under_way.map(|it| format!("{} {:?}", it.upload, it.http));
        }
        self.members.iter().find_map(|member| match &member.sender {
            Some(sender) => sender
                .outcome()
                .is_none()
                .then(|| format!("{} {:?}", member.upload, sender.progress())),
            None => (member.plain != Plain::Done)
                .then(|| format!("{} {:?}", member.upload, member.plain)),
        })
    }

    /// Returns the upload the application cancels.
    pub(crate) fn cancelled_by_app(&mut self, upload: usize) -> Option<UploadRef> {
        let member = self.members.get_mut(upload)?;
        member.is_excused = true;
        Some(member.upload)
    }
}

impl World {
    /// Opens a tab; `known` are the refs and files of an earlier one.
    pub(crate) fn open_tab(
        &mut self,
        plan: &TabPlan,
        number: usize,
        known: Option<(String, Vec<(UploadRef, u64)>)>,
    ) -> usize {
        let tab = self.tabs.len();
        let (client_id, files) = match known {
            Some((client_id, files)) => (client_id, Some(files)),
            None => (format!("tab{tab}"), None),
        };
        let mut members = Vec::new();
        for (place, upload_plan) in plan.uploads.iter().enumerate() {
            let known = files.as_ref().map(|files| files[place]);
            let seed = match known {
                Some((_, seed)) => seed,
                None => mix(self.plan.seed ^ (((tab as u64) << 8) | place as u64)),
            };
            let upload = known.map_or_else(|| self.new_ref(), |(upload, _)| upload);
            self.know(plan, upload_plan, upload, seed);
            let sender = (plan.kind == Kind::Modern).then(|| {
                let facts = FileFacts {
                    upload,
                    is_known: known.is_some(),
                    slot: upload_plan.slot.into(),
                    name: "a.bin".into(),
                    media_type: String::new(),
                    size: upload_plan.size,
                    last_modified: None,
                    relative_path: None,
                    meta: None,
                    client_id: Some(client_id.clone()),
                };
                let config = SenderConfig {
                    reads_max: self.rng.pick(&[1, 4]),
                    stall: std::time::Duration::from_secs(12),
                    attempts_max: 10_000,
                    restarts_max: 1_000,
                    ..SenderConfig::default()
                };
                Sender::new(facts, config)
            });
            members.push(Member {
                sender,
                plain: Plain::Idle,
                http: match known {
                    Some(_) => Http::Ask,
                    None => Http::Create,
                },
                attempt: 0,
                node: usize::MAX,
                is_deleted: false,
                plan: upload_plan.clone(),
                seed,
                upload,
                wake_at: None,
                read_at: 0,
                wants_connection: false,
                is_excused: upload_plan.unwelcome || upload_plan.forbidden,
                has_rival: false,
                credit: 0,
            });
        }
        self.tabs.push(Tab {
            owner: plan.owner,
            kind: plan.kind,
            client_id,
            conn: None,
            is_connecting: false,
            is_closed: false,
            members,
            plan: plan.clone(),
            plan_number: number,
            steps: 0,
            clumsy_until: 0,
        });
        let opens_at = plan.opens_at.max(self.now);
        if plan.kind == Kind::Modern {
            for member in 0..plan.uploads.len() {
                self.at(opens_at, Happening::SenderWake(tab, member));
            }
        } else {
            self.at(opens_at, Happening::TabStep(tab));
        }
        tab
    }

    fn know(&mut self, tab: &TabPlan, plan: &UploadPlan, upload: UploadRef, seed: u64) {
        if tab.kind == Kind::Hostile {
            return;
        }
        let truth = self.truth.entry((tab.owner, upload)).or_insert(Truth {
            size: plan.size,
            slot: plan.slot,
            unwelcome: plan.unwelcome,
            forbidden: plan.forbidden,
            ..Truth::default()
        });
        if !truth.files.contains(&seed) {
            truth.files.push(seed);
        }
    }

    pub(crate) fn is_honest(&self, conn: usize) -> bool {
        self.tabs[self.conns[conn].tab].kind != Kind::Hostile
    }

    fn want_connection(&mut self, tab: usize) {
        let it = &mut self.tabs[tab];
        if it.conn.is_none() && !it.is_connecting && !it.is_closed {
            it.is_connecting = true;
            let delay = self.rng.range(1, 1 + self.plan.setup.delay);
            self.after(delay, Happening::Connect(tab));
        }
    }

    pub(crate) fn tab_connected(&mut self, tab: usize) {
        for member in 0..self.tabs[tab].members.len() {
            if self.tabs[tab].members[member].wants_connection {
                self.after(0, Happening::SenderUp(tab, member));
            }
        }
        if self.tabs[tab].kind != Kind::Modern {
            self.after(1, Happening::TabStep(tab));
        }
    }

    pub(crate) fn connect_failed(&mut self, tab: usize) {
        let now = self.tab_clock();
        for member in 0..self.tabs[tab].members.len() {
            let it = &mut self.tabs[tab].members[member];
            if std::mem::take(&mut it.wants_connection)
                && let Some(sender) = &mut it.sender
            {
                sender.handle_disconnected(now);
                self.pump(tab, member);
            }
        }
        if self.tabs[tab].kind != Kind::Modern {
            self.after(500, Happening::TabStep(tab));
        }
    }

    pub(crate) fn sender_up(&mut self, tab: usize, member: usize) {
        if self.tabs[tab].conn.is_none() || self.tabs[tab].is_closed {
            return;
        }
        let now = self.tab_clock();
        let it = &mut self.tabs[tab].members[member];
        if std::mem::take(&mut it.wants_connection)
            && let Some(sender) = &mut it.sender
        {
            sender.handle_connected(now);
            self.pump(tab, member);
        }
    }

    pub(crate) fn tab_lost(&mut self, conn: usize) {
        if !self.conns[conn].tab_open {
            return;
        }
        self.conns[conn].tab_open = false;
        let tab = self.conns[conn].tab;
        if !self.conns[conn].cut {
            self.conns[conn].cut = true;
            let lost = upload_core::DisconnectReason::Lost;
            self.after(1, Happening::ServerLost(conn, lost));
        }
        if self.tabs[tab].conn != Some(conn) {
            return;
        }
        self.tabs[tab].conn = None;
        if self.tabs[tab].is_closed {
            return;
        }
        let now = self.tab_clock();
        for member in 0..self.tabs[tab].members.len() {
            let it = &mut self.tabs[tab].members[member];
            if let Some(sender) = &mut it.sender {
                sender.handle_disconnected(now);
                self.pump(tab, member);
            } else if it.plain != Plain::Done {
                it.plain = Plain::Idle;
            }
        }
        if self.tabs[tab].kind != Kind::Modern {
            self.after(200, Happening::TabStep(tab));
        }
    }

    pub(crate) fn sender_wakes(&mut self, tab: usize, member: usize) {
        let now = self.tab_clock();
        let at = self.now;
        if self.tabs[tab].is_closed {
            return;
        }
        let it = &mut self.tabs[tab].members[member];
        if it.wake_at.is_some_and(|planned| planned != at) {
            return;
        }
        it.wake_at = None;
        if let Some(sender) = &mut it.sender {
            sender.handle_timeout(now);
            self.pump(tab, member);
        }
    }

    pub(crate) fn data_read(
        &mut self,
        tab: usize,
        member: usize,
        id: ReadId,
        offset: u64,
        length: u32,
    ) {
        if self.tabs[tab].is_closed {
            return;
        }
        let now = self.tab_clock();
        let it = &mut self.tabs[tab].members[member];
        let data = content(it.seed, offset, u64::from(length));
        if let Some(sender) = &mut it.sender {
            sender.handle_data(id, Bytes::from(data), now);
            self.pump(tab, member);
        }
    }

    /// Carries out what a sender asks for.
    fn pump(&mut self, tab: usize, member: usize) {
        loop {
            let it = &mut self.tabs[tab].members[member];
            let Some(sender) = &mut it.sender else { return };
            let Some(output) = sender.poll_output() else {
                break;
            };
            match output {
                SenderOutput::Connect => {
                    it.wants_connection = true;
                    if self.tabs[tab].conn.is_some() {
                        self.after(0, Happening::SenderUp(tab, member));
                    } else {
                        self.want_connection(tab);
                    }
                }
                SenderOutput::Disconnect => {
                    if let Some(conn) = self.tabs[tab].conn {
                        let after = self.rng.pick(&[0, 40, 9_000]);
                        self.cut(conn, after, 0);
                    }
                }
                SenderOutput::Message(message) => self.say(tab, Up::Message(message)),
                SenderOutput::Frame(frame) => {
                    self.check_frame(tab, member, &frame);
                    self.say(tab, Up::Frame(frame));
                }
                SenderOutput::Read { id, offset, length } => {
                    let delay = self.rng.pick(&[0, 0, 1, 3, 40]);
                    let mut at = self.now + delay;
                    if self.plan.setup.reads_in_order {
                        at = at.max(self.tabs[tab].members[member].read_at);
                        self.tabs[tab].members[member].read_at = at;
                    }
                    self.at(at, Happening::Data(tab, member, id, offset, length));
                }
                SenderOutput::CheckFile { id } => {
                    let now = self.tab_clock();
                    if let Some(sender) = &mut self.tabs[tab].members[member].sender {
                        sender.handle_checked(id, FileCheck::Unchanged, now);
                    }
                }
                SenderOutput::NeedRef => {
                    let upload = self.new_ref();
                    let it = &mut self.tabs[tab].members[member];
                    it.upload = upload;
                    let (plan, seed) = (it.plan.clone(), it.seed);
                    let of = self.tabs[tab].plan.clone();
                    self.know(&of, &plan, upload, seed);
                    let now = self.tab_clock();
                    if let Some(sender) = &mut self.tabs[tab].members[member].sender {
                        sender.handle_ref(upload, now);
                    }
                }
            }
        }
        self.after_pump(tab, member);
    }

    fn after_pump(&mut self, tab: usize, member: usize) {
        let now = self.now;
        let it = &mut self.tabs[tab].members[member];
        let Some(sender) = &it.sender else { return };
        let at = sender.poll_timeout().map(|at| ms_of(at).max(now));
        if let Some(at) = at
            && it
                .wake_at
                .is_none_or(|planned| planned > at || planned < now)
        {
            it.wake_at = Some(at);
            self.at(at, Happening::SenderWake(tab, member));
        }
        self.check_outcome(tab, member);
    }

    /// CREDIT-1: a client that knows credit never sends past it.
    fn check_frame(&mut self, tab: usize, member: usize, frame: &Frame) {
        let it = &self.tabs[tab].members[member];
        let Some(sender) = &it.sender else { return };
        if matches!(frame, Frame::Chunk { .. }) && sender.progress().sent > it.credit {
            let (sent, credit) = (sender.progress().sent, it.credit);
            self.fail(format!("CREDIT-1: {sent} bytes are sent, {credit} granted"));
        }
    }

    /// Invariant 7: an honest upload ends well, or for a reason that was given.
    fn check_outcome(&mut self, tab: usize, member: usize) {
        let it = &self.tabs[tab].members[member];
        let key = (self.tabs[tab].owner, it.upload);
        let Some(outcome) = it.sender.as_ref().and_then(Sender::outcome) else {
            return;
        };
        let truth = &self.truth[&key];
        // A resume that was long on its way on an old connection may come after that
        // of a newer one; and a clock that was set ends leases early.
        // So does a cancel, which another connection of the tab carried out.
        let is_cancelled = self.cancelled.contains(&key);
        let may_be_overtaken = self.plan.has_delays() || self.clocks_were_set || is_cancelled;
        let wrong = match outcome {
            Outcome::Complete { .. } => (!truth.is_complete).then_some("complete, nobody said so"),
            Outcome::Refused { code, .. } => match code {
                Code::ContentMismatch if it.plan.unwelcome => None,
                Code::Forbidden if it.plan.forbidden => None,
                Code::StorageFailed | Code::StorageDenied => None,
                Code::StorageFull | Code::StorageThrottled => None,
                Code::Superseded if it.has_rival || may_be_overtaken => None,
                _ => Some("refused without a reason"),
            },
            Outcome::Cancelled if it.is_excused || it.has_rival => None,
            Outcome::Cancelled => Some("cancelled by nobody"),
            Outcome::FileChanged => Some("the file did not change"),
            Outcome::Unreachable { .. } => Some("the server was there"),
            Outcome::ProtocolViolation(_) => Some("the server keeps to the protocol"),
        };
        if let Some(wrong) = wrong {
            self.fail(format!("7: {} ends as {outcome:?}: {wrong}", it.upload));
        }
    }

    fn say(&mut self, tab: usize, up: Up) {
        let Some(conn) = self.tabs[tab].conn else {
            return;
        };
        let is_chunk = matches!(up, Up::Frame(Frame::Chunk { .. }));
        if is_chunk && self.tabs[tab].clumsy_until > self.now {
            // A plain client can not be told to go back.
            let can_go_back = self.tabs[tab].kind == Kind::Modern;
            if can_go_back && self.rng.chance(8) {
                return;
            }
            if self.rng.chance(25) {
                self.send_up(conn, up.clone());
            }
        }
        self.send_up(conn, up);
    }

    pub(crate) fn tab_hears(&mut self, conn: usize, message: &ServerMessage) {
        let it = &self.conns[conn];
        if it.cut || !it.tab_open {
            return;
        }
        let tab = it.tab;
        let now = self.tab_clock();
        for member in 0..self.tabs[tab].members.len() {
            let it = &mut self.tabs[tab].members[member];
            if let Some(sender) = &mut it.sender {
                match message {
                    ServerMessage::Registered(told) if told.upload == it.upload => {
                        it.credit = told.credit;
                    }
                    ServerMessage::Resumed(told)
                        if told.upload == it.upload && told.status == ResumeStatus::Resumed =>
                    {
                        it.credit = told.credit;
                    }
                    ServerMessage::Progress(told) if told.upload == it.upload => {
                        it.credit = it.credit.max(told.credit);
                    }
                    _ => {}
                }
                sender.handle_message(message, now);
                self.pump(tab, member);
            } else {
                self.plain_hears(tab, member, message);
            }
        }
    }
}

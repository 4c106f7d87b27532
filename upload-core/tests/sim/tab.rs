//! Browser tabs: the real `Sender`, a plain client, and one that says anything.

use bytes::Bytes;
use upload_core::{FileFacts, Outcome, Sender, SenderConfig, SenderOutput};
use upload_proto::{
    ClientMessage, Code, Frame, Register, Resume, ResumeStatus, ServerMessage, Status, UploadRef,
};

use crate::{
    plan::{Kind, TabPlan, UploadPlan},
    rng::{content, mix},
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
                    ..SenderConfig::default()
                };
                Sender::new(facts, config, self.tab_clock())
            });
            members.push(Member {
                sender,
                plain: Plain::Idle,
                plan: upload_plan.clone(),
                seed,
                upload,
                wake_at: None,
                read_at: 0,
                wants_connection: false,
                is_excused: upload_plan.unwelcome,
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

    pub(crate) fn data_read(&mut self, tab: usize, member: usize, offset: u64, length: u32) {
        if self.tabs[tab].is_closed {
            return;
        }
        let now = self.tab_clock();
        let it = &mut self.tabs[tab].members[member];
        let data = content(it.seed, offset, u64::from(length));
        if let Some(sender) = &mut it.sender {
            sender.handle_data(offset, Bytes::from(data), now);
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
                SenderOutput::Read { offset, length } => {
                    let delay = self.rng.pick(&[0, 0, 1, 3, 40]);
                    let at = self.tabs[tab].members[member].read_at.max(self.now + delay);
                    self.tabs[tab].members[member].read_at = at;
                    self.at(at, Happening::Data(tab, member, offset, length));
                }
                SenderOutput::NeedRef => {
                    let upload = self.new_ref();
                    let it = &mut self.tabs[tab].members[member];
                    it.upload = upload;
                    let (plan, seed) = (it.plan.clone(), it.seed);
                    let of = self.tabs[tab].plan.clone();
                    self.know(&of, &plan, upload, seed);
                    if let Some(sender) = &mut self.tabs[tab].members[member].sender {
                        sender.handle_ref(upload);
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
        let wrong = match outcome {
            Outcome::Complete { .. } => (!truth.is_complete).then_some("complete, nobody said so"),
            Outcome::Refused { code, .. } => match code {
                Code::ContentMismatch if it.plan.unwelcome => None,
                Code::StorageFailed | Code::StorageDenied => None,
                Code::StorageFull | Code::StorageThrottled => None,
                // A resume that was long on its way on an old connection may come after
                // that of a newer one, which nothing tells from a newer wish.
                Code::Superseded if it.has_rival || self.plan.has_delays() => None,
                _ => Some("refused without a reason"),
            },
            Outcome::Cancelled if it.is_excused => None,
            Outcome::Cancelled => Some("cancelled by nobody"),
            Outcome::FileChanged => Some("the file did not change"),
            Outcome::Unreachable => Some("the server was there"),
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

    // ---- a plain client

    fn plain_hears(&mut self, tab: usize, member: usize, message: &ServerMessage) {
        let it = &mut self.tabs[tab].members[member];
        match message {
            ServerMessage::Registered(told) if told.upload == it.upload => {
                if it.plain == Plain::Registering {
                    it.plain = Plain::Sending { sent: 0, index: 0 };
                    self.after(1, Happening::TabStep(tab));
                }
            }
            ServerMessage::Progress(told) if told.upload == it.upload => match told.status {
                Status::Complete => it.plain = Plain::Done,
                Status::Uploading => {}
                Status::Error | Status::Cancelled if it.is_excused => it.plain = Plain::Done,
                Status::Error | Status::Cancelled => {
                    it.plain = Plain::Idle;
                    self.after(300, Happening::TabStep(tab));
                }
            },
            _ => {}
        }
    }

    /// A tab without a `Sender` does something.
    pub(crate) fn tab_steps(&mut self, tab: usize) {
        if self.tabs[tab].is_closed {
            return;
        }
        if self.tabs[tab].conn.is_none() {
            if self.tabs[tab].unfinished().is_some() || self.tabs[tab].kind == Kind::Hostile {
                self.want_connection(tab);
            }
            return;
        }
        match self.tabs[tab].kind {
            Kind::Hostile => self.hostile_steps(tab),
            _ => {
                for member in 0..self.tabs[tab].members.len() {
                    self.plain_steps(tab, member);
                }
            }
        }
    }

    fn plain_steps(&mut self, tab: usize, member: usize) {
        let chunk = u64::from(self.plan.setup.chunk_size);
        let it = &mut self.tabs[tab].members[member];
        let (upload, seed, plan) = (it.upload, it.seed, it.plan.clone());
        match it.plain {
            Plain::Idle => {
                it.plain = Plain::Registering;
                let upload = self.new_ref();
                let of = self.tabs[tab].plan.clone();
                self.know(&of, &plan, upload, seed);
                self.tabs[tab].members[member].upload = upload;
                let register = register(upload, plan.slot, plan.size);
                self.say(tab, Up::Message(ClientMessage::Register(register)));
            }
            Plain::Sending { sent, index } if sent < plan.size => {
                let length = chunk.min(plan.size - sent);
                it.plain = Plain::Sending {
                    sent: sent + length,
                    index: index + 1,
                };
                let frame = Frame::Chunk {
                    upload,
                    index,
                    data: Bytes::from(content(seed, sent, length)),
                };
                self.say(tab, Up::Frame(frame));
                let delay = self.rng.range(0, 4);
                self.after(delay, Happening::TabStep(tab));
            }
            Plain::Sending { .. } => {
                it.plain = Plain::Waiting;
                self.say(
                    tab,
                    Up::Frame(Frame::Complete {
                        upload,
                        crc32c: None,
                    }),
                );
            }
            Plain::Registering | Plain::Waiting | Plain::Done => {}
        }
    }

    // ---- one that says anything

    fn hostile_steps(&mut self, tab: usize) {
        self.tabs[tab].steps += 1;
        if self.tabs[tab].steps > 60 {
            return;
        }
        // Foreign refs are fair game, an account's own are its own business.
        let owner = self.tabs[tab].owner;
        let foreign: Vec<_> = self
            .truth
            .keys()
            .filter(|(of, _)| *of != owner)
            .map(|(_, upload)| *upload)
            .collect();
        let own = |n: u64| UploadRef::from_bytes([0xb0 ^ n as u8; 16]);
        let upload = match self.rng.below(4) {
            0 if !foreign.is_empty() => foreign[self.rng.below(foreign.len())],
            1 => UploadRef::NIL,
            _ => own(self.rng.range(1, 3)),
        };
        let length = self.rng.range(0, 64);
        let index = self.rng.range(0, 6) as u32;
        let slot = self.rng.pick(&["file", "keep", "stay", "none"]);
        let size = self.rng.pick(&[0, 10, 64, 100, 500, 5_000]);
        let up = match self.rng.below(9) {
            0 => Up::BadFrame,
            1 if !upload.is_nil() => {
                Up::Message(ClientMessage::Register(register(upload, slot, size)))
            }
            2 if !upload.is_nil() => Up::Message(ClientMessage::Resume(Resume {
                upload,
                by_upload_id: self.rng.chance(50),
                offset: Some(length),
                client_id: Some("tab0".into()),
            })),
            3 => Up::Frame(Frame::Cancel { upload }),
            4 => Up::Frame(Frame::Complete {
                upload,
                crc32c: self.rng.chance(50).then_some(7),
            }),
            _ => Up::Frame(Frame::Chunk {
                upload,
                index,
                data: Bytes::from(vec![0xee; length as usize]),
            }),
        };
        self.say(tab, up);
        let delay = self.rng.range(0, 300);
        self.after(delay, Happening::TabStep(tab));
    }

    // ---- what users do

    pub(crate) fn leave(&mut self, tab: usize, back_after: u64, file_changed: bool) {
        if self.tabs[tab].is_closed {
            self.faults_felt -= 1;
            return;
        }
        self.tabs[tab].is_closed = true;
        let owner = self.tabs[tab].owner;
        for member in &self.tabs[tab].members {
            if let Some(truth) = self.truth.get_mut(&(owner, member.upload)) {
                truth.may_be_gone |= truth.slot != "stay";
            }
        }
        if let Some(conn) = self.tabs[tab].conn.take() {
            self.conns[conn].cut = true;
            self.conns[conn].tab_open = false;
            let left = upload_core::DisconnectReason::Left;
            self.after(2, Happening::ServerLost(conn, left));
        }
        self.coming_back += 1;
        self.after(back_after, Happening::Reopen(tab, file_changed));
    }

    pub(crate) fn reopen_tab(&mut self, tab: usize, file_changed: bool) {
        self.coming_back -= 1;
        let it = &self.tabs[tab];
        let mut plan = it.plan.clone();
        plan.opens_at = self.now;
        let known = it.members.iter().map(|member| {
            let seed = if file_changed {
                mix(member.seed)
            } else {
                member.seed
            };
            (member.upload, seed)
        });
        let known = (it.client_id.clone(), known.collect());
        let number = it.plan_number;
        let excused: Vec<_> = it
            .members
            .iter()
            .map(|member| (member.is_excused, member.has_rival))
            .collect();
        let tab = self.open_tab(&plan, number, Some(known));
        for (member, was) in self.tabs[tab].members.iter_mut().zip(excused) {
            member.is_excused |= was.0;
            member.has_rival |= was.1;
        }
    }

    /// Opens the tab once more beside the first, as another client or the same.
    pub(crate) fn open_again(&mut self, tab: usize, is_same_client: bool) {
        let it = &mut self.tabs[tab];
        if it.is_closed || it.kind != Kind::Modern {
            self.faults_felt -= 1;
            return;
        }
        for member in &mut it.members {
            member.has_rival = true;
        }
        let mut plan = it.plan.clone();
        plan.opens_at = self.now;
        let client_id = if is_same_client {
            it.client_id.clone()
        } else {
            format!("{}'", it.client_id)
        };
        let known: Vec<_> = it
            .members
            .iter()
            .map(|member| (member.upload, member.seed))
            .collect();
        let excused: Vec<_> = it.members.iter().map(|member| member.is_excused).collect();
        let number = it.plan_number;
        let tab = self.open_tab(&plan, number, Some((client_id, known)));
        for (member, was_excused) in self.tabs[tab].members.iter_mut().zip(excused) {
            member.is_excused |= was_excused;
            member.has_rival = true;
        }
    }

    pub(crate) fn pause(&mut self, tab: usize, lasts: u64) {
        for member in &mut self.tabs[tab].members {
            if let Some(sender) = &mut member.sender {
                sender.pause();
            }
        }
        self.after(lasts, Happening::Unpause(tab));
    }

    pub(crate) fn unpause(&mut self, tab: usize) {
        if self.tabs[tab].is_closed {
            return;
        }
        let now = self.tab_clock();
        for member in 0..self.tabs[tab].members.len() {
            if let Some(sender) = &mut self.tabs[tab].members[member].sender {
                sender.unpause(now);
                self.pump(tab, member);
            }
        }
    }

    pub(crate) fn cancel(&mut self, tab: usize, upload: usize) {
        if self.tabs[tab].is_closed {
            return;
        }
        let owner = self.tabs[tab].owner;
        let member = &mut self.tabs[tab].members[upload];
        member.is_excused = true;
        if let Some(truth) = self.truth.get_mut(&(owner, member.upload)) {
            truth.may_be_gone = true;
        }
        if let Some(sender) = &mut member.sender {
            sender.cancel();
            self.pump(tab, upload);
        } else if !matches!(member.plain, Plain::Idle | Plain::Done) {
            let upload = member.upload;
            self.say(tab, Up::Frame(Frame::Cancel { upload }));
        }
    }

    /// Everybody goes home.
    pub(crate) fn close_all(&mut self) {
        for tab in 0..self.tabs.len() {
            self.tabs[tab].is_closed = true;
            if let Some(conn) = self.tabs[tab].conn.take() {
                self.cut(conn, 0, 0);
            }
        }
    }
}

fn register(upload: UploadRef, slot: &str, size: u64) -> Register {
    Register {
        upload,
        upload_name: slot.into(),
        client_name: "a.bin".into(),
        client_type: String::new(),
        client_size: size,
        resumable: None,
        client_id: None,
        last_modified: None,
        relative_path: None,
        meta: None,
    }
}

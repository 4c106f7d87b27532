//! What users do with their tabs: leave, come back, pause, cancel, open another.

use upload_proto::Frame;

use crate::{
    plan::Kind,
    rng::mix,
    tab::Plain,
    world::{Happening, Up, World},
};

impl World {
    pub(crate) fn leave(&mut self, tab: usize, back_after: u64, file_changed: bool) {
        if self.tabs[tab].is_closed || self.is_http(tab) {
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
        // Over HTTP a client appends where it is told to: it knows no checksum,
        // so it must be sure of its file.
        let file_changed = file_changed && !self.has_door(tab);
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

    /// Tells whether files of a tab are sent over HTTP as well.
    fn has_door(&self, tab: usize) -> bool {
        let owner = self.tabs[tab].owner;
        let is_ours = |upload| self.tabs[tab].members.iter().any(|it| it.upload == upload);
        let doors = self.tabs.iter().filter(|it| it.kind == Kind::Http);
        doors
            .filter(|it| it.owner == owner)
            .any(|it| it.members.iter().any(|member| is_ours(member.upload)))
    }

    /// Has the uploads of a tab sent over HTTP as well.
    pub(crate) fn open_door(&mut self, tab: usize) {
        let owner = self.tabs[tab].owner;
        let is_sure = self.tabs[tab].members.iter().all(|member| {
            let truth = self.truth.get(&(owner, member.upload));
            truth.is_none_or(|truth| truth.files == [member.seed])
        });
        let it = &mut self.tabs[tab];
        if it.is_closed || it.kind != Kind::Modern || !is_sure {
            self.faults_felt -= 1;
            return;
        }
        for member in &mut it.members {
            member.has_rival = true;
        }
        let mut plan = it.plan.clone();
        (plan.kind, plan.opens_at) = (Kind::Http, self.now);
        let members = it.members.iter();
        let known = members.map(|member| (member.upload, member.seed)).collect();
        let excused: Vec<_> = it.members.iter().map(|member| member.is_excused).collect();
        let number = it.plan_number;
        let tab = self.open_tab(&plan, number, Some(("http".to_owned(), known)));
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
        let (owner, is_http) = (self.tabs[tab].owner, self.is_http(tab));
        let member = &mut self.tabs[tab].members[upload];
        member.is_excused = true;
        if let Some(truth) = self.truth.get_mut(&(owner, member.upload)) {
            truth.may_be_gone = true;
        }
        if is_http {
            self.http_deletes(tab, upload);
        } else if let Some(sender) = &mut member.sender {
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

//! Tabs without a `Sender`: a plain client, and one that says anything.

use bytes::Bytes;
use upload_proto::{ClientMessage, Frame, Register, Resume, ServerMessage, Status, UploadRef};

use crate::{
    plan::Kind,
    rng::content,
    tab::Plain,
    world::{Happening, Up, World},
};

impl World {
    pub(super) fn plain_hears(&mut self, tab: usize, member: usize, message: &ServerMessage) {
        let it = &mut self.tabs[tab].members[member];
        match message {
            ServerMessage::Registered(told)
                if told.upload == it.upload && it.plain == Plain::Registering =>
            {
                it.plain = Plain::Sending { sent: 0, index: 0 };
                self.after(1, Happening::TabStep(tab));
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
        if self.is_http(tab) {
            for member in 0..self.tabs[tab].members.len() {
                self.http_steps(tab, member);
            }
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
}

fn register(upload: UploadRef, slot: &str, size: u64) -> Register {
    Register {
        upload,
        upload_name: slot.into(),
        client_name: "a.bin".into(),
        client_type: String::new(),
        client_size: Some(size),
        resumable: None,
        client_id: None,
        last_modified: None,
        relative_path: None,
        meta: None,
    }
}

//! Clients that upload over HTTP: a request at a time, to any node, each answered once or not at all.

mod answers;

use bytes::Bytes;
use upload_core::{Broken, Content, ContentEnd, Ends, Refusal, Reply, Request, RequestId, Taken};
use upload_proto::{Code, Register, UploadRef};

use crate::{
    core::{Core, Said},
    host::Host,
    plan::{Kind, TROUBLED_REQUESTS_END},
    rng::content,
    world::{Happening, World},
};

/// How long a client waits for an answer, in milliseconds.
const ANSWER: u64 = 30_000;

/// What a client of this kind does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    Create,
    Ask,
    Append(u64),
    Delete,
    /// The answer to the request of this number is awaited.
    Waiting(u32),
    Done,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) tab: usize,
    pub(crate) member: usize,
    pub(crate) attempt: u32,
}

/// The content of a request that is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) id: RequestId,
    seed: u64,
    at: u64,
    end: u64,
    /// Where it breaks off, if it does.
    breaks_at: Option<u64>,
}

impl World {
    /// A client over HTTP does something for one of its files.
    pub(super) fn http_steps(&mut self, tab: usize, member: usize) {
        let it = &self.tabs[tab].members[member];
        let (upload, seed, plan, state) = (it.upload, it.seed, it.plan.clone(), it.http);
        let size = plan.size;
        let length = self.rng.range(0, 150);
        // The last piece may say that it is, or come by itself.
        let piece = |at: u64| Content {
            at,
            length: Some(length.min(size - at)),
            ends: match plan.is_open {
                false => Ends::AtLength,
                true if at + length >= size => Ends::Here,
                true => Ends::Later,
            },
            declares: None,
            crc32c: None,
            broken: Broken::Keep,
        };
        let declares = plan.is_open && self.rng.chance(30);
        let piece = |at: u64| Content {
            declares: declares.then_some(size),
            ..piece(at)
        };
        let request = match state {
            Http::Create => {
                let upload = self.new_ref();
                let of = self.tabs[tab].plan.clone();
                self.know(&of, &plan, upload, seed);
                self.tabs[tab].members[member].upload = upload;
                let with_content = self.rng.chance(50) && size > 0;
                let register = register(upload, plan.slot, (!plan.is_open).then_some(size));
                Request::Create(Box::new(register), with_content.then(|| piece(0)))
            }
            Http::Ask => Request::Offset(match plan.is_open {
                false => Ends::AtLength,
                true => Ends::Later,
            }),
            Http::Append(at) => Request::Append(piece(at.min(size))),
            Http::Delete => Request::Delete,
            Http::Waiting(_) | Http::Done => return,
        };
        let upload = match &request {
            Request::Create(register, _) => register.upload,
            _ => upload,
        };
        let it = &mut self.tabs[tab].members[member];
        it.attempt += 1;
        let attempt = it.attempt;
        it.http = Http::Waiting(attempt);
        let asker = Asker {
            tab,
            member,
            attempt,
        };
        self.after(ANSWER, Happening::HttpAnswer(asker, None));
        let up: Vec<_> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].up)
            .collect();
        if up.is_empty() {
            self.after(300, Happening::HttpAnswer(asker, None));
            return;
        }
        // A balancer sends a client to the same node, mostly.
        let usual = self.tabs[tab].members[member].node;
        let strays = self.is_request_troubled(10);
        let node = match up.contains(&usual) && !strays {
            true => usual,
            false => up[self.rng.below(up.len())],
        };
        self.tabs[tab].members[member].node = node;
        let delay = self.delay();
        self.after(
            delay,
            Happening::HttpAsks(node, upload, asker, Box::new(request)),
        );
    }

    /// A request arrives, and is served by the visit of its upload.
    pub(crate) fn http_asks(
        &mut self,
        node: usize,
        upload: UploadRef,
        asker: Asker,
        request: Request,
    ) {
        if !self.nodes[node].up || self.nodes[node].drains {
            self.after(1, Happening::HttpAnswer(asker, None));
            return;
        }
        let owner = self.tabs[asker.tab].owner;
        if request == Request::Delete {
            self.cancelled.insert((owner, upload));
        }
        let conn = self.visit_of(node, asker.tab, upload);
        self.requests += 1;
        let id = RequestId(self.requests);
        if let Some(host) = &mut self.conns[conn].host {
            let content = match &request {
                Request::Create(_, content) => *content,
                Request::Append(content) => Some(*content),
                Request::Offset(_) | Request::Delete => None,
            };
            host.requests.insert(id.0, (asker, content));
        }
        self.input(conn, |core, now| {
            if let Some(it) = core.visited() {
                it.visit.request(id, request, now);
            }
        });
    }

    /// Passes on what a visit says.
    pub(crate) fn http_says(&mut self, conn: usize, host: &mut Host) {
        while let Some(said) = host.session.visited().and_then(|it| it.said.pop_front()) {
            match said {
                Said::Receive(id) => {
                    let Some((asker, Some(content))) = host.requests.get(&id.0).copied() else {
                        self.fail("content is wanted that no request has".into());
                        return;
                    };
                    let length = content.length.unwrap_or_default();
                    let end = content.at + length;
                    let breaks = length > 0 && self.is_request_troubled(10);
                    let breaks_at = breaks.then(|| self.rng.range(content.at, end - 1));
                    let body = Body {
                        id,
                        seed: self.tabs[asker.tab].members[asker.member].seed,
                        at: content.at,
                        end,
                        breaks_at,
                    };
                    self.after(0, Happening::HttpBody(conn, body));
                }
                Said::Answer(id, reply) => {
                    let Some((asker, _)) = host.requests.remove(&id.0) else {
                        self.fail(format!("{id:?} is answered twice"));
                        return;
                    };
                    self.check_reply(conn, &reply);
                    if matches!(*reply, Reply::NotFound) {
                        self.check_answered_not_found(asker);
                    }
                    let delay = self.delay();
                    // Some answers never arrive.
                    if !self.is_request_troubled(5) {
                        self.after(delay, Happening::HttpAnswer(asker, Some(reply)));
                    }
                }
            }
        }
    }

    /// The next piece of a request's content arrives, or its end.
    pub(crate) fn http_body(&mut self, conn: usize, mut body: Body) {
        let window = self.plan.setup.window;
        let Some(host) = &self.conns[conn].host else {
            return;
        };
        if !host.requests.contains_key(&body.id.0) {
            return;
        }
        if host.session.waiting() > window {
            self.after(5, Happening::HttpBody(conn, body));
            return;
        }
        let stop = body.breaks_at.unwrap_or(body.end);
        let length = self.rng.range(1, 40).min(stop - body.at);
        let data = Bytes::from(content(body.seed, body.at, length));
        let end = match body.breaks_at {
            Some(_) => ContentEnd::Broken,
            None => ContentEnd::Whole,
        };
        body.at += length;
        let mut goes_on = body.at < stop;
        let id = body.id;
        self.input(conn, |core, now| {
            let Core::Visit(it) = core else { return };
            if length > 0 && it.visit.content(id, data, now) == Taken::Enough {
                goes_on = false;
            } else if !goes_on {
                it.visit.content_end(id, end, now);
            }
        });
        if goes_on {
            let delay = self.rng.range(0, 5);
            self.after(delay, Happening::HttpBody(conn, body));
        }
    }

    /// An answer arrives, or none in time.
    pub(crate) fn http_hears(&mut self, asker: Asker, reply: Option<Box<Reply>>) {
        let Asker {
            tab,
            member,
            attempt,
        } = asker;
        let it = &self.tabs[tab].members[member];
        if it.http != Http::Waiting(attempt) || self.tabs[tab].is_closed {
            return;
        }
        let (is_excused, node) = (it.is_excused, it.node);
        if reply.is_none() {
            self.check_answered(node, asker);
        }
        let it = &self.tabs[tab].members[member];
        let is_deleting = is_excused && it.is_deleted;
        let again = if is_deleting { Http::Delete } else { Http::Ask };
        let key = (self.tabs[tab].owner, it.upload);
        let next = match reply.map(|reply| *reply) {
            None
            | Some(
                Reply::Locked
                | Reply::Superseded
                | Reply::TimedOut
                | Reply::Later
                | Reply::Discarded(_),
            ) => again,
            // Clients of tus take the whole length for success (T18).
            Some(Reply::Created(subject) | Reply::At(subject))
                if !it.plan.is_open && subject.at.received == it.plan.size =>
            {
                self.check_complete(key.0, key.1);
                Http::Done
            }
            Some(
                Reply::Created(subject)
                | Reply::At(subject)
                | Reply::Mismatch(subject)
                | Reply::Incomplete(subject)
                | Reply::Excess(subject),
            ) => Http::Append(subject.at.received),
            Some(Reply::Done(_) | Reply::PastEnd(_) | Reply::DoneInExcess(_) | Reply::Kept) => {
                self.check_complete(key.0, key.1);
                Http::Done
            }
            Some(Reply::BadLength(_)) => {
                self.fail("7: the right length is refused".into());
                Http::Done
            }
            Some(Reply::Deleted) => Http::Done,
            // What is refused or deleted leaves nothing to be found.
            Some(Reply::NotFound) if is_excused => Http::Done,
            Some(Reply::NotFound) => Http::Create,
            Some(
                Reply::Refused(Refusal { code, .. })
                | Reply::Left(Refusal { code, .. })
                | Reply::Gone(code),
            ) => self.http_refused(asker, code, again),
        };
        self.tabs[tab].members[member].http = next;
        let delay = self.rng.pick(&[1, 1, 20, 700]);
        self.after(delay, Happening::TabStep(tab));
    }

    fn http_refused(&mut self, asker: Asker, code: Code, again: Http) -> Http {
        let it = &self.tabs[asker.tab].members[asker.member];
        let is_excused = it.is_excused || it.has_rival;
        match code {
            Code::ContentMismatch | Code::Forbidden if it.is_excused => Http::Done,
            Code::StorageFailed | Code::StorageDenied => Http::Done,
            Code::Cancelled if is_excused => Http::Done,
            Code::StorageFull
            | Code::StorageThrottled
            | Code::Draining
            | Code::RateLimited
            | Code::TooManyEntries
            | Code::RefInUse
            | Code::Superseded
            | Code::IdleTimeout
            | Code::SessionClosed => match again {
                // What can not be resumed begins anew.
                Http::Ask if code == Code::TooManyEntries || code == Code::SessionClosed => {
                    Http::Create
                }
                again => again,
            },
            code => {
                self.fail(format!("7: a request is refused with {code:?}"));
                Http::Done
            }
        }
    }

    pub(super) fn http_deletes(&mut self, tab: usize, member: usize) {
        let it = &mut self.tabs[tab].members[member];
        it.is_deleted = true;
        if it.http != Http::Done {
            it.http = Http::Delete;
            self.after(0, Happening::TabStep(tab));
        }
    }

    /// Whether this request is one of the few that something happens to.
    fn is_request_troubled(&mut self, percent: u64) -> bool {
        self.rng.chance(percent) && self.now < TROUBLED_REQUESTS_END
    }

    pub(super) fn is_http(&self, tab: usize) -> bool {
        self.tabs[tab].kind == Kind::Http
    }
}

fn register(upload: UploadRef, slot: &str, size: Option<u64>) -> Register {
    Register {
        upload,
        upload_name: slot.into(),
        client_name: "a.bin".into(),
        client_type: String::new(),
        client_size: size,
        resumable: None,
        client_id: Some("http".into()),
        last_modified: None,
        relative_path: None,
        meta: None,
    }
}

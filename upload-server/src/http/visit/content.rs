//! The content of a request, as far as it was read.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;
use tokio::sync::oneshot;
use upload_core::{ContentEnd, Reply, Request, RequestId};

use super::{
    Answered, Ask, Rest,
    check::{CHECKED_BYTES_MAX, Check, Checking, Held, Unfit},
};
use crate::connection::ConnectionConfig;

/// A request that is being served, and its content.
pub(super) struct Served {
    pub(super) id: RequestId,
    body: Body,
    read: Read,
    checked: Checked,
    /// Verified, and not taken yet.
    verified: VecDeque<Bytes>,
    unfit: Option<Unfit>,
    answer: oneshot::Sender<Answered>,
}

/// What of the content is checked.
enum Checked {
    Nothing,
    /// Held back for its checksum.
    Held(Held),
    /// Passed on, and checked at its end.
    Passed(Check),
}

/// How far the content was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    /// Not at all.
    NotYet,
    /// It is being read.
    Begun,
    /// It was read and verified, and is not taken yet.
    Verified,
    /// No more of it is wanted.
    Stopped,
    /// It is over.
    Over,
}

/// The next piece of content.
pub(super) enum Piece {
    Data(Bytes),
    End(ContentEnd),
}

impl Served {
    /// Begins to read.
    pub(super) fn receive(&mut self) {
        if self.read == Read::NotYet {
            self.read = Read::Begun;
        }
    }

    /// Returns whether it is being read.
    pub(super) fn is_receiving(&self) -> bool {
        matches!(self.read, Read::Begun | Read::Verified)
    }

    /// Returns how many bytes wait for their checksum, and how many more are to come until they have it.
    pub(super) fn held_back(&self) -> (u64, u64) {
        match &self.checked {
            Checked::Held(held) if held.bytes > 0 => {
                let most = CHECKED_BYTES_MAX.saturating_sub(held.bytes);
                let to_come = self.body.size_hint().upper().unwrap_or(most).min(most);
                // The end of the content is still to come.
                (held.bytes, to_come.max(1))
            }
            Checked::Held(_) | Checked::Nothing | Checked::Passed(_) => (0, 0),
        }
    }

    /// Reads the next piece that may be appended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        loop {
            if let Some(data) = self.verified.pop_front() {
                return Poll::Ready(Piece::Data(data));
            }
            if self.read == Read::Verified {
                self.read = Read::Over;
                return Poll::Ready(Piece::End(ContentEnd::Whole));
            }
            let end = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => match self.hold_back(data) {
                        Ok(None) => continue,
                        Ok(Some(data)) => return Poll::Ready(Piece::Data(data)),
                        Err(unfit) => {
                            self.stop();
                            return self.discard(unfit);
                        }
                    },
                    // Trailers say nothing about the file.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "the content of a request broke off");
                    ContentEnd::Broken
                }
                Poll::Ready(None) => self.end(),
            };
            self.read = Read::Over;
            let checked = std::mem::replace(&mut self.checked, Checked::Nothing);
            match (checked, end) {
                (Checked::Held(held), ContentEnd::Whole) => match held.verified() {
                    Ok(pieces) => {
                        self.verified = pieces;
                        self.read = Read::Verified;
                    }
                    Err(unfit) => return self.discard(unfit),
                },
                (Checked::Passed(check), ContentEnd::Whole) => {
                    let end = match check.verify() {
                        true => ContentEnd::Whole,
                        false => ContentEnd::Wrong,
                    };
                    return Poll::Ready(Piece::End(end));
                }
                _ => return Poll::Ready(Piece::End(end)),
            }
        }
    }

    /// Returns how content ended of which nothing more comes.
    ///
    /// The end of a stream that was reset can look like any other. Content whose length is known says itself whether
    /// all of it came, even if its client is gone. Of any other, a client that does not wait for the answer has not
    /// sent all it wanted.
    fn end(&self) -> ContentEnd {
        match self.body.size_hint().exact() {
            Some(0) => ContentEnd::Whole,
            Some(_) => ContentEnd::Broken,
            None if self.answer.is_closed() => ContentEnd::Broken,
            None => ContentEnd::Whole,
        }
    }

    fn hold_back(&mut self, data: Bytes) -> Result<Option<Bytes>, Unfit> {
        match &mut self.checked {
            Checked::Nothing => Ok(Some(data)),
            Checked::Held(held) => held.push(data).map(|()| None),
            Checked::Passed(check) => {
                check.update(&data);
                Ok(Some(data))
            }
        }
    }

    fn discard(&mut self, unfit: Unfit) -> Poll<Piece> {
        self.checked = Checked::Nothing;
        self.unfit = Some(unfit);
        Poll::Ready(Piece::End(ContentEnd::Discarded))
    }

    /// Reads nothing more.
    pub(super) fn stop(&mut self) {
        self.verified.clear();
        self.read = match self.read {
            Read::Verified | Read::Over => Read::Over,
            Read::NotYet | Read::Begun | Read::Stopped => Read::Stopped,
        };
    }

    /// Answers the request.
    pub(super) fn answer(self, reply: Reply) {
        let rest = match self.read {
            _ if self.body.is_end_stream() => Rest::Nothing,
            Read::Verified | Read::Over => Rest::Nothing,
            Read::NotYet => Rest::Unread(self.body),
            Read::Begun | Read::Stopped => Rest::Begun(self.body),
        };
        let unfit = self.unfit;
        // The client may be gone by now.
        let _ = self.answer.send(Answered { reply, unfit, rest });
    }
}

impl Ask {
    pub(super) fn into_parts(
        self: Box<Self>,
        id: RequestId,
    ) -> (ConnectionConfig, Request, Served) {
        let served = Served {
            id,
            body: self.content,
            read: Read::NotYet,
            checked: match self.check {
                Checking::Nothing => Checked::Nothing,
                Checking::HeldBack(check) => Checked::Held(Held::new(check)),
                Checking::AtEnd(check) => Checked::Passed(check),
            },
            verified: VecDeque::new(),
            unfit: None,
            answer: self.answer,
        };
        (self.config, self.request, served)
    }
}

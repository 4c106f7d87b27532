//! What a request is refused with, by what the core, the application or the door itself says.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use upload_core::Reply;
use upload_proto::Code;

use super::{
    Call,
    refusal::{Asked, Door, Refusal},
};
use crate::http::{identity::NoOwner, ietf};

impl Call {
    /// The application did not say who sent the request.
    pub(super) fn without_owner(&self, why: NoOwner) -> Refusal {
        match why {
            NoOwner::Unauthenticated => Refusal::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "The request carries no identity",
            ),
            NoOwner::Failed(StatusCode::FORBIDDEN) => {
                Refusal::of(Code::Forbidden, self.door, self.asked())
            }
            NoOwner::Failed(status) => {
                Refusal::of_application(status, "owner_failed", self.door, self.asked())
            }
        }
    }

    /// The application did not say which slots there are.
    pub(super) fn without_slots(&self, answer: &Response) -> Refusal {
        let status = answer.status();
        Refusal::of_application(status, "mount_failed", self.door, self.asked())
    }

    /// Returns the refusal that a reply is, where it is none that the door knows better.
    pub(crate) fn refused(&self, reply: Reply, asked: Asked) -> Refusal {
        let of = |code| Refusal::of(code, self.door, asked);
        match reply {
            Reply::Refused(refusal) | Reply::Left(refusal) => {
                of(refusal.code).in_words(refusal.words)
            }
            Reply::Gone(code) => Refusal::gone(code, self.door, asked),
            Reply::NotFound => Refusal::not_found(),
            Reply::Superseded => of(Code::Superseded),
            Reply::TimedOut => of(Code::IdleTimeout),
            Reply::Later => of(Code::StorageThrottled),
            Reply::Excess(subject) if subject.entry.length.known().is_none() => of(Code::TooLarge),
            Reply::Excess(_) | Reply::DoneInExcess(_) => of(Code::SizeExceeded),
            Reply::Incomplete(_) => of(Code::Incomplete),
            Reply::BadLength(_) => Refusal::bad("The lengths of the upload do not agree"),
            Reply::Discarded(_) => of(Code::ChecksumMismatch),
            Reply::Kept => of(Code::Forbidden),
            Reply::Locked
            | Reply::Mismatch(_)
            | Reply::PastEnd(_)
            | Reply::Created(_)
            | Reply::At(_)
            | Reply::Done(_)
            | Reply::Deleted => of(Code::Locked),
        }
    }

    /// Writes a refusal as this door does.
    pub(super) fn refuse(&self, refusal: Refusal) -> Response {
        match self.door {
            Door::Ietf => ietf::problem(refusal),
            Door::Tus | Door::Plain => refusal.into_response(),
        }
    }
}

/// Returns whether the upload of a request that creates it is there, though the request is refused.
pub(crate) fn is_there(reply: &Reply) -> bool {
    match reply {
        Reply::Excess(_)
        | Reply::DoneInExcess(_)
        | Reply::Discarded(_)
        | Reply::Incomplete(_)
        | Reply::TimedOut
        | Reply::Left(_)
        | Reply::Later
        | Reply::Superseded => true,
        Reply::Created(_)
        | Reply::At(_)
        | Reply::Mismatch(_)
        | Reply::BadLength(_)
        | Reply::Done(_)
        | Reply::PastEnd(_)
        | Reply::Deleted
        | Reply::Kept
        | Reply::Refused(_)
        | Reply::Gone(_)
        | Reply::NotFound
        | Reply::Locked => false,
    }
}

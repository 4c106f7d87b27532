//! One round of a connection: what has happened, part by part, as values.

use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Connection,
    host::Answer,
    read::{Read, ReadSoFar},
    websocket::Incoming,
};

/// Answers of writers, stores and handlers taken per round.
const ANSWERS_PER_ROUND: u32 = 64;

/// One thing that happened.
pub(super) enum Step {
    Due(Due),
    Incoming(Incoming),
    Answer(Answer),
}

/// What time or the server makes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The server restarts, and waits for uploads.
    Draining,
    /// The server waits no longer.
    Closing,
    /// The sign-in of the owner ends.
    SignedOut,
    /// A timer of the core rings.
    Core,
    /// The socket has to be looked after: a ping, or its end.
    Socket,
}

/// How far a round has come. Its parts are asked in this order, each until it has no more or the round
/// has enough of it; so a busy socket starves neither its own acknowledgements nor other connections.
enum Part {
    Due(std::array::IntoIter<Option<Due>, 5>),
    Socket(ReadSoFar),
    Answers(u32),
    Over,
}

/// One round.
pub(super) struct Round {
    part: Part,
    /// Whether some part has more, for which the task is to be polled again at once.
    pub(super) has_more: bool,
}

impl Round {
    /// Begins with what is due.
    pub(super) fn new(due: [Option<Due>; 5]) -> Self {
        Self {
            part: Part::Due(due.into_iter()),
            has_more: false,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Returns the next thing that happened; none once the round is over.
    pub(super) fn next(&mut self, round: &mut Round, cx: &mut Context<'_>) -> Option<Step> {
        loop {
            round.part = match &mut round.part {
                Part::Due(due) => match due.flatten().next() {
                    Some(due) => return Some(Step::Due(due)),
                    None => Part::Socket(ReadSoFar::begin(&self.host)),
                },
                Part::Socket(so_far) => {
                    match self.poll_read(so_far, cx) {
                        Read::Incoming(incoming) => return Some(Step::Incoming(incoming)),
                        Read::Answer(answer) => return Some(Step::Answer(answer)),
                        Read::Nothing => {}
                        Read::Enough => round.has_more = true,
                    }
                    so_far.count(&self.host);
                    Part::Answers(0)
                }
                Part::Answers(ANSWERS_PER_ROUND) => {
                    round.has_more = true;
                    Part::Over
                }
                Part::Answers(taken) => match self.host.poll_answer(cx) {
                    Poll::Ready(answer) => {
                        *taken = taken.saturating_add(1);
                        return Some(Step::Answer(answer));
                    }
                    Poll::Pending => Part::Over,
                },
                Part::Over => return None,
            };
        }
    }
}

//! The life of a connection, from its first message to the rest of its last upload.
//!
//! ```text
//! Open --close, over, drop--> Lost --told--> WindingDown
//! ```
//!
//! The socket ends on its own, in `Lost` and `WindingDown`: it is seen to its end, or dropped at its time.

use std::task::{Context, Poll};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use upload_core::DisconnectReason;
use upload_proto::ServerMessage;

use super::websocket::WebSocket;

/// Where a connection is in its life.
pub(super) enum Phase<S> {
    /// Messages come and go.
    Open {
        socket: WebSocket<S>,
        reading: Reading,
    },
    /// It is gone or going, for this reason; the core is yet to hear of it.
    Lost {
        reason: DisconnectReason,
        end: SocketEnd<S>,
    },
    /// The core knows; uploads have until then to come to rest.
    WindingDown { by: Instant, end: SocketEnd<S> },
}

/// Whether the socket is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Listening,
    /// It is not, although it may hold messages.
    HeldUp,
}

/// A socket that nothing is read from any more.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per connection, whose socket was as large while it was open"
)]
pub(super) enum SocketEnd<S> {
    /// A close is running; the socket is dropped as it is at that time.
    Closing {
        socket: WebSocket<S>,
        by: Instant,
    },
    Gone,
}

impl<S> Phase<S> {
    pub(super) fn new(socket: WebSocket<S>) -> Self {
        Self::Open {
            socket,
            reading: Reading::Listening,
        }
    }

    /// Returns the socket while messages come and go.
    pub(super) fn open(&mut self) -> Option<&mut WebSocket<S>> {
        match self {
            Self::Open { socket, .. } => Some(socket),
            Self::Lost { .. } | Self::WindingDown { .. } => None,
        }
    }

    /// Returns whether the socket is not read although it may hold messages.
    pub(super) fn is_held_up(&self) -> bool {
        match self {
            Self::Open { reading, .. } => *reading == Reading::HeldUp,
            Self::Lost { .. } | Self::WindingDown { .. } => false,
        }
    }

    /// Notes whether the socket is read; returns whether that is news.
    pub(super) fn set_reading(&mut self, now: Reading) -> bool {
        match self {
            Self::Open { reading, .. } => std::mem::replace(reading, now) != now,
            Self::Lost { .. } | Self::WindingDown { .. } => false,
        }
    }

    /// Ends an open connection; its socket is closing until `by`.
    pub(super) fn end(&mut self, reason: DisconnectReason, by: Instant) {
        self.replace_open(|socket| Self::Lost {
            reason,
            end: SocketEnd::Closing { socket, by },
        });
    }

    /// Drops the socket as it is; an open connection is lost with it.
    pub(super) fn drop_socket(&mut self) {
        match self {
            Self::Open { .. } => {
                *self = Self::Lost {
                    reason: DisconnectReason::Lost,
                    end: SocketEnd::Gone,
                };
            }
            Self::Lost { end, .. } | Self::WindingDown { end, .. } => *end = SocketEnd::Gone,
        }
    }

    /// Returns the reason of a loss, the first time it is asked for; uploads then have until `by`.
    pub(super) fn take_loss(&mut self, by: Instant) -> Option<DisconnectReason> {
        let Self::Lost { reason, end } = self else {
            return None;
        };
        let (reason, end) = (*reason, std::mem::replace(end, SocketEnd::Gone));
        *self = Self::WindingDown { by, end };
        Some(reason)
    }

    /// Returns whether there is a loss that the core is yet to hear of.
    pub(super) fn has_news(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Returns whether the socket is gone, and until when the uploads have to come to rest; none before the
    /// core knows of the loss.
    pub(super) fn end_by(&self) -> Option<(bool, Instant)> {
        match self {
            Self::WindingDown { by, end } => Some((matches!(end, SocketEnd::Gone), *by)),
            Self::Open { .. } | Self::Lost { .. } => None,
        }
    }

    fn replace_open(&mut self, ended: impl FnOnce(WebSocket<S>) -> Self) {
        let placeholder = Self::Lost {
            reason: DisconnectReason::Lost,
            end: SocketEnd::Gone,
        };
        *self = match std::mem::replace(self, placeholder) {
            Self::Open { socket, .. } => ended(socket),
            other @ (Self::Lost { .. } | Self::WindingDown { .. }) => other,
        };
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Phase<S> {
    /// Returns when the socket has to be looked after.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Open { socket, .. } => Some(socket.next_check()),
            Self::Lost { end, .. } | Self::WindingDown { end, .. } => end.deadline(),
        }
    }

    /// Asks a peer that was silent whether it is there, and drops a socket whose peer is not, or whose close
    /// takes too long.
    pub(super) fn look_after(&mut self, now: Instant) {
        match self {
            Self::Open { socket, .. } => {
                if socket.check_keepalive(now).is_err() {
                    tracing::info!("the peer does not answer");
                    self.drop_socket();
                }
            }
            Self::Lost { end, .. } | Self::WindingDown { end, .. } => {
                if end.deadline().is_some_and(|by| by <= now) {
                    *end = SocketEnd::Gone;
                }
            }
        }
    }

    /// Sends a message while messages come and go.
    pub(super) fn send(&mut self, message: &ServerMessage) {
        if let Self::Open { socket, .. } = self
            && socket.send(message).is_err()
        {
            tracing::info!("the peer does not read what it is sent");
            self.drop_socket();
        }
    }

    /// Sends what waits, or sees a closing socket to its end.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Open { socket, .. } => {
                if let Poll::Ready(Err(_)) = socket.poll_write(cx) {
                    self.drop_socket();
                }
            }
            Self::Lost { end, .. } | Self::WindingDown { end, .. } => {
                if let SocketEnd::Closing { socket, .. } = end
                    && socket.poll_end(cx).is_ready()
                {
                    *end = SocketEnd::Gone;
                }
            }
        }
    }
}

impl<S> SocketEnd<S> {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Closing { by, .. } => Some(*by),
            Self::Gone => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// Every phase, with every state of its end.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum At {
        Listening,
        HeldUp,
        LostClosing,
        LostGone,
        WindingDownClosing,
        WindingDownGone,
    }

    use At::{HeldUp, Listening, LostClosing, LostGone, WindingDownClosing, WindingDownGone};

    const ALL: [At; 6] = [
        Listening,
        HeldUp,
        LostClosing,
        LostGone,
        WindingDownClosing,
        WindingDownGone,
    ];

    fn phase(at: At, by: Instant) -> Phase<DuplexStream> {
        let socket = WebSocket::new(duplex(64).0, 1024, Duration::from_secs(20), 2);
        let reason = DisconnectReason::Left;
        let closing = |socket| SocketEnd::Closing { socket, by };
        match at {
            Listening => Phase::new(socket),
            HeldUp => Phase::Open {
                socket,
                reading: Reading::HeldUp,
            },
            LostClosing => Phase::Lost {
                reason,
                end: closing(socket),
            },
            LostGone => Phase::Lost {
                reason,
                end: SocketEnd::Gone,
            },
            WindingDownClosing => Phase::WindingDown {
                by,
                end: closing(socket),
            },
            WindingDownGone => Phase::WindingDown {
                by,
                end: SocketEnd::Gone,
            },
        }
    }

    fn at(phase: &Phase<DuplexStream>) -> At {
        match phase {
            Phase::Open { reading, .. } if *reading == Reading::HeldUp => HeldUp,
            Phase::Open { .. } => Listening,
            Phase::Lost {
                end: SocketEnd::Gone,
                ..
            } => LostGone,
            Phase::Lost { .. } => LostClosing,
            Phase::WindingDown {
                end: SocketEnd::Gone,
                ..
            } => WindingDownGone,
            Phase::WindingDown { .. } => WindingDownClosing,
        }
    }

    type Event = fn(&mut Phase<DuplexStream>, Instant);

    #[tokio::test]
    async fn every_phase_has_an_answer_to_every_event() {
        let by = Instant::now();
        let events: [(&str, Event, [At; 6]); 7] = [
            (
                "end",
                |phase, by| phase.end(DisconnectReason::Lost, by),
                [
                    LostClosing,
                    LostClosing,
                    LostClosing,
                    LostGone,
                    WindingDownClosing,
                    WindingDownGone,
                ],
            ),
            (
                "drop",
                |phase, _| phase.drop_socket(),
                [
                    LostGone,
                    LostGone,
                    LostGone,
                    LostGone,
                    WindingDownGone,
                    WindingDownGone,
                ],
            ),
            (
                "take the loss",
                |phase, by| {
                    let _ = phase.take_loss(by);
                },
                [
                    Listening,
                    HeldUp,
                    WindingDownClosing,
                    WindingDownGone,
                    WindingDownClosing,
                    WindingDownGone,
                ],
            ),
            (
                "overdue",
                |phase, by| phase.look_after(by),
                [
                    Listening,
                    HeldUp,
                    LostGone,
                    LostGone,
                    WindingDownGone,
                    WindingDownGone,
                ],
            ),
            (
                "not overdue",
                |phase, by| phase.look_after(by - Duration::from_millis(1)),
                ALL,
            ),
            (
                "listen",
                |phase, _| {
                    let _ = phase.set_reading(Reading::Listening);
                },
                [
                    Listening,
                    Listening,
                    LostClosing,
                    LostGone,
                    WindingDownClosing,
                    WindingDownGone,
                ],
            ),
            (
                "hold up",
                |phase, _| {
                    let _ = phase.set_reading(Reading::HeldUp);
                },
                [
                    HeldUp,
                    HeldUp,
                    LostClosing,
                    LostGone,
                    WindingDownClosing,
                    WindingDownGone,
                ],
            ),
        ];
        for (name, event, expected) in events {
            for (from, to) in ALL.into_iter().zip(expected) {
                let mut phase = phase(from, by);
                event(&mut phase, by);
                assert_eq!(at(&phase), to, "{from:?}, {name}");
            }
        }
    }

    #[tokio::test]
    async fn the_first_reason_is_told_and_told_once() {
        let by = Instant::now();
        let mut phase = phase(Listening, by);
        assert_eq!(phase.take_loss(by), None);
        phase.end(DisconnectReason::Left, by);
        phase.end(DisconnectReason::Lost, by);
        phase.drop_socket();
        assert!(phase.has_news() && phase.end_by().is_none());
        assert_eq!(phase.take_loss(by), Some(DisconnectReason::Left));
        assert_eq!(phase.take_loss(by), None);
        assert_eq!(phase.end_by(), Some((true, by)));
    }
}

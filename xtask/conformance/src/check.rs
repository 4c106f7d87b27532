//! A check: which rules it is about, what they say, and how a server did.

use std::{fmt, io};

/// How strongly a rule is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The specification requires it.
    Must,
    /// The specification recommends it, or clients in use need it.
    Should,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        })
    }
}

/// One check of a server that is reached by `T`.
#[derive(Clone, Copy)]
pub struct Check<T> {
    /// Names of the rules, as `docs/PROTOCOL.md` has them.
    pub rules: &'static [&'static str],
    /// How strongly they are meant.
    pub level: Level,
    /// What a server does that passes, in one sentence.
    pub says: &'static str,
    /// Finds out whether a server does it.
    pub run: fn(&T) -> Outcome,
}

/// Why a check ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The server did something else.
    Failed(String),
    /// The server does not say that it has what is checked.
    NotAnnounced(String),
}

/// What a step of a check gives.
pub type Outcome<T = ()> = Result<T, Stop>;

impl Stop {
    /// Says that the server did something else.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    /// Says that the server does not announce what is needed.
    pub(crate) fn not_announced(what: impl Into<String>) -> Self {
        Self::NotAnnounced(what.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Self::failed("no answer in time")
            }
            _ => Self::failed(error.to_string()),
        }
    }
}

/// Fails the check where a condition does not hold.
macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::check::Stop::failed(format!($($text)+)));
        }
    };
}

pub(crate) use ensure;

//! Protocols of HTTP uploads, as the file names them.

use serde::Deserialize;

use crate::http::doors::refusal::Door;

/// A protocol of HTTP uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoorKind {
    /// tus 1.0.0.
    Tus,
    /// The IETF's draft, which the browser client speaks where it has no socket.
    Ietf,
    /// Bodies and forms.
    Plain,
}

impl DoorKind {
    pub(super) fn door(self) -> Door {
        match self {
            Self::Tus => Door::Tus,
            Self::Ietf => Door::Ietf,
            Self::Plain => Door::Plain,
        }
    }
}

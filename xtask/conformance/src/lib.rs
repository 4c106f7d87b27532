//! Conformance checks of upload protocols, written against an address.
//!
//! Each check names the rules of `docs/PROTOCOL.md` that it is about, says whether they are a MUST or a SHOULD,
//! and talks to a server over sockets alone, so that it runs on anyone's.
//! A server that does not announce what a check needs is not checked there, and that never counts as passed.
//!
//! A check is a plain function that blocks: its requests come one after the other, and are written by hand so
//! that they can be wrong.

mod address;
mod check;
mod ietf;
mod report;
mod socket;
mod tus;
mod wire;

pub use address::{Address, AddressError};
pub use check::{Check, Level, Outcome, Stop};
pub use ietf::Ietf;
pub use report::{Report, Row};
pub use socket::Socket;
pub use tus::Tus;
pub use wire::Site;

//! The sans-IO core of chunked, validated, resumable uploads.
//!
//! [`Session`] is one connection and the uploads it carries; [`Sender`] is its
//! mirror on the client's side. Both are fed inputs and drained of outputs:
//! they never wait, read no clock, draw no random number and touch no socket.
//! A host (a tokio server, a simulator, a test) owns the socket, the writers
//! and the store, carries out each [`Output`] and reports what became of it.
//!
//! The host's whole duty:
//!
//! 1. call one `handle_…` method with what happened and the time it happened;
//! 2. carry out every [`Output`] that [`Session::poll_output`] returns, in order;
//! 3. call [`Session::handle_timeout`] when [`Session::poll_timeout`] says so;
//! 4. repeat until [`Session::is_finished`].
//!
//! Start reading in `state.rs`: the life of one upload, as a table.

// What a peer sends reaches this code: nothing in it may be able to panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod config;
mod crc;
mod endings;
mod entry;
mod intake;
mod lookup;
mod output;
mod pulse;
mod record;
mod saver;
mod sender;
mod session;
mod state;
mod tally;
mod time;
mod undoing;
mod upload;
mod window;

pub use config::{Holder, Screen, SessionConfig, SessionLimits, SlotRules};
pub use entry::{Entry, EntryStatus};
pub use output::{
    AbortReason, CallId, CallOutcome, CheckpointNews, DisconnectReason, EntryId, Event, Moment,
    Output, Parked, RecordExpect, RecordVersion, StorageFault, StoreEvent, Verdict, WriterEvent,
};
pub use record::{Lease, RECORD_BYTES_MAX, Record, RecordError, RecordPhase};
pub use sender::{FileFacts, Outcome, Progress, Sender, SenderConfig, SenderOutput, SenderPhase};
pub use session::Session;
pub use state::{Phase, Step};
pub use tally::{OwnerTally, OwnerToken, ServerTally};
pub use time::Now;
pub use upload::received_ranges;

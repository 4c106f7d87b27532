//! The sans-IO core of chunked, validated, resumable uploads.
//!
//! [`Session`] is one connection and the uploads it carries; [`Sender`] is its
//! mirror on the client's side. Both are fed inputs and drained of outputs:
//! they never wait, read no clock, draw no random number and touch no socket.
//! A host (a tokio server, a simulator, a test) owns the socket, the writers
//! and the store, carries out each [`Output`] and reports what became of it.
//!
//! # The host's loop
//!
//! ```
//! use upload_core::{CloseReason, EntryId, Fact, Notice, Now, Order, Output, Query, Question, Session};
//! use upload_proto::ServerMessage;
//!
//! /// What a host has besides the session.
//! trait Hands {
//!     fn send(&mut self, message: ServerMessage);
//!     fn queue(&mut self, entry: EntryId, order: Order);
//!     fn ask_store(&mut self, entry: EntryId, query: Query);
//!     fn registry(&mut self, entry: EntryId, notice: Notice);
//!     fn ask_application(&mut self, question: Question);
//!     fn count_and_log(&mut self, fact: Fact);
//!     fn close(&mut self, reason: CloseReason);
//! }
//!
//! /// Call this after every `handle_…`, then wait for the next input, but no longer than until
//! /// `session.poll_timeout()`, and read the socket only while `session.wants_input()`.
//! fn carry_out(session: &mut Session, hands: &mut impl Hands) {
//!     while let Some(output) = session.poll_output() {
//!         match output {
//!             Output::Send(message) => hands.send(message),
//!             Output::Writer(entry, order) => hands.queue(entry, order),
//!             Output::Store(entry, query) => hands.ask_store(entry, query),
//!             Output::Neighbour(entry, notice) => hands.registry(entry, notice),
//!             Output::App(question) => hands.ask_application(question),
//!             Output::Fact(fact) => hands.count_and_log(fact),
//!             Output::Close(reason) => hands.close(reason),
//!         }
//!     }
//! }
//! ```
//!
//! # The host's duties
//!
//! 1. Call one `handle_…` method with what happened and the time it happened.
//! 2. Carry out every [`Output`] that [`Session::poll_output`] returns, in order, before the next
//!    input. Answer what has an answer exactly once, within a bounded time.
//! 3. Call [`Session::handle_timeout`] when [`Session::poll_timeout`] says so.
//! 4. Read the socket only while [`Session::wants_input`] is true, since the core buffers what it is
//!    given, and say with [`Session::handle_listening`] when reading stops and begins again.
//! 5. Keep a queue of [`Order`]s for the writer of each entry, and a place for parked writers by owner
//!    and ref, each given back only to its own [`Fence`] ([`Order::Reopen`]).
//! 6. Keep a registry of which connection of the process holds what ([`Notice`]), so that a ref is
//!    reserved once and a holder can be asked to let go ([`Door::handle_evict`]).
//! 7. Give all connections of an owner the same [`OwnerTally`], and number the connections of a
//!    process upwards ([`Holder::session`]).
//! 8. Close the socket on [`Output::Close`], and call [`Session::handle_disconnect`] once it is gone,
//!    for whatever reason.
//! 9. Continue all of this until [`Session::is_finished`]: uploads outlive their socket for a
//!    moment.
//!
//! A complete small host is `host::InMemory` (feature `testing`).
//!
//! # Rooms
//!
//! [`Uploads`] is what a connection of any kind holds; it knows no index, JSON, credit or close code,
//! and tells what happens as [`News`]. [`Session`] is the WebSocket above it, [`Visit`] serves HTTP
//! requests about one upload; what their hosts answer is the same ([`Door`]). Start reading in
//! `upload/writer.rs`: the states of a writer, as a picture and a table.

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
mod door;
mod empties;
mod endings;
mod entry;
mod expiry;
#[cfg(any(test, feature = "testing"))]
pub mod host;
mod input;
mod length;
mod lookup;
mod news;
mod output;
mod pace;
mod record;
mod refusal;
mod sender;
mod sequencer;
mod session;
mod tally;
mod throttle;
mod time;
mod timers;
mod unclaimed;
mod upload;
mod uploads;
mod visit;
mod window;

pub use config::{Holder, Screen, SessionConfig, SessionLimits, SlotRules};
pub use door::Door;
pub use entry::{Amendment, Entry, EntryStatus};
pub use expiry::Expired;
pub use input::{
    CallOutcome, CheckpointChange, DisconnectReason, Parked, PassedOver, Removed, StorageFault,
    StoreEvent, Verdict, WriterEvent,
};
pub use length::Length;
pub use news::{Answer, Effect, News, Position, Subject, Why};
pub use output::{
    AbortReason, AuthorizeStage, CallId, CloseReason, EntryId, Fact, Fence, Notice, Order, Output,
    Query, Question, RecordExpect, RecordVersion, Save,
};
pub use record::{
    EARLIER_TARGETS_MAX, Lease, RECORD_BYTES_MAX, Record, RecordError, RecordPhase, Unclaimed,
};
pub use refusal::{OwnWords, Refusal};
pub use sender::{
    FileCheck, FileFacts, Outcome, Progress, ReadId, Sender, SenderConfig, SenderOutput,
    SenderPhase, Violation,
};
pub use session::{Session, channel::received_ranges, control::announcement};
pub use tally::{Charge, OwnerQuota, OwnerTally, OwnerToken, ServerTally};
pub use time::Now;
pub use unclaimed::{Borrower, Lending, Loan, Removal, Settlement};
pub use upload::{Append, Declare, Finish};
pub use uploads::{Uploads, reach::Asks};
pub use visit::{
    Broken, Content, ContentEnd, Ends, Receipt, Reply, Request, RequestId, Taken, Visit,
    VisitOutput,
};

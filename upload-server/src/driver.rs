//! The writers of one session's uploads, driven by the session's own task.
//!
//! Commands of one upload run strictly in order, one call at a time; what
//! arrives while a call runs waits and goes into the next one as a batch. A call
//! is polled once where it is made, so a writer that is quick has written before
//! the session does anything else; one that is not is polled with the others.
//! There is no task, no channel and no copy per chunk, and the memory of queues
//! and futures is used again (`free_list`).

mod call;
mod drivers;
mod event;
mod free_list;
mod held_bytes;
mod listed;
mod opening_limit;
mod queue;
mod stage;
mod step;

pub(crate) use self::{
    call::{Storage, UploadLabel},
    drivers::Drivers,
    event::DriverEvent,
};

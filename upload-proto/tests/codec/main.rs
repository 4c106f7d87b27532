//! What is written reads back the same, and nothing that is read can do harm.

mod frames;
mod messages;
mod packets;
mod vectors;

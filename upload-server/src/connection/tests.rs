//! Whole sessions over a pipe, with a WebSocket client at its other end.

mod flow;
mod handlers;
mod harness;
mod hooks;
mod lines;
mod places;
mod resume;

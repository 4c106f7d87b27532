//! Fuzz targets for everything that reads what a peer wrote.
//!
//! A target is a function of bytes that panics where a promise is broken.
//! `cargo xtask fuzz` runs them under libFuzzer; an ordinary test runs each over its corpus.

mod corpus;
mod cursor;
mod fields;
mod targets;

pub use corpus::{pack, seeds, unpack};
pub use targets::{TARGETS, Target, target};

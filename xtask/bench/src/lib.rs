//! The client's side of all measurements: frames that cost nothing to make, one connection, a slow link.

pub mod connection;
pub mod frames;
pub mod limits;
pub mod link;
pub mod unpaced;

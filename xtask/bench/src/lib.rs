//! The client's side of all measurements: frames that cost nothing to make, connections, a slow link.

pub mod connection;
pub mod frames;
pub mod limits;
pub mod link;
pub mod many;
pub mod path;
pub mod pipeline;
mod raw_socket;
pub mod requests;
pub mod unpaced;
mod upload;

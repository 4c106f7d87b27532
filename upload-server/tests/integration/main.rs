//! The real binary, driven over real sockets.
//!
//! `cargo xtask integration` builds what is needed and runs this target; the
//! binary is the one named by `UPLOAD_SERVER_BINARY`, or the one cargo built.
//! The long runs take their counts from `UPLOAD_LONG_RUN=1`.

mod client;
mod djust;
mod failure_table;
mod main_job;
mod pattern;
mod rows;
mod redis_server;
mod server;
mod status;
mod uploader;
mod wire;

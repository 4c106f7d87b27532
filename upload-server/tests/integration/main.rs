//! The real binary, driven over real sockets.
//!
//! `cargo xtask integration` builds what is needed and runs this target; the
//! binary is the one named by `UPLOAD_SERVER_BINARY`, or the one cargo built.
//! The long runs take their counts from `UPLOAD_LONG_RUN=1`.

#![allow(
    unreachable_pub,
    reason = "nothing of a test target is reachable from anywhere"
)]

mod abuse;
mod client;
mod disk;
mod djust;
mod drain;
mod failure_table;
mod half_open;
mod kills;
mod logs;
mod lost_reply;
mod main_job;
mod parked;
mod pattern;
mod proxies;
mod proxy;
mod redis_faults;
mod redis_server;
mod rolling;
mod rows;
mod server;
mod slow_disk;
mod status;
mod strace;
mod trusting;
mod uploader;
mod wire;

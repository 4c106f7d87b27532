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
mod disk;
mod djust;
mod doors;
mod doors_abuse;
mod drain;
mod failure_table;
mod grouped;
mod half_open;
mod inherited;
mod killed_at_calls;
mod kills;
mod logs;
mod lost_reply;
mod main_job;
mod parked;
mod proxies;
mod redis_faults;
mod rolling;
mod rows;
mod sending;
mod signing_in;
mod slow_disk;
mod status;
mod taking;
mod trusting;
mod tus_kills;
mod wire;

/// What the scenarios stand on.
mod support {
    pub mod application;
    pub mod client;
    pub mod http;
    pub mod pattern;
    #[path = "../../../../upload-stores/tests/postgres/cluster.rs"]
    #[expect(dead_code, reason = "shared with the tests of the store")]
    pub mod postgres_server;
    pub mod proxy;
    pub mod redis_server;
    pub mod relay;
    pub mod server;
    pub mod strace;
    pub mod uploader;
}

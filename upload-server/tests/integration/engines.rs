//! The real binary before real engines: Garage for S3, Azurite for Azure through object_store.
//!
//! `cargo xtask integration s3` installs both, says where they are in `GARAGE` and `AZURITE`, and runs
//! this target.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "nothing of a test target is reachable from anywhere, and not every one needs all"
)]

/// What the scenarios stand on.
mod support {
    pub mod azurite;
    pub mod bucket;
    pub mod client;
    pub mod garage;
    pub mod pattern;
    pub mod server;
    pub mod uploader;
}

use support::bucket::{
    guide, operator, programs,
    scenarios::{self, MIB},
};
use support::garage::garage;

/// COMPLETE-3: sizes at and around one part, many parts, and a whole GiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes_up_to_a_gibibyte() {
    let sizes = [
        0,
        1,
        5 * MIB - 1,
        5 * MIB,
        5 * MIB + 1,
        64 * MIB,
        1024 * MIB,
    ];
    scenarios::sizes(&garage().await, &sizes).await;
}

/// What the guide prints works as it is printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_of_the_guide_store_files() {
    guide::blocks_store_files(&garage().await).await;
}

/// The operator's script, which starts its own Garage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_script_runs() {
    operator::the_script_runs(&[]);
}

/// The programs that the guide prints store files too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_the_guide_store_files() {
    programs::store_files(&garage().await).await;
}

/// RESUME-3: SIGKILL between parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_sends_no_part_again() {
    scenarios::killed(&garage().await, 96 * MIB).await;
}

/// CREDIT-4: a bucket that takes 1 MiB/s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_bucket_slows_nobody_else() {
    scenarios::slow_bucket(&garage().await, 256).await;
}

/// CREDIT-2: more parts that are not full than there is memory for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_shares_the_budget() {
    scenarios::crowd(&garage().await).await;
}

/// COMPLETE-6: cancelled, too large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_leave_nothing() {
    scenarios::failures_leave_nothing(&garage().await).await;
}

/// RESUME-8: crashed, expired; Garage's clock cannot be set, so this takes more than a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reaper_leaves_nothing() {
    scenarios::the_reaper_leaves_nothing(&garage().await).await;
}

/// Garage checks signatures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_urls_are_good_for_one_file() {
    scenarios::presigned(&garage().await).await;
}

//! `cargo xtask bench`: what a byte costs, next to the least it could cost, in the same run.
//!
//! A bench is a list of cells, each a subject under a load; `rounds` runs every cell once per round, so that
//! what disturbs the machine disturbs all alike, and takes medians.
//! `report` prints and keeps the figures, `bars` holds them against what was promised, `plot` draws them.

mod against;
mod bars;
mod codec;
mod compare;
mod config;
mod cost;
pub(crate) mod crowd;
mod disks;
mod door;
mod driving;
mod garage;
mod generator;
mod hidden;
mod in_browser;
mod kept;
mod latency;
mod links;
mod load;
mod machine;
mod many;
pub(crate) mod metric;
mod next_to;
mod page;
mod plot;
mod postgres;
pub(crate) mod process;
pub(crate) mod programs;
mod receive;
mod redis;
mod report;
mod restart;
mod resume;
mod rounds;
mod s3;
mod small;
mod smoke;
mod spent;
mod stores;
pub(crate) mod subject;
mod wan;

use anyhow::Result;
use clap::Subcommand;

pub(crate) use smoke::smoke;

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Receiving, to nowhere and to files, next to a bare sink of the same WebSocket library
    Receive(receive::Receive),
    /// Many running uploads on one connection, next to the bare loop with as many
    Many(many::Many),
    /// What a byte costs as files grow and uploads become many
    Cost(cost::Cost),
    /// What resuming costs: stores, durability, and the way back after a cut
    Resume(resume::Resume),
    /// What uploads to another slot and `/healthz` feel of a disk that is slow, stalls or hangs
    Disks(disks::Disks),
    /// The way back of many uploads after a kill: to the first, to the last, and the memory of them
    Restart(restart::Restart),
    /// Memory of many connections: idle, uploading, idle again
    Idle(crowd::Idle),
    /// How soon a small upload is done, alone and next to others at full speed
    Latency(latency::Latency),
    /// Many small files, next to a bare loop that makes, syncs and renames the same
    Small(small::Small),
    /// A file over a long link that stalls or loses segments, next to a plain TCP stream and other protocols
    Links(links::Links),
    /// One upload over a long link, and over one that stalls
    Wan(wan::Wan),
    /// Time per frame in codec and core, and allocations per chunk in the whole server
    #[command(alias = "core")]
    Codec(codec::Codec),
    /// This server next to others that install here, each pair with the same client
    Compare(compare::Compare),
    /// Many photos in a page: the widget, Uppy's Dashboard and bare `fetch`
    Page(page::Page),
    /// A file from a hidden tab, compared with a visible one
    Hidden(hidden::Hidden),
    /// How many records a second each store keeps
    Stores(stores::Stores),
    /// Sending parts to a bucket, next to a bare loop of the SDK
    S3(s3::S3),
}

/// Measures.
///
/// # Errors
///
/// Something does not build, or a run fails.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Receive(receive) => receive.run(),
        Bench::Many(many) => many.run(),
        Bench::Cost(cost) => cost.run(),
        Bench::Resume(resume) => resume.run(),
        Bench::Disks(disks) => disks.run(),
        Bench::Restart(restart) => restart.run(),
        Bench::Idle(idle) => idle.run(),
        Bench::Latency(latency) => latency.run(),
        Bench::Small(small) => small.run(),
        Bench::Links(links) => links.run(),
        Bench::Wan(wan) => wan.run(),
        Bench::Codec(codec) => codec.run(),
        Bench::Compare(compare) => compare.run(),
        Bench::Page(page) => page.run(),
        Bench::Hidden(hidden) => hidden.run(),
        Bench::Stores(stores) => stores.run(),
        Bench::S3(s3) => s3.run(),
    }
}

//! `cargo xtask soak`: the real server under peers that mean harm, and under very many that mean none.
//!
//! What is measured is the release binary in a separate process, watched through `/proc`; the peers are
//! the programs of `upload-bench`.

mod attackers;
mod attacks;
mod floods;
mod ground;
mod idle;
mod neighbour;
mod outcome;
mod room;
mod scene;
mod send;

pub(crate) use attacks::smoke;

use anyhow::Result;
use clap::Subcommand;

/// What the server has to bear.
#[derive(Subcommand)]
pub(crate) enum Soak {
    /// One kind of attack after the other from many sockets, next to an honest uploader
    Attacks(attacks::Attacks),
    /// Many connections that do nothing, some of which then upload
    Idle(idle::Idle),
    /// Many small files from a directory, next to `rsync`
    Send(send::Send),
}

/// Runs it.
///
/// # Errors
///
/// Something does not build, a run fails, or a bar is missed.
pub(crate) fn run(soak: &Soak) -> Result<()> {
    match soak {
        Soak::Attacks(attacks) => attacks.run(),
        Soak::Idle(idle) => idle.run(),
        Soak::Send(send) => send.run(),
    }
}

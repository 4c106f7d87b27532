//! The conformance suite: what every writer, and every decorator of one, must pass.
//!
//! Implement [`Backend`] for your storage, and have [`writer_conformance!`](crate::writer_conformance) make
//! a test of each check, each with a new backend; or call [`run_all`], or the checks one by one.
//! A check panics when the writer breaks the contract.
//! Checks must not run at the same time on one backend, since some compare what is stored before and
//! after. A writer around another one is also compared with it, by [`decorates`].

mod decorator;
mod drops;
mod keep;
mod reopen;
mod rest;

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

pub use self::{
    decorator::decorates,
    drops::{
        an_abandoned_call_can_be_aborted, an_abandoned_creation_leaves_nothing,
        an_abandoned_flush_changes_nothing,
    },
    keep::{
        a_deleted_upload_is_gone, abort_leaves_nothing, buffered_bytes_are_told,
        durability_is_honest, names_cannot_escape, stores_an_empty_file, stores_every_chunking,
        stores_less_than_the_most, uploads_are_separate,
    },
    reopen::{
        a_held_upload_can_be_taken_over, checkpoints_are_small, dropping_keeps_what_was_stored,
        foreign_checkpoints_are_refused, reopening_after_abort_finds_nothing,
        reopening_after_close_answers_the_result, reopening_below_the_durable_offset_works,
        reopening_discards_the_tail,
    },
    rest::{
        a_suspended_writer_continues, an_expired_upload_is_removed, sweeping_takes_what_is_released,
    },
};
use crate::writer::{BoxWriter, UploadFacts, WriterFactory, Written};

/// A kind of storage under test: a factory, and a way to look at what it keeps.
#[async_trait]
pub trait Backend: Send + Sync {
    /// The factory.
    fn factory(&self) -> &dyn WriterFactory;

    /// Reads a finished upload back by the result of its close; `None` if there is none.
    async fn read(&self, result: &Value) -> Option<Vec<u8>>;

    /// Names everything that is stored, finished or not, in any order.
    async fn list(&self) -> Vec<String>;

    /// Whether bytes can be read back. Only for storage that keeps none by intention.
    fn keeps_bytes(&self) -> bool {
        true
    }

    /// Whether storage itself keeps an old holder from changing an upload that another has reopened.
    /// Only for storage that has no means to (S3), where the lease alone decides.
    fn fences(&self) -> bool {
        true
    }

    /// How many bytes a large upload has here: several parts, for storage that takes parts.
    fn bulk_bytes(&self) -> usize {
        300_000
    }
}

/// The list of the checks, and what is made of it.
#[doc(hidden)]
#[macro_export]
macro_rules! writer_checks {
    (@$what:ident $with:expr) => {
        $crate::writer_checks! {
            =$what $with;
            stores_every_chunking
            stores_an_empty_file
            stores_less_than_the_most
            durability_is_honest
            buffered_bytes_are_told
            uploads_are_separate
            names_cannot_escape
            abort_leaves_nothing
            a_deleted_upload_is_gone
            an_abandoned_creation_leaves_nothing
            an_abandoned_flush_changes_nothing
            an_abandoned_call_can_be_aborted
            a_suspended_writer_continues
            checkpoints_are_small
            dropping_keeps_what_was_stored
            reopening_discards_the_tail
            reopening_below_the_durable_offset_works
            reopening_after_close_answers_the_result
            reopening_after_abort_finds_nothing
            foreign_checkpoints_are_refused
            a_held_upload_can_be_taken_over
            sweeping_takes_what_is_released
            an_expired_upload_is_removed
        }
    };
    (=tests $backend:expr; $($check:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                $crate::conformance::$check(&$backend).await;
            }
        )*
    };
    (=run $backend:expr; $($check:ident)*) => {
        $($crate::conformance::$check($backend).await;)*
    };
}

/// Makes a test of each check of the conformance suite, on a [`Backend`](crate::conformance::Backend)
/// that the expression makes anew for each; it may await. For a separate module, in a crate with tokio.
///
/// ```
/// # use upload_writers::conformance::Backend;
/// # async fn my_backend() -> Box<dyn Backend> { std::future::pending().await }
/// mod my_storage {
///     use super::*;
///     upload_writers::writer_conformance!(*my_backend().await);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! writer_conformance {
    ($backend:expr) => {
        $crate::writer_checks!(@tests $backend);
    };
}

/// Runs every check.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn run_all(backend: &dyn Backend) {
    crate::writer_checks!(@run backend);
}

/// Makes `len` bytes in which every place differs from its neighbours in a way that depends on
/// `seed`, so that no swapped, repeated or missing chunk can hide.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let word = |index: u64| {
        // SplitMix64's finisher over the place.
        let mut word = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    let words = len.div_ceil(8) as u64;
    let mut bytes: Vec<u8> = (0..words)
        .flat_map(|index| word(index).to_le_bytes())
        .collect();
    bytes.truncate(len);
    bytes
}

/// Makes the facts of a resumable upload; each `number` is another upload.
pub fn facts(number: u64, client_size: usize) -> UploadFacts {
    UploadFacts {
        owner: "owner".to_owned(),
        client_name: "Report.bin".to_owned(),
        safe_client_name: "Report.bin".to_owned(),
        client_type: "application/octet-stream".to_owned(),
        resumable: true,
        ..UploadFacts::new(
            format!("00000000-0000-4000-8000-{number:012x}"),
            "documents",
            client_size as u64,
        )
    }
}

/// Makes a writer.
async fn opened(backend: &dyn Backend, facts: &UploadFacts) -> BoxWriter {
    let created = backend.factory().create(facts).await;
    created.expect("a fresh writer is made")
}

/// Writes one chunk.
async fn write(writer: &mut BoxWriter, bytes: &[u8]) -> Written {
    let mut chunks = VecDeque::from([Bytes::copy_from_slice(bytes)]);
    let written = writer.write_chunks(&mut chunks).await;
    assert!(chunks.is_empty(), "a writer takes all chunks it is given");
    written.expect("an open writer writes")
}

/// Asserts that a finished upload has exactly these bytes.
async fn assert_stored(backend: &dyn Backend, result: &Value, bytes: &[u8]) {
    if backend.keeps_bytes() {
        let stored = backend.read(result).await;
        let stored = stored.expect("a closed upload can be read");
        assert_eq!(stored.len(), bytes.len(), "stored size differs");
        let differs = stored
            .iter()
            .zip(bytes)
            .position(|(one, other)| one != other);
        assert_eq!(differs, None, "stored bytes differ from here on");
    }
}

/// Names what is stored, in order, for comparing.
async fn sorted(backend: &dyn Backend) -> Vec<String> {
    let mut names = backend.list().await;
    names.sort();
    names
}

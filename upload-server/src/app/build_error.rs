//! What is wrong with what a builder was given.

use std::io;

use thiserror::Error;
use upload_writers::FileSetupError;

use super::slot_options::SlotError;
use crate::{
    http::{
        allowed_hosts::BadHost, forwarded::BadProxy, identity::SECRET_BYTES_MIN, origin::BadOrigin,
    },
    outbox::journal::JournalOpenError,
};

/// Invalid configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A slot's options cannot be.
    #[error("slot {slot:?}: {source}")]
    Slot {
        /// The slot's name.
        slot: String,
        /// What is wrong with it.
        source: SlotError,
    },
    /// Two slots or two events have the same name; one of them could never be reached.
    #[error("there are two {what}s of the name {name:?}")]
    Duplicate {
        /// What has the name: `slot` or `event`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// There is no slot of this name.
    #[error("there is no slot {0:?}")]
    UnknownSlot(String),
    /// The slot has its own writer, which keeps no files below `data_dir`.
    #[error("slot {0:?} keeps no files below data_dir")]
    NoFiles(String),
    /// The slot chooses no folder, so nothing says whose a file of it is.
    #[error("slot {0:?} needs SlotOptions::folder, which says whose a file is")]
    NoFolder(String),
    /// Two limits undo each other, or one lets nothing happen.
    #[error("limits: {0}")]
    Limits(&'static str),
    /// The list of origins cannot be read.
    #[error(transparent)]
    Origin(#[from] BadOrigin),
    /// The list of hosts cannot be read.
    #[error(transparent)]
    Host(#[from] BadHost),
    /// The list of proxies cannot be read.
    #[error(transparent)]
    Proxy(#[from] BadProxy),
    /// A secret is too short to sign with.
    #[error("a secret must have at least {SECRET_BYTES_MIN} bytes")]
    Secret,
    /// The secret could not be read from `data_dir` or kept there.
    #[error("the secret in data_dir: {0}")]
    SecretFile(#[source] io::Error),
    /// What is remembered of hooks and events cannot be opened.
    #[error("state_dir: {0}")]
    State(#[from] JournalOpenError),
    /// The hook of this number in the list cannot be called.
    #[error("hooks.{number}.url: {source}")]
    Hook {
        /// Its number, from 0.
        number: usize,
        /// Why not.
        source: io::Error,
    },
    /// `data_dir` or `temp_dir` does not serve.
    #[error("data_dir or temp_dir: {0}")]
    Files(#[source] FileSetupError),
}

impl BuildError {
    pub(crate) fn slot(slot: &str, source: SlotError) -> Self {
        Self::Slot {
            slot: slot.to_owned(),
            source,
        }
    }
}

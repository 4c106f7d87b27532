//! Listing records in pages.

use std::fmt;

use crate::count::Facts;
use crate::key::UploadKey;
use crate::store::Versioned;

/// The most records a page is asked for; a larger number is cut to it.
///
/// With records of 16 KiB a page has 4 MiB.
pub const PAGE_RECORDS_MAX: usize = 256;

/// Where the next page of a listing begins.
///
/// Only the store that made it can read it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Box<[u8]>);

impl Cursor {
    /// Makes a cursor of what the store needs to continue.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes the cursor was made of.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A cursor may hold the name of an owner, which may be a session token.
impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").finish_non_exhaustive()
    }
}

/// Some of the records that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The records, in no particular order. It may be empty although more follow.
    pub records: Vec<Listed>,
    /// Where the next page begins, `None` after the last one.
    pub next: Option<Cursor>,
}

/// A record in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whose upload it is about.
    pub key: UploadKey,
    /// The record and its version.
    pub stored: Versioned,
    /// The facts it was put with.
    pub facts: Facts,
}

//! Times and bounds of a server.

use std::time::Duration;

use upload_core::{OwnerQuota, SessionLimits};

use super::{open_files, rates::RateLimits};

/// Chunks with less data than this many bytes are tiny.
pub(crate) const TINY_CHUNK_BYTES: usize = 1024;

/// Times and bounds of a server; every one has a default.
#[derive(Clone, Debug)]
pub struct Limits {
    /// What holds within one connection.
    pub session: SessionLimits,
    /// Connections at a time; beyond it, 503.
    pub max_connections: usize,
    /// How much may be sent in a second.
    pub rates: RateLimits,
    /// Uploads of all owners at a time; beyond it, registrations are told to come later. By default
    /// three quarters of the files that the process may have open.
    pub max_uploads: u32,
    /// Uploads that HTTP requests are about at a time, and those of the last few seconds; beyond it, 503. One
    /// address may have a quarter of them.
    pub max_visits: usize,
    /// Uploads at a time of all who are known by the address of their upload only (see
    /// [`capability_urls`](crate::UploadsBuilder::capability_urls)); beyond it, creations are
    /// answered 503. By default half of [`max_uploads`](Self::max_uploads).
    pub max_capability_uploads: Option<u32>,
    /// Declared bytes of those uploads together; no limit by default.
    pub max_capability_bytes: Option<u64>,
    /// Longest time from accepting a connection to its request (PROTOCOL CONN-3).
    pub handshake: Duration,
    /// Missed pongs before a connection counts as dead (PROTOCOL CONN-3).
    pub missed_pongs_max: u32,
    /// Whether CRC32C of whole files is computed and checked (PROTOCOL COMPLETE-2).
    pub checksum: bool,
    /// Payload bytes that wait for writers, over all connections.
    pub buffer_budget: u64,
    /// Writers kept for clients that may come back (PROTOCOL RESUME-3).
    pub parked_max: usize,
    /// How long a writer stays parked.
    pub parked_for: Duration,
    /// How long a drain may take before connections are closed anyway.
    pub drain: Duration,
    /// When a draining server tells clients to come back.
    pub reconnect_after: Duration,
    /// How often what nobody holds any more is removed (PROTOCOL RESUME-8).
    pub sweep_interval: Duration,
}

impl Limits {
    /// Returns what all owners made of capabilities may have together.
    pub(crate) fn capabilities(&self) -> OwnerQuota {
        let uploads = self.max_capability_uploads;
        let uploads = uploads.unwrap_or_else(|| (self.max_uploads / 2).max(1));
        OwnerQuota {
            uploads: uploads.into(),
            bytes: self.max_capability_bytes.unwrap_or(u64::MAX),
            ..OwnerQuota::NONE
        }
    }

    /// Returns what cannot be, if two of them undo each other or one lets nothing happen.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let session = &self.session;
        let found = [
            (
                self.max_connections == 0,
                "max_connections must be at least 1",
            ),
            (self.max_uploads == 0, "max_uploads must be at least 1"),
            (
                self.max_capability_uploads == Some(0),
                "max_capability_uploads must be at least 1: capability_urls(false) lets none in",
            ),
            (
                self.buffer_budget == 0,
                "buffer_budget must be at least 1 byte",
            ),
            (
                session.max_uploads_per_owner == 0,
                "session.max_uploads_per_owner must be at least 1",
            ),
            (
                session.pending_max == 0,
                "session.pending_max must be at least 1",
            ),
            (
                session.calls_max == 0,
                "session.calls_max must be at least 1",
            ),
            (
                session.lease_ttl <= session.save_interval,
                "session.lease_ttl must be longer than session.save_interval, which renews leases",
            ),
            (
                session.reserved_ttl < session.lease_ttl,
                "session.reserved_ttl must be at least session.lease_ttl, or records expire while they are leased",
            ),
            (
                session.record_ttl < session.lease_ttl,
                "session.record_ttl must be at least session.lease_ttl, or records expire while they are leased",
            ),
        ];
        let (_, text) = found.into_iter().find(|(is_wrong, _)| *is_wrong)?;
        Some(text)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            session: SessionLimits::default(),
            max_connections: 20_000,
            rates: RateLimits::default(),
            max_uploads: open_files::uploads_max(),
            max_visits: 4096,
            max_capability_uploads: None,
            max_capability_bytes: None,
            handshake: Duration::from_secs(10),
            missed_pongs_max: 2,
            checksum: true,
            buffer_budget: 256 * 1024 * 1024,
            parked_max: 1024,
            parked_for: Duration::from_secs(600),
            drain: Duration::from_millis(2500),
            reconnect_after: Duration::from_millis(500),
            sweep_interval: Duration::from_secs(300),
        }
    }
}

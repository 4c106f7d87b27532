//! `[limits]`: times and bounds.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, Size, Time};
use crate::server::{limits::Limits, rates::RateLimits};

/// How long an upload may be unfinished by default: a week.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// `[limits]`: times and bounds (PROTOCOL section 10).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// WebSocket connections at a time.
    pub max_connections: usize,
    /// Uploads by HTTP requests that are held between requests, at a time; one address other than this machine's may have a quarter of them.
    pub max_visits: usize,
    /// Uploads of all owners at a time, beyond which registrations are refused for now; by default three quarters of the files that the process may have open.
    pub max_uploads: Option<u32>,
    /// Payload bytes a second of one connection, or by HTTP of one upload; no limit by default.
    pub bandwidth_per_connection: Option<Size>,
    /// Payload bytes a second of one owner, over all connections of this server; no limit by default.
    pub bandwidth_per_owner: Option<Size>,
    /// Payload bytes a second from one address, or of IPv6 one network of 64 bits; no limit by default.
    pub bandwidth_per_address: Option<Size>,
    /// Payload bytes a second of all clients together; no limit by default.
    pub bandwidth: Option<Size>,
    /// Registrations a second of one owner, and ten times as many at once; beyond it, sockets are read later, HTTP uploads are answered 503, and presigned ones 429.
    pub registrations_per_owner: u32,
    /// The same of one address other than this machine's.
    pub registrations_per_address: u32,
    /// HTTP requests and new sockets a second of one owner, and ten times as many at once; beyond it, HTTP uploads are answered 503, a `HEAD` of tus 423, and all else 429.
    pub requests_per_owner: u32,
    /// The same of one address other than this machine's; plain bodies and forms are answered 429, too.
    pub requests_per_address: u32,
    /// Unfinished uploads of one owner, over all connections and, in a shared store, all servers.
    pub max_uploads_per_owner: u32,
    /// Declared bytes of those uploads together; no limit by default.
    pub max_bytes_per_owner: Option<Size>,
    /// Bytes of one owner's unfinished uploads and of those that wait for the application, together; no limit by default.
    pub max_stored_bytes_per_owner: Option<Size>,
    /// Unfinished uploads at a time of all who are known by the address of their upload only (`capability_urls`), beyond which creations are answered 503; by default half of `max_uploads`.
    pub max_capability_uploads: Option<u32>,
    /// Declared bytes of those uploads together; no limit by default.
    pub max_capability_bytes: Option<Size>,
    /// How long an upload may stand still while it has credit.
    pub idle_upload_seconds: Time,
    /// Bytes a second that an upload has to bring while others find no place; slower ones leave as if they stood still.
    pub min_speed: Size,
    /// How long an upload may be unfinished in all, however it progresses.
    pub max_age: Time,
    /// Time from connecting to the whole request.
    pub handshake_seconds: Time,
    /// Time from the upgrade to the first message.
    pub first_message_seconds: Time,
    /// Time between pings.
    pub ping_seconds: Time,
    /// Refused frames and messages in one minute before a connection is closed.
    pub max_refused_per_minute: u32,
    /// Time between removals of what expired.
    pub sweep_seconds: Time,
    /// Whether CRC32C of whole files is computed and checked (PROTOCOL COMPLETE-2).
    pub checksum: bool,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let limits = Limits::default();
        let (session, rates) = (limits.session, limits.rates);
        Self {
            bandwidth_per_connection: None,
            bandwidth_per_owner: None,
            bandwidth_per_address: None,
            bandwidth: None,
            registrations_per_owner: rates.registrations_per_owner,
            registrations_per_address: rates.registrations_per_address,
            requests_per_owner: rates.requests_per_owner,
            requests_per_address: rates.requests_per_address,
            max_connections: limits.max_connections,
            max_visits: limits.max_visits,
            max_uploads: None,
            max_uploads_per_owner: session.max_uploads_per_owner,
            max_bytes_per_owner: None,
            max_stored_bytes_per_owner: None,
            max_capability_uploads: None,
            max_capability_bytes: None,
            min_speed: Size(session.bytes_per_second_min),
            max_age: Time(MAX_AGE),
            idle_upload_seconds: Time(session.idle_upload),
            handshake_seconds: Time(limits.handshake),
            first_message_seconds: Time(session.first_message),
            ping_seconds: Time(session.ping_interval),
            max_refused_per_minute: session.max_refused_per_minute,
            sweep_seconds: Time(limits.sweep_interval),
            checksum: limits.checksum,
        }
    }
}

impl LimitsConfig {
    /// Returns how much may be sent in a second.
    pub(super) fn rates(&self) -> RateLimits {
        let bytes = |size: Option<Size>| size.map(|size| size.0);
        RateLimits {
            bytes_per_connection: bytes(self.bandwidth_per_connection),
            bytes_per_owner: bytes(self.bandwidth_per_owner),
            bytes_per_address: bytes(self.bandwidth_per_address),
            bytes: bytes(self.bandwidth),
            registrations_per_owner: self.registrations_per_owner,
            registrations_per_address: self.registrations_per_address,
            requests_per_owner: self.requests_per_owner,
            requests_per_address: self.requests_per_address,
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let least = |size: Option<Size>| size.map_or(1, |size| size.0);
        let least_one = [
            ("max_connections", self.max_connections as u64),
            ("max_visits", self.max_visits as u64),
            ("max_uploads", self.max_uploads.unwrap_or(1).into()),
            (
                "max_capability_uploads",
                self.max_capability_uploads.unwrap_or(1).into(),
            ),
            ("max_capability_bytes", least(self.max_capability_bytes)),
            (
                "bandwidth_per_connection",
                least(self.bandwidth_per_connection),
            ),
            ("bandwidth_per_owner", least(self.bandwidth_per_owner)),
            ("bandwidth_per_address", least(self.bandwidth_per_address)),
            ("bandwidth", least(self.bandwidth)),
            (
                "registrations_per_owner",
                self.registrations_per_owner.into(),
            ),
            (
                "registrations_per_address",
                self.registrations_per_address.into(),
            ),
            ("requests_per_owner", self.requests_per_owner.into()),
            ("requests_per_address", self.requests_per_address.into()),
            ("max_uploads_per_owner", self.max_uploads_per_owner.into()),
            ("max_bytes_per_owner", least(self.max_bytes_per_owner)),
            (
                "max_stored_bytes_per_owner",
                least(self.max_stored_bytes_per_owner),
            ),
            (
                "idle_upload_seconds",
                self.idle_upload_seconds.whole_seconds(),
            ),
            ("max_age", self.max_age.whole_seconds()),
            ("handshake_seconds", self.handshake_seconds.whole_seconds()),
            (
                "first_message_seconds",
                self.first_message_seconds.whole_seconds(),
            ),
            ("ping_seconds", self.ping_seconds.whole_seconds()),
            ("max_refused_per_minute", self.max_refused_per_minute.into()),
            ("sweep_seconds", self.sweep_seconds.whole_seconds()),
        ];
        match least_one.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(ConfigError::invalid(
                &format!("limits.{key}"),
                "must be at least 1",
            )),
            None => Ok(()),
        }
    }
}

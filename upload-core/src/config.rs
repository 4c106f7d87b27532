//! What a session is told about its connection: slots, limits, identity.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use upload_proto::{Code, limits::DEFAULT_CHUNK_BYTES};

use crate::OwnerTally;

/// Decides at registration whether a file's name and declared type are welcome.
///
/// Called synchronously, so it must be quick and pure; anything that waits
/// belongs behind [`SlotRules::authorize`].
pub trait Screen: Send + Sync {
    /// Returns the code to refuse with: [`Code::ActiveContent`] or
    /// [`Code::TypeNotAccepted`].
    fn screen(&self, client_name: &str, client_type: &str) -> Result<(), Code>;
}

/// A screen that lets every name and type pass.
impl Screen for () {
    fn screen(&self, _client_name: &str, _client_type: &str) -> Result<(), Code> {
        Ok(())
    }
}

/// The rules of one slot.
#[derive(Clone)]
pub struct SlotRules {
    /// The slot's name, as messages carry it.
    pub name: String,
    /// The accept list as announced to clients.
    pub accept: String,
    /// Entries under way or complete and not yet consumed (CTRL-3).
    pub max_entries: u32,
    /// Largest declared size, in bytes.
    pub max_file_size: u64,
    /// Size of a full chunk, in bytes.
    pub chunk_size: u32,
    /// Whether clients start sending as soon as a file is picked.
    pub auto_upload: bool,
    /// Whether uploads keep a record and can be resumed (PROTOCOL section 8).
    pub resumable: bool,
    /// Whether other processes see the store that keeps those records; if not, a
    /// lease of another start of the process is known to be dead.
    pub shared_store: bool,
    /// Whether an upload outlives a client that closes its tab (RESUME-7).
    pub keep_on_leave: bool,
    /// Whether active content is announced as allowed.
    pub allow_active_content: bool,
    /// Whether files go straight to object storage by presigned PUT.
    pub direct: bool,
    /// Whether an upload over a WebSocket may begin without a declared size (CTRL-2).
    pub unknown_size: bool,
    /// Whether completion consumes the entry (CTRL-3).
    pub consume_on_complete: bool,
    /// Whether a finished upload keeps a record, resumable or not, until its application takes it
    /// (CTRL-6).
    pub waits: bool,
    /// Whether [`crate::Question::Authorize`] is asked before an entry is made, goes
    /// on, or is stored.
    pub authorize: bool,
    /// Bytes the content gate holds back before it asks for a verdict.
    pub head_bytes: u32,
    /// The check of names and types.
    pub screen: Arc<dyn Screen>,
}

impl SlotRules {
    /// Returns the default rules: one file of at most 10,000,000 bytes, any type.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            accept: String::new(),
            max_entries: 1,
            max_file_size: 10_000_000,
            chunk_size: DEFAULT_CHUNK_BYTES,
            auto_upload: true,
            resumable: false,
            shared_store: false,
            keep_on_leave: false,
            allow_active_content: false,
            direct: false,
            unknown_size: false,
            consume_on_complete: false,
            waits: false,
            authorize: false,
            head_bytes: 8192,
            screen: Arc::new(()),
        }
    }
}

impl fmt::Debug for SlotRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotRules")
            .field("name", &self.name)
            .field("max_entries", &self.max_entries)
            .field("max_file_size", &self.max_file_size)
            .field("chunk_size", &self.chunk_size)
            .field("resumable", &self.resumable)
            .finish_non_exhaustive()
    }
}

/// Who holds a lease: a process start and one connection of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Unique per start of the process, chosen by the host.
    pub boot: String,
    /// Numbers the connections of that start, and must rise: of two connections of one client, the
    /// one with the larger number is the newer, which a late request of the other takes nothing from
    /// (RESUME-4). Numbers without order lock clients out.
    pub session: u64,
}

/// Times and bounds of a session; every one has a default.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Unfinished uploads of one owner, over all connections: the records in a store, and the uploads
    /// attached to this process or parked in it (CTRL-3).
    pub max_uploads_per_owner: u32,
    /// Declared bytes of all those uploads together; `None` for no limit (CTRL-3).
    pub max_bytes_per_owner: Option<u64>,
    /// Finished uploads of one owner that wait for their application (CTRL-3).
    pub max_waiting_per_owner: u32,
    /// Bytes of one owner's unfinished uploads and of those that wait, together; `None` for no limit (CTRL-3).
    pub max_stored_bytes_per_owner: Option<u64>,
    /// Bytes a client may be ahead of the writer (CREDIT-2).
    pub window_bytes: u64,
    /// The same over a link whose round trip is too long for that, as far as memory has room (CREDIT-2).
    pub window_bytes_max: u64,
    /// Longest pause between chunks while there is credit (CONN-3).
    pub idle_upload: Duration,
    /// Bytes a second that an upload has to bring while others find no place; slower ones leave as if they
    /// brought nothing (CONN-3). 0 for any speed.
    pub bytes_per_second_min: u64,
    /// How long an upload may be unfinished in all, however it progresses; `None` for any time (RESUME-8).
    pub unfinished_max: Option<Duration>,
    /// Longest wait for the first message of a connection (CONN-3).
    pub first_message: Duration,
    /// How often the host pings; announced to clients only (CONN-3).
    pub ping_interval: Duration,
    /// Refused frames and messages in one minute before 4429 (CONN-4).
    pub max_refused_per_minute: u32,
    /// How long a record lives without progress (RESUME-8).
    pub record_ttl: Duration,
    /// How long at most a record lives of an upload without a holder and without stored bytes: it
    /// only reserves a ref and a place.
    pub reserved_ttl: Duration,
    /// How long a finished upload waits for its application (CTRL-6).
    pub unclaimed_ttl: Duration,
    /// How long a lease is good for without renewal.
    pub lease_ttl: Duration,
    /// Shortest time between two saves of an upload's progress.
    pub save_interval: Duration,
    /// How long nothing must come for a writer that keeps bytes in memory before it is flushed.
    pub flush_after: Duration,
    /// Longest time progress stays unannounced (MSG-2).
    pub snapshot_interval: Duration,
    /// Endings a connection remembers (COMPLETE-6).
    pub endings_kept: usize,
    /// Record look-ups and registrations that wait for a host's answer.
    pub pending_max: usize,
    /// Event handlers of one connection that run at once.
    pub calls_max: usize,
    /// How long a client is told to wait where storage is short (RESUME-10).
    pub retry_after: Duration,
}

impl SessionLimits {
    /// Returns how large a window becomes at most, in bytes (CREDIT-2).
    pub fn largest_window(&self) -> u64 {
        self.window_bytes.max(self.window_bytes_max)
    }

    /// Returns the most bytes that an owner's unfinished uploads may have together.
    pub(crate) fn bytes_of_owner(&self) -> u64 {
        let limits = [self.max_bytes_per_owner, self.max_stored_bytes_per_owner];
        limits.into_iter().flatten().min().unwrap_or(u64::MAX)
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            max_uploads_per_owner: 64,
            max_bytes_per_owner: None,
            max_waiting_per_owner: 1000,
            max_stored_bytes_per_owner: None,
            window_bytes: 4 * 1024 * 1024,
            window_bytes_max: 32 * 1024 * 1024,
            idle_upload: Duration::from_secs(60),
            bytes_per_second_min: 1024,
            unfinished_max: None,
            first_message: Duration::from_secs(60),
            ping_interval: Duration::from_secs(20),
            max_refused_per_minute: 1000,
            record_ttl: Duration::from_secs(3600),
            reserved_ttl: Duration::from_secs(600),
            unclaimed_ttl: Duration::from_secs(24 * 3600),
            lease_ttl: Duration::from_secs(30),
            save_interval: Duration::from_millis(100),
            flush_after: Duration::from_millis(150),
            snapshot_interval: Duration::from_millis(200),
            endings_kept: 64,
            pending_max: 64,
            calls_max: 16,
            retry_after: Duration::from_secs(5),
        }
    }
}

/// Everything a session is told when its connection opens.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The slots this connection may use, by name.
    pub slots: BTreeMap<String, Arc<SlotRules>>,
    /// Whether the client offered no subprotocol (PROTOCOL, introduction).
    pub plain: bool,
    /// Who holds the leases this session takes.
    pub holder: Holder,
    /// How many uploads the owner has, over all its connections.
    pub tally: Arc<OwnerTally>,
    /// Times and bounds.
    pub limits: SessionLimits,
    /// Whether CRC32C of the whole file is computed and checked.
    pub checksum: bool,
    /// Whether [`crate::Question::Announce`] is asked before a receipt is recorded.
    pub announces: bool,
}

//! Records in a Redis server or cluster, shared by all processes that use it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Script};

use crate::error::{PutError, StoreError, StoreErrorKind};
use crate::key::UploadKey;
use crate::store::{Expect, UploadStateStore, Version, Versioned, check_record, ttl_millis};

mod connection;
mod trouble;

use connection::{Connector, Retry};

/// The longest key prefix, in bytes.
pub const REDIS_PREFIX_BYTES_MAX: usize = 128;

/// The first byte of every value, so that a later layout can be told apart.
const LAYOUT: u8 = 1;

/// Layout byte and version, before the record.
const HEADER_BYTES: usize = 9;

static PUT: LazyLock<Operation> = LazyLock::new(|| Operation::new(include_str!("redis/put.lua")));
static DELETE: LazyLock<Operation> =
    LazyLock::new(|| Operation::new(include_str!("redis/delete.lua")));

/// A script and the hash a server knows it by.
struct Operation {
    text: &'static str,
    hash: String,
}

impl Operation {
    fn new(text: &'static str) -> Self {
        Self {
            text,
            hash: Script::new(text).get_hash().to_owned(),
        }
    }
}

/// Keeps records in Redis 6.2 or later, or Valkey; alone, behind a failover, or as a cluster.
///
/// Each call is one round trip: a get, or one script. Every key has a time to live, and is
/// `<prefix>{<owner in hex>/<upload id in hex>}`, so that all of an upload is in one cluster slot.
/// Versions are random numbers, so they are not reused even where Redis lost what it had.
///
/// A call ends within three seconds: what takes longer, like a server that is away, loading, out
/// of memory, read-only or overloaded, is [`StoreErrorKind::Unavailable`]. The connection is made
/// by the first call, and made anew when it is lost.
///
/// What an acknowledged put survives is the server's to say. Only `appendfsync always` keeps all of
/// them when the server is killed; `everysec` may lose the last seconds, and a failover what was
/// not replicated yet. Its eviction policy should be `noeviction` or `volatile-ttl`.
pub struct RedisStore {
    connector: Connector,
    prefix: String,
    versions: RandomState,
    count: AtomicU64,
}

impl RedisStore {
    /// Makes a store on one server, `redis://[user][:password@]host[:port][/database]` or
    /// `redis+unix:///path`, with this prefix for its keys.
    ///
    /// Nothing is sent yet, so the server may still be away.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Failed`] if the URL is not understood, or the prefix has braces or is
    /// longer than [`REDIS_PREFIX_BYTES_MAX`].
    pub fn connect(url: &str, prefix: &str) -> Result<Self, StoreError> {
        Self::new(Connector::single(url)?, prefix)
    }

    /// Makes a store on a cluster of which at least one of these servers is a part.
    ///
    /// Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// See [`connect`](Self::connect).
    pub fn cluster(
        urls: impl IntoIterator<Item = impl Into<String>>,
        prefix: &str,
    ) -> Result<Self, StoreError> {
        let urls = urls.into_iter().map(Into::into).collect();
        Self::new(Connector::cluster(urls)?, prefix)
    }

    fn new(connector: Connector, prefix: &str) -> Result<Self, StoreError> {
        // The first braces of a key are its hash tag.
        if prefix.len() > REDIS_PREFIX_BYTES_MAX || prefix.contains(['{', '}']) {
            return Err(StoreError::new(
                StoreErrorKind::Failed,
                "the key prefix is too long or has braces",
            ));
        }
        Ok(Self {
            connector,
            prefix: prefix.to_owned(),
            versions: RandomState::new(),
            count: AtomicU64::new(0),
        })
    }

    fn redis_key(&self, key: &UploadKey) -> String {
        format!("{}{{{}}}", self.prefix, key.to_text())
    }

    /// Makes a version nobody made before: a keyed hash of a count, its key from the operating
    /// system. The top bit stays clear for clients that have signed numbers only.
    fn fresh_version(&self) -> Version {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        Version(self.versions.hash_one(count) >> 1)
    }

    /// Runs a script that answers whether it had its way.
    async fn run(
        &self,
        operation: &Operation,
        arguments: &[&[u8]],
        key: &UploadKey,
        retry: Retry,
    ) -> Result<(), PutError> {
        let key = self.redis_key(key);
        let command = |name: &str, script: &str| {
            let mut command = Cmd::new();
            command
                .arg(name)
                .arg(script)
                .arg(1)
                .arg(&key)
                .arg(arguments);
            command
        };
        let by_hash = command("EVALSHA", &operation.hash);
        let answer: redis::RedisResult<i64> = self.connector.query(&by_hash, retry).await;
        let answer = match answer {
            // A server that restarted forgot the script. Sending it with the call, instead of
            // loading it first, reaches the right server of a cluster.
            Err(error) if trouble::is_unknown_script(&error) => {
                let by_text = command("EVAL", operation.text);
                self.connector.query(&by_text, retry).await
            }
            answer => answer,
        };
        match answer {
            Ok(1) => Ok(()),
            Ok(_) => Err(PutError::Conflict),
            Err(error) => Err(trouble::sort(error).into()),
        }
    }
}

/// Leaves the address out: it may hold a password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl UploadStateStore for RedisStore {
    async fn get(&self, key: &UploadKey) -> Result<Option<Versioned>, StoreError> {
        let mut command = Cmd::new();
        command.arg("GET").arg(self.redis_key(key));
        let value: Option<Vec<u8>> = self
            .connector
            .query(&command, Retry::Always)
            .await
            .map_err(trouble::sort)?;
        value.map(unpack).transpose()
    }

    async fn put(
        &self,
        key: &UploadKey,
        record: &[u8],
        expect: Expect,
        ttl: Duration,
    ) -> Result<Version, PutError> {
        check_record(record)?;
        let version = self.fresh_version();
        let mut value = header(version).to_vec();
        value.extend_from_slice(record);
        let ttl = ttl_millis(ttl).to_string();
        let arguments = [&expected(expect)[..], &value, ttl.as_bytes()];
        self.run(&PUT, &arguments, key, Retry::Always).await?;
        Ok(version)
    }

    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError> {
        // Asked twice, a delete that worked would find nothing and look like a conflict.
        let retry = match expect {
            Expect::Absent => Retry::Always,
            Expect::Version(_) => Retry::Unsent,
        };
        self.run(&DELETE, &[&expected(expect)], key, retry).await
    }

    fn is_shared(&self) -> bool {
        true
    }
}

fn header(version: Version) -> [u8; HEADER_BYTES] {
    let mut header = [LAYOUT; HEADER_BYTES];
    header[1..].copy_from_slice(&version.0.to_be_bytes());
    header
}

/// The header a script should find; nothing is there exactly if it finds no bytes.
fn expected(expect: Expect) -> Vec<u8> {
    match expect {
        Expect::Absent => Vec::new(),
        Expect::Version(version) => header(version).to_vec(),
    }
}

fn unpack(mut value: Vec<u8>) -> Result<Versioned, StoreError> {
    match value.first_chunk::<HEADER_BYTES>() {
        Some(&[LAYOUT, ref version @ ..]) => {
            let version = Version(u64::from_be_bytes(*version));
            value.drain(..HEADER_BYTES);
            Ok(Versioned {
                record: value,
                version,
            })
        }
        _ => Err(StoreError::new(
            StoreErrorKind::Corrupt,
            "a key of this prefix holds something else",
        )),
    }
}

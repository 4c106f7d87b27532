//! Records in a Redis server or cluster, shared by all processes that use it.

use std::fmt;
use std::sync::LazyLock;

use async_trait::async_trait;
use redis::{Cmd, FromRedisValue, Script};

use crate::count::{Counts, OwnerLimit};
use crate::error::{PutError, StoreError, StoreErrorKind};
use crate::key::UploadKey;
use crate::list::{Cursor, Page};
use crate::store::{
    Expect, Put, UploadStateStore, Version, Versioned, check_record, page_records, ttl_millis,
};
use crate::versions::FreshVersions;

mod connection;
mod keys;
mod trouble;
mod walk;

use connection::{Connector, Retry};
use keys::{Names, bytes_of, compared, pack, unpack};
use walk::counts;

/// The longest key prefix, in bytes.
pub const REDIS_PREFIX_BYTES_MAX: usize = 128;

static PUT: LazyLock<Operation> = LazyLock::new(|| {
    Operation::new(concat!(
        include_str!("redis/counts.lua"),
        include_str!("redis/put.lua")
    ))
});
static DELETE: LazyLock<Operation> = LazyLock::new(|| {
    Operation::new(concat!(
        include_str!("redis/counts.lua"),
        include_str!("redis/delete.lua")
    ))
});
static COUNT: LazyLock<Operation> = LazyLock::new(|| {
    Operation::new(concat!(
        include_str!("redis/counts.lua"),
        include_str!("redis/count.lua")
    ))
});

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
/// A get, put or delete is one round trip: one command, or one script. A record is at
/// `<prefix>{o<owner in hex>}<upload id in hex>`; next to it an owner has an index of what expires and the
/// facts of its records with their sums, so all of an owner is in one cluster slot, and limits are exact.
/// Every key has a time to live. A list of all owners, and their count, are walks over all keys of the
/// server, in small steps. Versions are random numbers, so they are not reused even where Redis lost what it had.
///
/// A call ends within three seconds: what takes longer, like a server that is away, loading, out
/// of memory, read-only or overloaded, is [`StoreErrorKind::Unavailable`]. The connection is made
/// by the first call, and made anew when it is lost or its server says that it is a replica. So a
/// name that another server takes over is enough to follow a failover.
///
/// What an acknowledged put survives is up to the server. Only `appendfsync always` keeps all of
/// them when the server is killed; `everysec` may lose the last seconds, and a failover what was
/// not replicated yet. Its eviction policy has to be `noeviction`: all keys have a time to live, so
/// any other one removes the records of unfinished uploads, and receipts, when memory is short.
///
/// Keys expire by the server's clock; the leases inside the records are compared by the clocks of
/// the processes that use it.
pub struct RedisStore {
    connector: Connector,
    prefix: String,
    versions: FreshVersions,
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

    /// Makes a store on the server that `client` connects to, with all of its settings: certificates,
    /// user, time limits.
    ///
    /// The store makes its own connections, so it follows a failover as [`connect`](Self::connect) does.
    /// Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Failed`] if the prefix has braces or is longer than [`REDIS_PREFIX_BYTES_MAX`].
    pub fn with_client(client: redis::Client, prefix: &str) -> Result<Self, StoreError> {
        Self::new(Connector::client(client), prefix)
    }

    /// Makes a store on a connection of the application's, which it shares with the application.
    ///
    /// The connection reconnects by itself when it is lost. After a failover whose old primary keeps its
    /// connections, only the application can give it up: behind Sentinel, or a name that moves to another
    /// server, use [`with_client`](Self::with_client), or make a new store.
    ///
    /// # Errors
    ///
    /// See [`with_client`](Self::with_client).
    pub fn with_connection(
        connection: redis::aio::ConnectionManager,
        prefix: &str,
    ) -> Result<Self, StoreError> {
        Self::new(Connector::given_single(connection), prefix)
    }

    /// Makes a store on a connection of the application's to a cluster, which follows the cluster's failovers.
    ///
    /// # Errors
    ///
    /// See [`with_client`](Self::with_client).
    pub fn with_cluster_connection(
        connection: redis::cluster_async::ClusterConnection,
        prefix: &str,
    ) -> Result<Self, StoreError> {
        Self::new(Connector::given_cluster(connection), prefix)
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
            versions: FreshVersions::default(),
        })
    }

    fn read(&self, key: &UploadKey) -> Cmd {
        let mut command = Cmd::new();
        let names = Names::of(&self.prefix, key.owner());
        command.arg("GET").arg(names.record(&key.upload_hex()));
        command
    }

    /// Runs a script on the keys of an owner.
    async fn run<T: FromRedisValue>(
        &self,
        operation: &Operation,
        names: &Names,
        upload: &str,
        arguments: &[&[u8]],
        retry: Retry,
    ) -> Result<T, StoreError> {
        let command = |name: &str, script: &str| {
            let mut command = Cmd::new();
            command
                .arg(name)
                .arg(script)
                .arg(3)
                .arg(names.record(upload))
                .arg(names.index())
                .arg(names.facts())
                .arg(arguments);
            command
        };
        let by_hash = command("EVALSHA", &operation.hash);
        let answer: redis::RedisResult<T> = self.connector.query(&by_hash, retry).await;
        let answer = match answer {
            // A server that restarted forgot the script. Sending it with the call, instead of
            // loading it first, reaches the right server of a cluster.
            Err(error) if trouble::is_unknown_script(&error) => {
                let by_text = command("EVAL", operation.text);
                self.connector.query(&by_text, retry).await
            }
            answer => answer,
        };
        answer.map_err(trouble::sort)
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
        let value: Option<Vec<u8>> = self
            .connector
            .query(&self.read(key), Retry::Always)
            .await
            .map_err(trouble::sort)?;
        Ok(value.map(unpack).transpose()?.map(|(stored, _)| stored))
    }

    async fn put_with(&self, key: &UploadKey, put: Put<'_>) -> Result<Version, PutError> {
        check_record(put.record)?;
        let version = self.versions.fresh();
        let number = |number: u64| number.to_string().into_bytes();
        let limit = |of: fn(OwnerLimit) -> u64| put.limit.map(|limit| number(of(limit)));
        let upload = key.upload_hex();
        let arguments = [
            expected(put.expect),
            pack(version, put.facts, put.record),
            number(ttl_millis(put.ttl)),
            upload.clone().into_bytes(),
            number(u64::from(put.facts.counts_as.code())),
            number(put.facts.bytes()),
            number(bytes_of(key, put.record) as u64),
            limit(|limit| limit.records).unwrap_or_default(),
            limit(|limit| limit.bytes).unwrap_or_default(),
            limit(|limit| limit.stored_bytes).unwrap_or_default(),
        ];
        let arguments = arguments.each_ref().map(Vec::as_slice);
        let names = Names::of(&self.prefix, key.owner());
        loop {
            let put = self.run(&PUT, &names, &upload, &arguments, Retry::Always);
            match put.await? {
                1 => return Ok(version),
                2 => return Err(PutError::OverLimit),
                // More of the owner's records expired than one call counts out; other calls come between.
                3 => {}
                _ => return Err(PutError::Conflict),
            }
        }
    }

    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError> {
        // Asked twice, a delete that worked would find nothing and look like a conflict.
        let retry = match expect {
            Expect::Absent => Retry::Always,
            Expect::Version(_) => Retry::Unsent,
        };
        let upload = key.upload_hex();
        let names = Names::of(&self.prefix, key.owner());
        let arguments = [&expected(expect)[..], upload.as_bytes()];
        match self
            .run(&DELETE, &names, &upload, &arguments, retry)
            .await?
        {
            1 => Ok(()),
            _ => Err(PutError::Conflict),
        }
    }

    /// A page has about as many records as were asked for; that of an owner with few records has them all.
    async fn list(
        &self,
        owner: Option<&str>,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        self.walk(owner, after, page_records(most)).await
    }

    /// Of all owners, what expired is counted until its owner's next put or delete.
    async fn count(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        let Some(owner) = owner else {
            return self.count_all().await;
        };
        let names = Names::of(&self.prefix, owner);
        loop {
            let count = self.run(&COUNT, &names, "", &[], Retry::Always);
            let [n1, b1, n2, b2, n, b, is_more]: [String; 7] = count.await?;
            if is_more == "0" {
                let sums = [n1, b1, n2, b2, n, b];
                return Ok(counts(sums.map(|sum| sum.parse().unwrap_or_default())));
            }
        }
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// The header a script should find; nothing is there exactly if it finds no bytes.
fn expected(expect: Expect) -> Vec<u8> {
    match expect {
        Expect::Absent => Vec::new(),
        Expect::Version(version) => compared(version).to_vec(),
    }
}

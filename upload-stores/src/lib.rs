//! Where resume records live: memory, an embedded database, Redis, Postgres.
//!
//! A record is opaque bytes under an [`UploadKey`], guarded by a [`Version`] and a time to live.
//! Leases, epochs and phases are inside the record, so every store fences the same way. A holder that was
//! overtaken finds its next [`put`](UploadStateStore::put_with) answered by [`PutError::Conflict`] and stops.
//!
//! Next to the record a store keeps its [`Facts`]: whether it counts as an unfinished upload, a waiting one or
//! nothing, and its declared bytes. By them and the owner, records are listed, counted, and limited per owner in
//! the same step as a put.
//!
//! | store | feature | survives | shared between processes |
//! |---|---|---|---|
//! | [`MemoryStore`] | | nothing | no |
#![cfg_attr(
    feature = "redb",
    doc = "| [`RedbStore`] | `redb` | restart, `kill -9`; power loss with [`RedbDurability::Disk`] | no |"
)]
#![cfg_attr(
    feature = "redis",
    doc = "| [`RedisStore`] | `redis` | whatever the Redis server survives | yes |"
)]
#![cfg_attr(
    feature = "postgres",
    doc = "| [`PostgresStore`] | `postgres` | whatever the Postgres server survives | yes |"
)]
//!
//! Payload bytes never come here; they belong to writers.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "testing")]
pub mod conformance;
mod count;
mod error;
#[cfg(feature = "testing")]
mod faulty;
mod key;
mod list;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "redis")]
mod redis;
mod room;
mod store;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod versions;

#[cfg(feature = "redb")]
pub use self::redb::{
    REDB_BYTES_MAX, REDB_CACHE_BYTES, REDB_OVERHEAD_BYTES, REDB_RECORDS_MAX, RedbDurability,
    RedbOptions, RedbStore,
};
#[cfg(feature = "redis")]
pub use self::redis::{REDIS_PREFIX_BYTES_MAX, RedisStore};
pub use count::{Counts, CountsAs, DECLARED_BYTES_MAX, Facts, OwnerLimit, Tally};
pub use error::{PutError, StoreError, StoreErrorKind};
#[cfg(feature = "testing")]
pub use faulty::{Fault, FaultOn, FaultyStore};
pub use key::{KeyError, OWNER_BYTES_MAX, UploadKey};
pub use list::{Cursor, Listed, PAGE_RECORDS_MAX, Page};
pub use memory::{MEMORY_BYTES_MAX, MEMORY_OVERHEAD_BYTES, MEMORY_RECORDS_MAX, MemoryStore};
#[cfg(feature = "postgres")]
pub use postgres::{POSTGRES_CONNECTIONS_MAX, POSTGRES_SCHEMA, PgConnection, PostgresStore};
pub use room::OWNER_SHARE;
pub use store::{Expect, Put, RECORD_BYTES_MAX, TTL_MAX, UploadStateStore, Version, Versioned};

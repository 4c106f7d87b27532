//! Where resume records live: memory, an embedded database, Redis.
//!
//! A record is opaque bytes under an [`UploadKey`], guarded by a [`Version`] and a time to live.
//! Three conditional operations are all a store needs: leases, epochs and phases stand inside the
//! record, so every store fences the same way. A holder that was overtaken finds its next
//! [`put`](UploadStateStore::put) answered by [`PutError::Conflict`] and stops.
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
//!
//! Payload bytes never come here; they belong to writers.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "testing")]
pub mod conformance;
mod error;
#[cfg(feature = "testing")]
mod faulty;
mod key;
mod memory;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "redis")]
mod redis;
mod store;

#[cfg(feature = "redb")]
pub use self::redb::{REDB_CACHE_BYTES, REDB_RECORDS_MAX, RedbDurability, RedbOptions, RedbStore};
#[cfg(feature = "redis")]
pub use self::redis::{REDIS_PREFIX_BYTES_MAX, RedisStore};
pub use error::{PutError, StoreError, StoreErrorKind};
#[cfg(feature = "testing")]
pub use faulty::{Fault, FaultOn, FaultyStore};
pub use key::{KeyError, OWNER_BYTES_MAX, UploadKey};
pub use memory::{MEMORY_BYTES_MAX, MEMORY_RECORDS_MAX, MemoryStore};
pub use store::{Expect, RECORD_BYTES_MAX, TTL_MAX, UploadStateStore, Version, Versioned};

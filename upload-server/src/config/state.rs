//! `[state]`: which store keeps resume records, and where it is.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, Secret, Size, Time};

/// The kinds of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// In the process; a restart loses it.
    Memory,
    /// In a file in `state_dir`.
    Embedded,
    /// In Redis, shared by several servers.
    Redis,
    /// In a table of a Postgres database, shared by several servers.
    Postgres,
}

impl StoreKind {
    /// Returns its name in the configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Embedded => "embedded",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

/// `[state]`: where resume records live, and how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StateConfig {
    /// The store of slots that name none.
    pub store: StoreKind,
    /// Where Redis is; kept out of debug output, since it may hold a password.
    pub redis_url: Option<Secret>,
    /// Where Postgres is, and its database; kept out of debug output, since it may hold a password.
    pub postgres_url: Option<Secret>,
    /// The most bytes of records: by default 64 MiB in memory, and 256 MiB in the embedded store.
    pub max_bytes: Option<Size>,
    /// How long a record lives without progress (PROTOCOL RESUME-8).
    pub ttl_seconds: Time,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            store: StoreKind::Embedded,
            redis_url: None,
            postgres_url: None,
            max_bytes: None,
            ttl_seconds: Time(Duration::from_secs(3600)),
        }
    }
}

impl StateConfig {
    /// Checks that this build has a store of this kind, and that it knows where it is.
    pub(super) fn check(&self, kind: StoreKind) -> Result<(), ConfigError> {
        let (name, is_built, url) = match kind {
            StoreKind::Memory | StoreKind::Embedded => return Ok(()),
            StoreKind::Redis => ("redis", cfg!(feature = "redis"), &self.redis_url),
            StoreKind::Postgres => ("postgres", cfg!(feature = "postgres"), &self.postgres_url),
        };
        if !is_built {
            let why = format!("\"{name}\" needs a build with the feature \"{name}\"");
            return Err(ConfigError::invalid("state.store", why));
        }
        if url.is_none() {
            let why = format!("is needed for the store \"{name}\"");
            return Err(ConfigError::invalid(&format!("state.{name}_url"), why));
        }
        Ok(())
    }
}

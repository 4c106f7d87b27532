//! From a configuration to a server that can run.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use upload_stores::{MemoryStore, RedbDurability, RedbStore, UploadStateStore};
use upload_writers::Durability;

use super::{Config, ConfigError, DurabilityKind, StoreKind};
use crate::{shutdown::Ending, uploads::Uploads};

/// Name within `data_dir` of the directory for state, where none is configured.
const STATE_DIR: &str = ".state";

/// A server made from a configuration.
pub struct Server {
    /// What to mount.
    pub uploads: Uploads,
    embedded: Option<Arc<RedbStore>>,
}

impl Server {
    /// Drains, see [`Uploads::shutdown`], and closes the embedded store.
    pub async fn shutdown(&self) -> bool {
        let ending = Ending::begin(&self.uploads.app.shared.limits);
        let at_rest = self.uploads.shutdown().await;
        if let Some(store) = &self.embedded
            && let Some(Err(error)) = ending.close("embedded store", store.close()).await
        {
            tracing::warn!(%error, "the embedded store did not close");
        }
        at_rest
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Config {
    /// Returns where the embedded store and the journal of hooks and events live.
    pub fn state_dir(&self) -> PathBuf {
        let configured = self.state_dir.clone();
        configured.unwrap_or_else(|| self.data_dir.join(STATE_DIR))
    }

    /// Makes directories, opens stores and builds the server.
    ///
    /// # Errors
    ///
    /// A directory cannot be made or written, or a store cannot be opened.
    pub async fn open(&self) -> Result<Server, ConfigError> {
        let mut stores = Stores::default();
        let mut builder = Uploads::builder()
            .data_dir(&self.data_dir)
            .durability(match self.durability {
                DurabilityKind::Process => Durability::Process,
                DurabilityKind::Disk => Durability::Disk,
            })
            .limits(self.limits())
            .allowed_origins(&self.allowed_origins)
            .require_origin(self.require_origin)
            .trust_proxy(self.trust_proxy)
            .store(stores.open(self.state.store, self).await?);
        if let Some(dir) = &self.temp_dir {
            builder = builder.temp_dir(dir);
        }
        if let Some(secret) = &self.secret {
            builder = builder.secret(secret.0.as_bytes());
        }
        builder = builder.state_dir(self.state_dir());
        if let Some(webhook) = &self.webhook {
            builder = builder.webhook(&webhook.secret.0);
        }
        for (number, hook) in self.hooks.iter().enumerate() {
            builder = builder.hook(hook.hook(number)?);
        }
        for (name, slot) in &self.slots {
            let mut options = slot.options(name)?;
            if let Some(writers) = slot.remote_writer(name).await? {
                options = options.shared_writer(writers);
            }
            if let Some(kind) = slot.store {
                options = options.store(stores.open(kind, self).await?);
            }
            builder = builder.allow_upload(name, options);
        }
        Ok(Server {
            uploads: builder.build()?,
            embedded: stores.embedded,
        })
    }
}

/// The stores in use, one of each kind.
#[derive(Default)]
struct Stores {
    open: BTreeMap<StoreKind, Arc<dyn UploadStateStore>>,
    embedded: Option<Arc<RedbStore>>,
}

impl Stores {
    async fn open(
        &mut self,
        kind: StoreKind,
        config: &Config,
    ) -> Result<Arc<dyn UploadStateStore>, ConfigError> {
        if let Some(store) = self.open.get(&kind) {
            return Ok(Arc::clone(store));
        }
        let store: Arc<dyn UploadStateStore> = match kind {
            StoreKind::Memory => Arc::new(MemoryStore::new()),
            StoreKind::Embedded => {
                let store = embedded(&config.state_dir(), config.durability).await?;
                self.embedded = Some(Arc::clone(&store));
                store
            }
            StoreKind::Redis => redis(config)?,
        };
        self.open.insert(kind, Arc::clone(&store));
        Ok(store)
    }
}

pub(super) async fn embedded(
    dir: &Path,
    durability: DurabilityKind,
) -> Result<Arc<RedbStore>, ConfigError> {
    let durability = match durability {
        DurabilityKind::Process => RedbDurability::Process,
        DurabilityKind::Disk => RedbDurability::Disk,
    };
    let store = RedbStore::open(dir, durability).await?;
    if let Some(damaged) = store.set_aside() {
        tracing::warn!(file = %damaged.display(), "the embedded store was damaged and begun anew");
    }
    Ok(Arc::new(store))
}

#[cfg(feature = "redis")]
fn redis(config: &Config) -> Result<Arc<dyn UploadStateStore>, ConfigError> {
    /// What keys in Redis begin with.
    const PREFIX: &str = "upload:";

    let url = config.state.redis_url.as_ref();
    let url = url.ok_or_else(|| ConfigError::invalid("state.redis_url", "is missing"))?;
    Ok(Arc::new(upload_stores::RedisStore::connect(
        &url.0, PREFIX,
    )?))
}

#[cfg(not(feature = "redis"))]
fn redis(config: &Config) -> Result<Arc<dyn UploadStateStore>, ConfigError> {
    config.state.check_redis()?;
    Err(ConfigError::invalid(
        "state.store",
        "\"redis\" is not part of this build",
    ))
}

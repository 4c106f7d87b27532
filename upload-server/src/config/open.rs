//! From a configuration to a server that can run.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use upload_stores::{
    MEMORY_BYTES_MAX, MEMORY_RECORDS_MAX, MemoryStore, RedbDurability, RedbOptions, RedbStore,
    UploadKey, UploadStateStore,
};
use upload_writers::Durability;

use super::{Config, ConfigError, DurabilityKind, StoreKind, listen::Ways};
use crate::{
    app::uploads::Uploads, auth::Auth, metrics, server::shutdown::ShutdownDeadline, slots::timeouts,
};

/// Name within `data_dir` of the directory for state, where none is configured.
const STATE_DIR: &str = ".state";

/// How often the disk is looked at.
const GAUGES_EVERY: Duration = Duration::from_secs(10);

/// A server made from a configuration.
pub struct Server {
    /// What to mount.
    pub uploads: Uploads,
    pub(super) ways: Ways,
    auth: Option<Arc<Auth>>,
    temp_dir: PathBuf,
    stores: BTreeMap<StoreKind, Arc<dyn UploadStateStore>>,
    embedded: Option<Arc<RedbStore>>,
}

impl Server {
    /// Returns the routes below `/uploads`, behind the configured sign-in.
    pub fn router(&self) -> Router {
        match &self.auth {
            // No one is asked about visitors of other hosts, or of an address that asks too much.
            Some(auth) => self.uploads.router_behind(|routes| auth.protect(routes)),
            None => self.uploads.router(),
        }
    }

    /// Measures every few seconds what no event tells of: the disk, the stores, and what is parked; never ends.
    pub async fn keep_gauges(&self) {
        let mut ticks = tokio::time::interval(GAUGES_EVERY);
        loop {
            ticks.tick().await;
            let dir = self.temp_dir.clone();
            let disk = tokio::task::spawn_blocking(move || {
                let facts = rustix::fs::statvfs(&dir).ok()?;
                Some(metrics::Disk {
                    free: facts.f_bavail.saturating_mul(facts.f_frsize),
                    all: facts.f_blocks.saturating_mul(facts.f_frsize),
                })
            });
            let parked = self.uploads.app.shared.registry.parked();
            metrics::stand(disk.await.ok().flatten(), parked);
            for (kind, store) in &self.stores {
                // A store in trouble is logged by the calls that need it.
                if let Some(Ok(counts)) = timeouts::of_store(store.count(None)).await {
                    metrics::store_has(kind.name(), &counts);
                }
            }
        }
    }

    /// Returns whether the server takes uploads: it does not drain, and its stores answer.
    ///
    /// # Errors
    ///
    /// It does not; this is why.
    pub async fn is_ready(&self) -> Result<(), &'static str> {
        let shared = &self.uploads.app.shared;
        if shared.draining.is_cancelled() {
            return Err("draining\n");
        }
        for store in shared.stores(&shared.slots) {
            let key = UploadKey::new("ready", [0; 16]);
            let key = key.map_err(|_| "no store can be asked\n")?;
            let looked = timeouts::of_store(store.get(&key)).await;
            if !matches!(looked, Some(Ok(_))) {
                return Err("a store does not answer\n");
            }
        }
        Ok(())
    }

    /// Drains, see [`Uploads::shutdown`], and closes the embedded store.
    pub async fn shutdown(&self) -> bool {
        let ending = ShutdownDeadline::begin(&self.uploads.app.shared.limits);
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
            .min_free(self.min_free.0)
            .allowed_origins(&self.allowed_origins)
            .require_origin(self.require_origin)
            .trust_proxy(self.trust_proxy)
            .trusted_proxies(&self.trusted_proxies)
            .store(stores.open(self.state.store, self).await?);
        if let Some(bytes) = self.max_unfinished_bytes {
            builder = builder.max_unfinished_bytes(bytes.0);
        }
        if let Some(dir) = &self.temp_dir {
            builder = builder.temp_dir(dir);
        }
        if let Some(url) = &self.public_url {
            builder = builder.public_url(url);
        }
        if let Some(address) = &self.form_redirect {
            builder = builder.form_redirect(address);
        }
        if let Some(on) = self.capability_urls {
            builder = builder.capability_urls(on);
        }
        if let Some(secret) = &self.secret {
            builder = builder.secret(secret.expose().as_bytes());
        }
        if let Some(hosts) = self.host_rule() {
            builder = builder.allowed_hosts(hosts);
        }
        let previous = self.previous_secrets.iter();
        builder = builder.previous_secrets(previous.map(|secret| secret.expose().as_bytes()));
        builder = builder.state_dir(self.state_dir());
        if let Some(webhook) = &self.webhook {
            builder = builder.webhook(webhook.secret.expose());
        }
        if let Some(hook) = &self.deciding_hook {
            let decider = Arc::new(hook.decider()?);
            builder = builder.decided_by(move |request| {
                let decider = Arc::clone(&decider);
                async move { decider.decide(request).await }
            });
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
        let uploads = builder.build()?;
        let transport = uploads.app.identity.transport.clone();
        let ways = self.ways(transport.proxies.clone())?;
        let auth = self.auth.as_ref().map(|auth| auth.open(transport));
        Ok(Server {
            uploads,
            ways,
            auth: auth.transpose()?.flatten(),
            // Where nothing is stored here, the directory of files is not made.
            temp_dir: self
                .temp_dir
                .clone()
                .unwrap_or_else(|| self.data_dir.clone()),
            stores: stores.open,
            embedded: stores.embedded,
        })
    }
}

/// The stores in use, one of each kind.
#[derive(Default)]
pub(super) struct Stores {
    open: BTreeMap<StoreKind, Arc<dyn UploadStateStore>>,
    pub(super) embedded: Option<Arc<RedbStore>>,
}

impl Stores {
    pub(super) async fn open(
        &mut self,
        kind: StoreKind,
        config: &Config,
    ) -> Result<Arc<dyn UploadStateStore>, ConfigError> {
        if let Some(store) = self.open.get(&kind) {
            return Ok(Arc::clone(store));
        }
        let store: Arc<dyn UploadStateStore> = match kind {
            StoreKind::Memory => memory(config),
            StoreKind::Embedded => {
                let store = embedded(config).await?;
                self.embedded = Some(Arc::clone(&store));
                store
            }
            StoreKind::Redis => redis(config)?,
            StoreKind::Postgres => postgres(config)?,
        };
        self.open.insert(kind, Arc::clone(&store));
        Ok(store)
    }

    /// Closes the embedded store where it is open, so that another process can have it.
    pub(super) async fn close_embedded(&mut self) -> Result<(), ConfigError> {
        self.open.remove(&StoreKind::Embedded);
        if let Some(store) = self.embedded.take() {
            store.close().await?;
        }
        Ok(())
    }
}

fn memory(config: &Config) -> Arc<dyn UploadStateStore> {
    let bytes = config.state.max_bytes.map(|bytes| bytes.0);
    let bytes = bytes.map_or(MEMORY_BYTES_MAX, |bytes| {
        usize::try_from(bytes).unwrap_or(usize::MAX)
    });
    Arc::new(MemoryStore::with_limits(MEMORY_RECORDS_MAX, bytes))
}

async fn embedded(config: &Config) -> Result<Arc<RedbStore>, ConfigError> {
    let mut options = RedbOptions {
        durability: match config.durability {
            DurabilityKind::Process => RedbDurability::Process,
            DurabilityKind::Disk => RedbDurability::Disk,
        },
        ..RedbOptions::default()
    };
    if let Some(bytes) = config.state.max_bytes {
        options.bytes_max = bytes.0;
    }
    let store = RedbStore::open_with(config.state_dir(), options).await?;
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
        url.expose(),
        PREFIX,
    )?))
}

#[cfg(not(feature = "redis"))]
fn redis(_: &Config) -> Result<Arc<dyn UploadStateStore>, ConfigError> {
    Err(not_built("redis"))
}

#[cfg(feature = "postgres")]
fn postgres(config: &Config) -> Result<Arc<dyn UploadStateStore>, ConfigError> {
    let url = config.state.postgres_url.as_ref();
    let url = url.ok_or_else(|| ConfigError::invalid("state.postgres_url", "is missing"))?;
    Ok(Arc::new(upload_stores::PostgresStore::connect(
        url.expose(),
    )?))
}

#[cfg(not(feature = "postgres"))]
fn postgres(_: &Config) -> Result<Arc<dyn UploadStateStore>, ConfigError> {
    Err(not_built("postgres"))
}

#[cfg(not(all(feature = "redis", feature = "postgres")))]
fn not_built(name: &str) -> ConfigError {
    ConfigError::invalid(
        "state.store",
        format!("\"{name}\" is not part of this build"),
    )
}

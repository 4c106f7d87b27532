//! Removing what expired, without a server.

use std::{collections::BTreeSet, sync::Arc};

use upload_writers::{FileWriterConfig, FileWriterFactory, NamedUploads, WriterFactory};

use super::{Config, ConfigError, SlotConfig, StoreKind, WriterKind, open::Stores};
use crate::{
    app::build_error::BuildError,
    server::reaper::{self, SweepReport, Sweepers},
    slots::named::named,
};

impl Config {
    /// Removes what no upload holds any more, or with `dry_run` only lists it (PROTOCOL RESUME-8).
    ///
    /// It may run next to a server: unfinished files are locked, and multipart uploads that a record names
    /// stay. Where the records are out of reach, in the memory or the embedded store of a running server,
    /// multipart uploads and that store are left to the server. A server can start meanwhile: the embedded store is
    /// not kept open while writers are swept.
    ///
    /// # Errors
    ///
    /// The directories do not serve.
    pub async fn sweep(&self, dry_run: bool) -> Result<SweepReport, ConfigError> {
        let mut remote: Vec<Arc<dyn WriterFactory>> = Vec::new();
        for (name, slot) in &self.slots {
            remote.extend(slot.remote_writer(name).await?);
        }
        self.sweep_with(remote, dry_run).await
    }

    /// Sweeps with these writers into buckets.
    pub(super) async fn sweep_with(
        &self,
        remote: Vec<Arc<dyn WriterFactory>>,
        dry_run: bool,
    ) -> Result<SweepReport, ConfigError> {
        let mut sweepers = Sweepers::default();
        let has_remote = !remote.is_empty();
        for writers in remote {
            sweepers.add_writers(writers);
        }
        let is_file = |slot: &SlotConfig| slot.writer == WriterKind::File && !slot.direct;
        if self.slots.values().any(is_file) {
            let mut files = FileWriterConfig::new(&self.data_dir);
            if let Some(dir) = &self.temp_dir {
                files.temp_dir.clone_from(dir);
            }
            let files = FileWriterFactory::new(files).map_err(BuildError::Files)?;
            sweepers.add_writers(Arc::new(files));
        }
        let mut stores = Stores::default();
        let mut opened = SweepReport::default();
        let named = match has_remote {
            true => self.named(&mut stores, &mut opened).await,
            // Files are locked by their holders.
            false => NamedUploads::default(),
        };
        let was_open = stores.embedded.is_some();
        // A sweep takes as long as a bucket is large, and a server may be about to start.
        stores.close_embedded().await?;
        let policy = reaper::policy(&self.limits(), named, dry_run);
        let mut swept = sweepers.sweep_writers(&policy).await;
        swept.failures = swept.failures.saturating_add(opened.failures);
        swept.is_served = opened.is_served;
        // Memory has nothing without its server, Redis forgets by itself, and Postgres is swept by every server.
        if !dry_run && (was_open || !has_remote) && self.kinds().contains(&StoreKind::Embedded) {
            match self.sweep_embedded(&mut stores).await {
                Ok(records) => swept.records = swept.records.saturating_add(records),
                Err(error) => swept.not_opened(&error),
            }
        }
        Ok(swept)
    }

    /// Returns the kinds of stores in use.
    fn kinds(&self) -> BTreeSet<StoreKind> {
        let slots = self.slots.values();
        let kinds = slots.map(|slot| slot.store.unwrap_or(self.state.store));
        kinds.collect()
    }

    /// Reads what all records name; it is unknown where a store is out of reach.
    async fn named(&self, stores: &mut Stores, opened: &mut SweepReport) -> NamedUploads {
        let (mut all, mut is_whole) = (Vec::new(), true);
        for kind in self.kinds() {
            if kind == StoreKind::Memory {
                is_whole = false;
                continue;
            }
            match stores.open(kind, self).await {
                Ok(store) => all.push(store),
                Err(error) => {
                    is_whole = false;
                    opened.not_opened(&error);
                }
            }
        }
        match is_whole {
            true => named(&all).await,
            false => NamedUploads::unknown(),
        }
    }

    async fn sweep_embedded(&self, stores: &mut Stores) -> Result<u64, ConfigError> {
        let store = stores.open(StoreKind::Embedded, self).await?;
        let swept = store.sweep().await;
        stores.close_embedded().await?;
        Ok(swept?)
    }
}

impl SweepReport {
    /// Notes that a store could not be opened, or swept.
    fn not_opened(&mut self, error: &ConfigError) {
        match error {
            ConfigError::Store(error) if error.is_in_use() => self.is_served = true,
            error => {
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(%error, "a store was not opened or not swept");
            }
        }
    }
}

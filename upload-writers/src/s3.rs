//! Uploads straight into an S3 bucket, with the user's own client of the AWS SDK.
//!
//! A file of one part is stored by a single request. A larger one is a multipart upload: parts are
//! sent while the next ones are received, each with its CRC32C, and put together on close. What a
//! request's lost answer leaves in doubt is looked up by the upload's key, which no other has.
//!
//! # Going on
//!
//! A checkpoint names the multipart upload; the bucket itself tells which parts it has. Reopened at
//! an offset, the writer keeps the parts before it. Parts past it are not believed, but one that has
//! the size and the CRC32C of the bytes that come again is not sent again (where the provider lists
//! checksums). An offset *inside* a stored part keeps that part: its rest comes again and is compared
//! by its CRC32C. Where the part's or the file's is not known it rests on the client's proof that its
//! file is the same (PROTOCOL RESUME-6).
//!
//! S3 cannot keep an old holder from sending parts. That there is one holder is up to the lease of
//! the upload's record.

mod config;
mod errors;
mod live;
mod ops;
mod payload;
mod reopen;
mod retry;
mod sink;
mod sweep;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;

pub use self::config::{RetryPolicy, S3Checksums, S3ConfigError, S3Provider, S3WriterConfig};
use self::{live::LiveSet, ops::Bucket, sink::S3Sink};
use crate::{
    buffered::BufferedUploadWriter,
    error::WriteError,
    parts::PartPlan,
    writer::{BoxWriter, Checkpoint, Reopened, Stray, SweepPolicy, UploadFacts, WriterFactory},
};

/// Makes writers that store each upload as an object `<prefix><owner scope>/<uuid>-<safe name>`.
///
/// Their result is `{"bucket", "key", "etag", "size"}`. The owner scope is a hash; the uuid is made
/// here. Content type, disposition and the upload's id stand on the object.
/// Each writer holds at most [`held_bytes_max`](Self::held_bytes_max) in memory.
/// Cloning is cheap. It needs a tokio runtime with time enabled.
#[derive(Clone, Debug)]
pub struct S3WriterFactory {
    shared: Arc<Shared>,
}

/// What all writers of a factory share.
#[derive(Debug)]
struct Shared {
    config: S3WriterConfig,
    bucket: Bucket,
    live: LiveSet,
}

impl S3WriterFactory {
    /// Takes the user's client. Its retries and its protection against stalled streams are replaced
    /// by [`RetryPolicy`]; everything else of it counts. Makes no request.
    ///
    /// # Errors
    ///
    /// When the configuration cannot work with any bucket.
    pub fn new(client: &Client, config: S3WriterConfig) -> Result<Self, S3ConfigError> {
        config.check()?;
        let bucket = Bucket::new(client, &config);
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                bucket,
                live: LiveSet::default(),
            }),
        })
    }

    /// Tells how the factory is configured.
    pub fn config(&self) -> &S3WriterConfig {
        &self.shared.config
    }

    /// Tells how many bytes a writer for a file of `client_size` bytes holds at most: the parts in
    /// flight, and the one that is being filled up or waits for a place. The batch it was just given
    /// comes on top.
    pub fn held_bytes_max(&self, client_size: u64) -> u64 {
        let config = &self.shared.config;
        let plan = PartPlan::for_size(client_size, &config.profile());
        let part_bytes = plan.map_or(0, |plan| plan.part_bytes);
        let parts = u64::try_from(config.max_parts_in_flight.max(1)).unwrap_or(u64::MAX);
        let most = part_bytes.saturating_mul(parts.saturating_add(1));
        most.min(client_size)
    }
}

#[async_trait]
impl WriterFactory for S3WriterFactory {
    fn create(&self, facts: &UploadFacts) -> BoxWriter {
        let sink = S3Sink::new(Arc::clone(&self.shared), facts);
        let part_bytes = sink.part_bytes();
        Box::new(BufferedUploadWriter::new(sink, part_bytes))
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        reopen::reopen(&self.shared, facts, checkpoint, offset).await
    }

    fn can_reopen(&self) -> bool {
        true
    }

    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Stray>, WriteError> {
        sweep::sweep(&self.shared, policy).await
    }
}

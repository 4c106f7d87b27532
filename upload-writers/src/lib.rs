//! Where uploaded bytes are kept: the writer contract, a durable file writer, buffered parts.
//!
//! - [`UploadWriter`] is one upload's storage and [`WriterFactory`] makes, reopens and sweeps them;
//!   the contract is the trait's documentation, and [`CheckedWriter`] keeps callers to it.
//! - [`FileWriterFactory`] keeps uploads in files: written under a temporary name, published by one
//!   atomic rename.
//! - [`BufferedUploadWriter`] cuts the stream into equal parts for storage that wants parts, and
//!   [`PartPlan`] chooses how large they are.
//! - Feature `multipart`: `MultipartWriterFactory` makes resumable writers over any storage that takes parts,
//!   a `MultipartBackend`.
//! - Feature `s3`: `S3WriterFactory` sends uploads into a bucket with the user's client of the AWS SDK.
//! - Feature `object-store`: `ObjectStoreWriterFactory` sends them into the user's store of that crate.
//! - [`DiscardWriterFactory`] counts bytes and drops them, for benchmarks.
//! - Feature `testing` adds the conformance suite every writer passes, a decorator that injects
//!   faults, and an in-memory writer that records the calls made to it.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod buffered;
mod checked;
#[cfg(feature = "testing")]
pub mod conformance;
mod discard;
mod error;
#[cfg(feature = "testing")]
mod faulty;
mod file;
#[cfg(all(feature = "s3", feature = "object-store"))]
mod guide;
#[cfg(feature = "multipart")]
mod key;
#[cfg(feature = "multipart")]
mod multipart;
mod name;
#[cfg(feature = "object-store")]
mod object_store;
mod parts;
#[cfg(feature = "testing")]
mod recorder;
#[cfg(feature = "s3")]
mod s3;
#[cfg(all(feature = "testing", feature = "object-store"))]
#[doc(hidden)]
pub mod testing;
mod unfinished;
mod writer;

pub use buffered::{BufferedUploadWriter, PartSink};
pub use checked::CheckedWriter;
pub use discard::DiscardWriterFactory;
pub use error::{AbortReason, WriteError, WriteErrorKind};
#[cfg(feature = "testing")]
pub use faulty::{Call, Fault, FaultyWriterFactory};
pub use file::{Durability, FileSetupError, FileWriterConfig, FileWriterFactory};
#[cfg(feature = "multipart")]
pub use multipart::{
    BackendError, ListParts, ListUploads, Meaning, MultipartBackend, MultipartConfig,
    MultipartWriterFactory, NewObject, Payload, RetryPolicy, StoredObject, StoredPart,
    UnfinishedUpload, UploadsMarker, UploadsPage, Whole,
};
pub use name::is_folder;
#[cfg(feature = "object-store")]
pub use object_store::{ObjectStoreSetupError, ObjectStoreWriterConfig, ObjectStoreWriterFactory};
pub use parts::{FileTooLarge, Part, PartCutter, PartPlan, PartProfile};
#[cfg(feature = "testing")]
pub use recorder::{Recorded, RecordingWriterFactory};
#[cfg(feature = "s3")]
pub use s3::{S3Checksums, S3ConfigError, S3Provider, S3WriterConfig, S3WriterFactory};
pub use unfinished::{Unfinished, remove_unfinished};
pub use writer::{
    BoxWriter, Buffered, CHECKPOINT_BYTES_MAX, Checkpoint, NamedUploads, Orphan, Reopened,
    SweepPolicy, UploadFacts, UploadWriter, WriterFactory, WriterTraits, Written, is_coding,
};

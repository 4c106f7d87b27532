//! Where uploaded bytes are kept: the writer contract, a durable file writer, buffered parts.
//!
//! - [`UploadWriter`] is one upload's storage and [`WriterFactory`] makes, reopens and sweeps them;
//!   the contract stands in the trait's documentation.
//! - [`FileWriterFactory`] keeps uploads in files: written under a temporary name, published by one
//!   atomic rename.
//! - [`BufferedUploadWriter`] cuts the stream into equal parts for storage that wants parts, and
//!   [`PartPlan`] chooses how large they are.
//! - [`DiscardWriterFactory`] counts bytes and drops them, for benchmarks.
//! - Feature `testing` adds the conformance suite every writer passes, a decorator that injects
//!   faults, and an in-memory writer that records the calls made to it.

mod buffered;
#[cfg(feature = "testing")]
pub mod conformance;
mod discard;
mod error;
#[cfg(feature = "testing")]
mod faulty;
mod file;
mod life;
mod parts;
#[cfg(feature = "testing")]
mod recorder;
mod writer;

pub use buffered::{BufferedUploadWriter, PartSink};
pub use discard::DiscardWriterFactory;
pub use error::{AbortReason, WriteError, WriteErrorKind};
#[cfg(feature = "testing")]
pub use faulty::{Call, Fault, FaultyWriterFactory};
pub use file::{Durability, FileSetupError, FileWriterConfig, FileWriterFactory};
pub use parts::{FileTooLarge, Part, PartCutter, PartPlan, PartProfile};
#[cfg(feature = "testing")]
pub use recorder::{Recorded, RecordingWriterFactory};
pub use writer::{
    BoxWriter, CHECKPOINT_BYTES_MAX, Checkpoint, Reopened, Stray, SweepPolicy, UploadFacts,
    UploadWriter, WriterFactory, Written,
};

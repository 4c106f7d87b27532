//! Where uploaded bytes are kept: the writer contract, a durable file writer, buffered parts.
//!
//! - [`UploadWriter`] is one upload's storage and [`WriterFactory`] makes, reopens and sweeps them;
//!   the contract stands in the trait's documentation.
//! - [`FileWriterFactory`] keeps uploads in files: written under a temporary name, published by one
//!   atomic rename.
//! - [`DiscardWriterFactory`] counts bytes and drops them, for benchmarks.
//! - Feature `testing` adds the conformance suite every writer passes, a decorator that injects
//!   faults, and an in-memory writer that records the calls made to it.

mod discard;
mod error;
mod file;
mod life;
mod writer;

pub use discard::DiscardWriterFactory;
pub use error::{AbortReason, WriteError, WriteErrorKind};
pub use file::{Durability, FileSetupError, FileWriterConfig, FileWriterFactory};
pub use writer::{
    BoxWriter, CHECKPOINT_BYTES_MAX, Checkpoint, Reopened, Stray, SweepPolicy, UploadFacts,
    UploadWriter, WriterFactory, Written,
};

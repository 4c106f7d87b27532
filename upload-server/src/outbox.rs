//! At-least-once notifications: hooks of the application, and what S3 tells of created objects.

#[cfg(feature = "cli")]
pub(crate) mod deciding;
pub(crate) mod delivery;
pub(crate) mod due;
pub(crate) mod hooks;
pub(crate) mod in_doubt;
pub(crate) mod journal;
pub(crate) mod queue;
pub(crate) mod s3_events;
pub(crate) mod signature;
mod tell;

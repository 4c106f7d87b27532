//! What S3 tells of created objects: read, and each event taken once.
//!
//! An event is noted in the journal together with the hooks it calls, before the sender is answered.

pub(crate) mod dedup;
pub(crate) mod notification;

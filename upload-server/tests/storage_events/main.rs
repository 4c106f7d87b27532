//! What comes from storage and goes to others: signed URLs, S3's events, hooks.

mod deciding;
mod hooks;
mod http;
#[cfg(feature = "presign")]
mod presign;
mod receiver;
mod webhook;

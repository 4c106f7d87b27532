//! URLs that let a client put a file straight into a bucket: what is signed, and with which key.
//!
//! A signed URL is good for one `PUT` of one key with one content type and one content length,
//! until it expires. So what was checked before is what S3 takes.

#[cfg(feature = "s3")]
mod chain;
mod credentials;
mod signer;

#[cfg(all(feature = "cli", feature = "s3"))]
pub(crate) use self::chain::Chain;
#[cfg(feature = "cli")]
pub(crate) use self::signer::EXPIRES_MAX;
pub use self::{
    credentials::AwsCredentials,
    signer::{
        PRESIGNED_BYTES_MAX, PresignConfig, PresignError, PresignedPut, Presigner, SignError,
    },
};

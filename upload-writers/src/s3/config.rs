//! How an S3 writer is set up, and what the providers differ in.

use thiserror::Error;

use crate::{key, multipart::RetryPolicy, parts::PartProfile};

/// How a factory of S3 writers is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct S3WriterConfig {
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with, usually ending in `/`; may be empty. Also all that
    /// [`sweep`](crate::WriterFactory::sweep) looks at, so other uploads must not share it.
    pub prefix: String,
    /// What the provider can do.
    pub provider: S3Provider,
    /// The size parts begin with, in bytes; the provider's smallest if that is more.
    ///
    /// Larger files get larger parts, so that the provider's number of parts suffices.
    /// A file that fits in one part is stored by a single request.
    pub part_bytes: u64,
    /// How many parts of one upload are sent at the same time; 0 counts as 1.
    pub max_parts_in_flight: usize,
    /// How failed requests are tried again.
    pub retry: RetryPolicy,
}

impl S3WriterConfig {
    /// Makes the configuration for a bucket at AWS, with parts of 5 MiB and four of them in flight.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: "uploads/".to_owned(),
            provider: S3Provider::AWS,
            part_bytes: S3Provider::AWS.parts.part_bytes_min,
            max_parts_in_flight: 4,
            retry: RetryPolicy::default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), S3ConfigError> {
        if self.bucket.is_empty() {
            return Err(S3ConfigError::Bucket);
        }
        if !key::is_prefix(&self.prefix) {
            return Err(S3ConfigError::Prefix);
        }
        if self.part_bytes > self.provider.parts.part_bytes_max {
            return Err(S3ConfigError::PartBytes {
                most: self.provider.parts.part_bytes_max,
            });
        }
        Ok(())
    }

    /// The provider's rules about parts, with the configured size to begin with.
    pub(super) fn profile(&self) -> PartProfile {
        let parts = self.provider.parts;
        PartProfile {
            part_bytes_min: parts.part_bytes_min.max(self.part_bytes),
            ..parts
        }
    }
}

/// Why an [`S3WriterConfig`] does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum S3ConfigError {
    /// The bucket has no name.
    #[error("the bucket is empty")]
    Bucket,
    /// Keys cannot begin like this.
    #[error(
        "the prefix is absolute, leads upwards, is too long or has characters keys must not have"
    )]
    Prefix,
    /// Parts would be larger than the provider takes.
    #[error("parts may have at most {most} bytes")]
    PartBytes {
        /// The provider's largest part, in bytes.
        most: u64,
    },
}

/// What an S3 provider can do, as data.
///
/// What a provider refuses is left out of requests, so that [`GENERIC`](Self::GENERIC) works with all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct S3Provider {
    /// What it is called, in configuration files.
    pub name: &'static str,
    /// What it asks of parts.
    pub parts: PartProfile,
    /// Which checksums it verifies.
    pub checksums: S3Checksums,
    /// Whether it understands `If-None-Match: *`, which keeps an object from being replaced.
    pub if_none_match: bool,
    /// Whether it lists the unfinished uploads below a prefix. MinIO does for a whole key only; then all of
    /// the bucket are listed.
    pub lists_by_prefix: bool,
}

/// Which checksums a provider verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Checksums {
    /// CRC32C of each part and of the whole object, which is kept with it.
    FullObject,
    /// CRC32C of each part only.
    Parts,
    /// MD5 of each part, as `Content-MD5`: all providers know it, and some refuse any newer one.
    Md5,
}

impl S3Provider {
    /// Amazon S3.
    pub const AWS: Self = Self {
        name: "aws",
        parts: PartProfile::S3,
        checksums: S3Checksums::FullObject,
        if_none_match: true,
        lists_by_prefix: true,
    };

    /// Cloudflare R2, which wants all parts but the last to be equal, as they are.
    pub const R2: Self = Self {
        name: "r2",
        checksums: S3Checksums::Md5,
        if_none_match: false,
        ..Self::AWS
    };

    /// Google Cloud Storage through its S3 interface.
    pub const GCS: Self = Self {
        name: "gcs",
        parts: PartProfile::GCS,
        checksums: S3Checksums::Md5,
        if_none_match: false,
        ..Self::AWS
    };

    /// MinIO.
    pub const MINIO: Self = Self {
        name: "minio",
        checksums: S3Checksums::Parts,
        lists_by_prefix: false,
        ..Self::AWS
    };

    /// Garage, which ignores `If-None-Match`.
    pub const GARAGE: Self = Self {
        name: "garage",
        checksums: S3Checksums::Parts,
        if_none_match: false,
        ..Self::AWS
    };

    /// Any other that speaks S3: nothing that one may refuse.
    pub const GENERIC: Self = Self {
        name: "generic",
        checksums: S3Checksums::Md5,
        if_none_match: false,
        ..Self::AWS
    };

    /// All of the above.
    pub const ALL: [Self; 6] = [
        Self::AWS,
        Self::R2,
        Self::GCS,
        Self::MINIO,
        Self::GARAGE,
        Self::GENERIC,
    ];

    /// Finds a provider by its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name == name)
    }

    /// Guesses the provider by the host of its endpoint; no endpoint is AWS.
    pub fn of_endpoint(endpoint: Option<&str>) -> Self {
        let Some(endpoint) = endpoint else {
            return Self::AWS;
        };
        let rest = endpoint
            .split_once("://")
            .map_or(endpoint, |(_, rest)| rest);
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        let is_of = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
        if is_of("amazonaws.com") || is_of("amazonaws.com.cn") {
            Self::AWS
        } else if is_of("r2.cloudflarestorage.com") {
            Self::R2
        } else if is_of("storage.googleapis.com") {
            Self::GCS
        } else {
            Self::GENERIC
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_found() {
        for provider in S3Provider::ALL {
            assert_eq!(S3Provider::named(provider.name), Some(provider));
        }
        assert_eq!(S3Provider::named("tape"), None);
        let guess = |endpoint| S3Provider::of_endpoint(Some(endpoint)).name;
        assert_eq!(guess("https://s3.eu-west-1.amazonaws.com"), "aws");
        assert_eq!(guess("https://s3.cn-north-1.amazonaws.com.cn"), "aws");
        assert_eq!(guess("https://abc.r2.cloudflarestorage.com"), "r2");
        assert_eq!(guess("https://storage.googleapis.com/x"), "gcs");
        assert_eq!(guess("http://127.0.0.1:3900"), "generic");
        assert_eq!(guess("https://amazonaws.com.example.org"), "generic");
        assert_eq!(S3Provider::of_endpoint(None), S3Provider::AWS);
    }

    #[test]
    fn configurations_are_checked() {
        let config = S3WriterConfig::new("b");
        assert_eq!(config.check(), Ok(()));
        let bucket = S3WriterConfig::new("");
        assert_eq!(bucket.check(), Err(S3ConfigError::Bucket));
        let prefix = S3WriterConfig {
            prefix: "../".to_owned(),
            ..config.clone()
        };
        assert_eq!(prefix.check(), Err(S3ConfigError::Prefix));
        let parts = S3WriterConfig {
            part_bytes: u64::MAX,
            ..config
        };
        assert!(matches!(
            parts.check(),
            Err(S3ConfigError::PartBytes { .. })
        ));
    }
}

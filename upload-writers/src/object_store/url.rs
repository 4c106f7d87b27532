//! Opening a store by a URL, for programs that are configured by text.

use std::sync::Arc;

use object_store::{ObjectStoreScheme, local::LocalFileSystem, memory::InMemory};
use thiserror::Error;
use url::Url;

use super::{ObjectStoreWriterConfig, ObjectStoreWriterFactory};
#[cfg(any(feature = "gcs", feature = "azure"))]
use crate::parts::PartProfile;

/// Sets up a builder of a cloud store; the builders are alike but share no trait.
#[cfg(any(feature = "object-store-s3", feature = "gcs", feature = "azure"))]
macro_rules! configured {
    ($builder:expr, $url:expr, $options:expr) => {
        $options
            .into_iter()
            .fold(
                $builder.with_url($url.as_str()),
                |builder, (name, value)| match name.to_ascii_lowercase().parse() {
                    Ok(name) => builder.with_config(name, value),
                    Err(_) => builder,
                },
            )
            .build()
            .map_err(ObjectStoreSetupError::Store)
    };
}

/// Why no factory of object_store writers can be made.
#[derive(Debug, Error)]
pub enum ObjectStoreSetupError {
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
    /// The text is no URL of a store.
    #[error("not the URL of a store")]
    Url(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The URL is of a kind of store this program was built without.
    #[error("built without support for {scheme} URLs: it needs the feature {feature}")]
    NotBuilt {
        /// The URL's scheme.
        scheme: String,
        /// The feature of this crate that brings it.
        feature: &'static str,
    },
    /// There is no writer for such a store.
    #[error("uploads cannot be stored under {scheme} URLs")]
    Unsupported {
        /// The URL's scheme.
        scheme: String,
    },
    /// The store refuses its configuration.
    #[error("the store cannot be set up")]
    Store(#[source] object_store::Error),
}

impl ObjectStoreWriterFactory {
    /// Opens the store a URL names: `file:///directory`, `memory:///`, and, where built in,
    /// `s3://bucket/prefix`, `gs://bucket/prefix` and `az://container/prefix`.
    ///
    /// The path becomes the prefix, in place of the one in `config`; a local path is the directory,
    /// which is made. `options` are the store's own, by the names of its builder or of its
    /// environment variables, such as [`std::env::vars`]; unknown ones are passed over.
    /// Whether its writers can be reopened is answered by
    /// [`traits`](crate::WriterFactory::traits): all but local files can.
    ///
    /// # Errors
    ///
    /// When the URL is of no known kind, support for it is not built in, or the store refuses its
    /// configuration.
    pub fn from_url(
        url: &str,
        options: impl IntoIterator<Item = (String, String)>,
        config: ObjectStoreWriterConfig,
    ) -> Result<Self, ObjectStoreSetupError> {
        let url = Url::parse(url).map_err(|error| ObjectStoreSetupError::Url(error.into()))?;
        let (scheme, path) = ObjectStoreScheme::parse(&url)
            .map_err(|error| ObjectStoreSetupError::Url(error.into()))?;
        let prefixed = |config: ObjectStoreWriterConfig| {
            let path = path.as_ref();
            let prefix = if path.is_empty() {
                String::new()
            } else {
                format!("{path}/")
            };
            ObjectStoreWriterConfig { prefix, ..config }
        };
        // What is built in then takes none.
        #[cfg(not(any(feature = "object-store-s3", feature = "gcs", feature = "azure")))]
        drop(options);
        match scheme {
            ObjectStoreScheme::Local => {
                let dir = format!("/{path}");
                std::fs::create_dir_all(&dir)
                    .map_err(|error| ObjectStoreSetupError::Url(error.into()))?;
                let store = LocalFileSystem::new_with_prefix(dir)
                    .map_err(ObjectStoreSetupError::Store)?
                    .with_fsync(true);
                let config = ObjectStoreWriterConfig {
                    prefix: String::new(),
                    ..config
                };
                Self::plain(Arc::new(store), config)
            }
            ObjectStoreScheme::Memory => {
                Self::resumable(Arc::new(InMemory::new()), prefixed(config))
            }
            #[cfg(feature = "object-store-s3")]
            ObjectStoreScheme::AmazonS3 => {
                let builder = object_store::aws::AmazonS3Builder::new();
                let store = configured!(builder, url, options)?;
                Self::resumable(Arc::new(store), prefixed(config))
            }
            #[cfg(not(feature = "object-store-s3"))]
            ObjectStoreScheme::AmazonS3 => Err(not_built(&url, "object-store-s3")),
            #[cfg(feature = "gcs")]
            ObjectStoreScheme::GoogleCloudStorage => {
                let builder = object_store::gcp::GoogleCloudStorageBuilder::new();
                let store = configured!(builder, url, options)?;
                let parts = PartProfile::GCS;
                let config = ObjectStoreWriterConfig { parts, ..config };
                Self::resumable(Arc::new(store), prefixed(config))
            }
            #[cfg(not(feature = "gcs"))]
            ObjectStoreScheme::GoogleCloudStorage => Err(not_built(&url, "gcs")),
            #[cfg(feature = "azure")]
            ObjectStoreScheme::MicrosoftAzure => {
                let builder = object_store::azure::MicrosoftAzureBuilder::new();
                let store = configured!(builder, url, options)?;
                let parts = PartProfile::AZURE;
                let config = ObjectStoreWriterConfig { parts, ..config };
                Self::resumable(Arc::new(store), prefixed(config))
            }
            #[cfg(not(feature = "azure"))]
            ObjectStoreScheme::MicrosoftAzure => Err(not_built(&url, "azure")),
            _ => Err(ObjectStoreSetupError::Unsupported {
                scheme: url.scheme().to_owned(),
            }),
        }
    }
}

#[cfg(not(all(feature = "object-store-s3", feature = "gcs", feature = "azure")))]
fn not_built(url: &Url, feature: &'static str) -> ObjectStoreSetupError {
    ObjectStoreSetupError::NotBuilt {
        scheme: url.scheme().to_owned(),
        feature,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::WriterFactory;

    fn open(url: &str) -> Result<ObjectStoreWriterFactory, ObjectStoreSetupError> {
        ObjectStoreWriterFactory::from_url(url, [], ObjectStoreWriterConfig::default())
    }

    #[test]
    fn urls_choose_the_store() {
        let memory = open("memory:///some/where").expect("opens");
        assert!(memory.traits().resumable);
        assert_eq!(memory.config().prefix, "some/where/");
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("new");
        let local = open(&format!("file://{}", path.display())).expect("opens");
        assert!(!local.traits().resumable && path.is_dir());
    }

    #[test]
    fn other_urls_are_refused() {
        use ObjectStoreSetupError::{Unsupported, Url};
        assert!(matches!(open("nonsense"), Err(Url(_))));
        assert!(matches!(open("ftp://host/x"), Err(Url(_))));
        assert!(matches!(open("http://host/x"), Err(Unsupported { .. })));
        #[cfg(not(feature = "azure"))]
        {
            let error = open("az://container/x").expect_err("not built in");
            assert!(error.to_string().contains("the feature azure"));
        }
    }
}

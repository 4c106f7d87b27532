//! `[slots.NAME.s3]` and `[slots.NAME.object_store]`: the buckets a slot's files go to.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use upload_writers::WriterFactory;

use super::{ConfigError, Time};

/// The providers that `provider` can name; the writers' own data says what each can do.
const PROVIDERS: [&str; 6] = ["aws", "r2", "gcs", "minio", "garage", "generic"];

/// `[slots.NAME.s3]`: a bucket, for `writer = "s3"` or `direct = true`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// Where the provider is, if it is not AWS.
    pub endpoint: Option<String>,
    /// The region; by default what `AWS_REGION` says.
    pub region: Option<String>,
    /// What all keys begin with.
    pub prefix: String,
    /// Whether the bucket is in the path and not in the host.
    pub force_path_style: bool,
    /// Parts of one upload sent at a time.
    pub max_parts_in_flight: usize,
    /// What the provider can do: `aws`, `r2`, `gcs`, `minio`, `garage` or `generic`; by default
    /// guessed by the endpoint.
    pub provider: Option<String>,
    /// How long a signed URL of a direct slot is good for.
    pub expires_seconds: Time,
    /// Whether a direct slot's URL asks the store to refuse a second `PUT`.
    pub put_once: bool,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            endpoint: None,
            region: None,
            prefix: "uploads/".to_owned(),
            force_path_style: false,
            max_parts_in_flight: 4,
            provider: None,
            expires_seconds: Time(Duration::from_secs(3600)),
            put_once: false,
        }
    }
}

/// `[slots.NAME.object_store]`: a store of the `object_store` crate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ObjectStoreConfig {
    /// `s3://`, `gs://`, `az://`, `file://` or `memory://`.
    pub url: String,
}

impl S3Config {
    /// Checks what every build can; `section` is the key of this table.
    pub(super) fn check(&self, section: &str) -> Result<(), ConfigError> {
        let invalid = |key: &str, why: &str| ConfigError::invalid(&format!("{section}.{key}"), why);
        if self.bucket.is_empty() {
            return Err(invalid("bucket", "is missing"));
        }
        if !crate::text::is_key_prefix(&self.prefix) {
            return Err(invalid("prefix", "cannot begin a key"));
        }
        if let Some(endpoint) = &self.endpoint {
            let uri = endpoint.parse::<http::Uri>().ok();
            let is_address = uri.is_some_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
            });
            if !is_address {
                let why = "is not an address such as \"http://127.0.0.1:3900\"";
                return Err(invalid("endpoint", why));
            }
        }
        if let Some(name) = &self.provider
            && !PROVIDERS.contains(&&**name)
        {
            let hint = match &**name {
                "azure" => "; Azure has no S3 interface: writer = \"object_store\" has az:// URLs",
                _ => "",
            };
            let why = format!("{name:?} is none of {}{hint}", PROVIDERS.join(", "));
            return Err(invalid("provider", &why));
        }
        if self.max_parts_in_flight == 0 {
            return Err(invalid("max_parts_in_flight", "must be at least 1"));
        }
        Ok(())
    }

    /// Connects nowhere yet; credentials come from the SDK's own chain.
    #[cfg(feature = "s3")]
    pub(super) async fn writer(
        &self,
        section: &str,
    ) -> Result<Arc<dyn WriterFactory>, ConfigError> {
        use upload_writers::{S3Provider, S3WriterConfig, S3WriterFactory};

        let provider = match &self.provider {
            None => S3Provider::of_endpoint(self.endpoint.as_deref()),
            Some(name) => S3Provider::named(name).ok_or_else(|| {
                ConfigError::invalid(&format!("{section}.provider"), "is unknown")
            })?,
        };
        let shared = sdk_config(self.region(section)?).await;
        let mut client =
            aws_sdk_s3::config::Builder::from(&shared).force_path_style(self.force_path_style);
        client.set_endpoint_url(self.endpoint.clone());
        let client = aws_sdk_s3::Client::from_conf(client.build());
        let config = S3WriterConfig {
            prefix: self.prefix.clone(),
            provider,
            part_bytes: provider.parts.part_bytes_min,
            max_parts_in_flight: self.max_parts_in_flight,
            ..S3WriterConfig::new(&*self.bucket)
        };
        let factory = S3WriterFactory::new(&client, config);
        let factory = factory.map_err(|error| ConfigError::invalid(section, error.to_string()))?;
        Ok(Arc::new(factory))
    }

    #[cfg(not(feature = "s3"))]
    pub(super) async fn writer(&self, _: &str) -> Result<Arc<dyn WriterFactory>, ConfigError> {
        unreachable_writer("s3")
    }

    /// Returns the region, even if only the environment names it.
    #[cfg(any(feature = "s3", feature = "presign"))]
    pub(super) fn region(&self, section: &str) -> Result<String, ConfigError> {
        let named = |name| std::env::var(name).ok().filter(|region| !region.is_empty());
        self.region
            .clone()
            .or_else(|| named("AWS_REGION"))
            .or_else(|| named("AWS_DEFAULT_REGION"))
            .ok_or_else(|| ConfigError::invalid(&format!("{section}.region"), "is missing"))
    }

    /// Makes what signs URLs of this bucket; credentials are looked for with each signature.
    #[cfg(feature = "presign")]
    pub(super) fn presigner(&self, section: &str) -> Result<crate::Presigner, ConfigError> {
        use crate::presign::{EXPIRES_MAX, PresignConfig, Presigner};

        self.check(section)?;
        let expires_in = self.expires_seconds.0;
        if expires_in.is_zero() || expires_in > EXPIRES_MAX {
            let key = format!("{section}.expires_seconds");
            let why = format!("must be 1 to {}", EXPIRES_MAX.as_secs());
            return Err(ConfigError::invalid(&key, why));
        }
        let config = PresignConfig {
            endpoint: self.endpoint.clone(),
            prefix: self.prefix.clone(),
            force_path_style: self.force_path_style,
            expires_in,
            put_once: self.put_once,
            ..PresignConfig::new(&*self.bucket, self.region(section)?)
        };
        #[cfg(feature = "s3")]
        let credentials = find_by_sdk(self.region(section)?);
        #[cfg(not(feature = "s3"))]
        let credentials = || std::future::ready(crate::AwsCredentials::from_env());
        Presigner::new(config, credentials)
            .map_err(|error| ConfigError::invalid(section, error.to_string()))
    }
}

/// Reads what the SDK finds in the environment and in profiles.
#[cfg(feature = "s3")]
async fn sdk_config(region: String) -> aws_config::SdkConfig {
    use aws_config::{BehaviorVersion, Region};
    use aws_smithy_http_client::{Builder, tls};

    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().tls_provider(ring).build_https())
        .region(Region::new(region))
        .load()
        .await
}

/// Has the SDK find credentials, from the first signature on.
#[cfg(all(feature = "s3", feature = "presign"))]
fn find_by_sdk(
    region: String,
) -> impl Fn() -> futures_util::future::BoxFuture<'static, Option<crate::AwsCredentials>> {
    let chain = Arc::new(tokio::sync::OnceCell::new());
    move || {
        let (chain, region) = (Arc::clone(&chain), region.clone());
        Box::pin(async move {
            let chain = chain
                .get_or_init(async || crate::presign::Chain::of(&sdk_config(region).await))
                .await;
            chain.find().await
        })
    }
}

impl ObjectStoreConfig {
    /// Makes the store; what the URL does not say is read from the environment as `AWS_*`,
    /// `GOOGLE_*` and `AZURE_*`.
    #[cfg(feature = "object-store")]
    pub(super) fn writer(&self, section: &str) -> Result<Arc<dyn WriterFactory>, ConfigError> {
        use upload_writers::{ObjectStoreWriterConfig, ObjectStoreWriterFactory};

        let is_option = |name: &str| {
            let begins = ["aws_", "google_", "azure_"];
            begins.iter().any(|begin| name.starts_with(begin))
        };
        // A variable that is not text is not a key.
        let options = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .filter(|(name, _)| is_option(name));
        let config = ObjectStoreWriterConfig::default();
        let factory = ObjectStoreWriterFactory::from_url(&self.url, options, config);
        let factory = factory.map_err(|error| {
            ConfigError::invalid(&format!("{section}.url"), crate::text::chain(&error))
        })?;
        Ok(Arc::new(factory))
    }

    /// Says whether unfinished uploads of such a store can be gone on with; those of local files
    /// cannot.
    pub(super) fn can_reopen(&self) -> bool {
        let scheme = self.url.split_once(':').map_or("", |(scheme, _)| scheme);
        !scheme.eq_ignore_ascii_case("file")
    }

    #[cfg(not(feature = "object-store"))]
    pub(super) fn writer(&self, _: &str) -> Result<Arc<dyn WriterFactory>, ConfigError> {
        unreachable_writer("object-store")
    }
}

/// The check of a slot says the same before.
#[cfg(not(all(feature = "s3", feature = "object-store")))]
fn unreachable_writer(feature: &str) -> Result<Arc<dyn WriterFactory>, ConfigError> {
    let why = format!("needs a build with the feature {feature:?}");
    Err(ConfigError::invalid("slots", why))
}

#[cfg(all(test, feature = "s3"))]
mod tests {
    use upload_writers::S3Provider;

    use crate::config::s3::PROVIDERS;

    #[test]
    fn every_provider_of_the_writers_can_be_named() {
        assert_eq!(S3Provider::ALL.map(|provider| provider.name), PROVIDERS);
    }
}

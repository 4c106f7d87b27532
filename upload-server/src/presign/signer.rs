//! Signs one `PUT` of one object.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use serde::Serialize;
use thiserror::Error;
use upload_proto::UploadRef;
use upload_validate::safe_name;

use super::credentials::AwsCredentials;

/// The largest object a single `PUT` stores, in bytes: 5 GiB.
pub const PRESIGNED_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// The longest life of a signature that S3 takes: 7 days.
pub(crate) const EXPIRES_MAX: Duration = Duration::from_secs(604_800);

/// The longest media type that is signed, in bytes.
const TYPE_BYTES_MAX: usize = 255;

/// What files are that declare no type.
const ANY_TYPE: &str = "application/octet-stream";

/// How a [`Presigner`] signs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PresignConfig {
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Where the provider is; `None`: AWS.
    pub endpoint: Option<String>,
    /// What all keys begin with; `uploads/` by default, at most 512 bytes.
    pub prefix: String,
    /// Whether the bucket stands in the path and not in the host; always where the endpoint is an
    /// IP address.
    pub force_path_style: bool,
    /// How long a signature is good for, in whole seconds; one hour by default, at most 7 days.
    pub expires_in: Duration,
    /// Whether the store is asked to refuse a second `PUT` of the same key, by a signed `if-none-match: *`.
    ///
    /// AWS, R2 and MinIO know it; a bucket's CORS rule has to allow the header. Without it a file can be replaced
    /// until its URL expires, also after it was scanned.
    pub put_once: bool,
}

impl PresignConfig {
    /// Signs for a bucket of AWS.
    pub fn new(bucket: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            region: region.into(),
            endpoint: None,
            prefix: "uploads/".to_owned(),
            force_path_style: false,
            expires_in: Duration::from_secs(3600),
            put_once: false,
        }
    }
}

/// Signs `PUT`s into one bucket, for [`SlotOptions::direct`](crate::SlotOptions::direct) or by hand.
///
/// Cloning is cheap.
#[derive(Clone)]
pub struct Presigner {
    shared: Arc<Shared>,
}

struct Shared {
    bucket: Bucket,
    prefix: String,
    expires_in: Duration,
    put_once: bool,
    credentials: Box<FindCredentials>,
}

type FindCredentials = dyn Fn() -> BoxFuture<'static, Option<AwsCredentials>> + Send + Sync;

/// Where a client puts its file, as `POST /uploads/presign` answers it (PROTOCOL section 11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PresignedPut {
    /// Always `presigned`.
    pub mode: &'static str,
    /// Always `PUT`.
    pub method: &'static str,
    /// The id made for this upload.
    pub upload_id: UploadRef,
    /// Where to put it. Anyone who has it can store this one file until it expires.
    pub url: String,
    /// The object's key: `<prefix><upload_id>/<safe name>`.
    pub key: String,
    /// The headers the request must carry; browsers set `content-length` themselves.
    pub fields: BTreeMap<String, String>,
    /// Seconds until it expires.
    pub expires_in: u64,
}

impl Presigner {
    /// Takes where to sign for, and how to find credentials; they are asked for with each
    /// signature, so that they may change.
    ///
    /// # Errors
    ///
    /// The configuration cannot work with any bucket.
    pub fn new<F, Fut>(config: PresignConfig, credentials: F) -> Result<Self, PresignError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<AwsCredentials>> + Send + 'static,
    {
        if config.bucket.is_empty() || config.region.is_empty() {
            return Err(PresignError::Bucket);
        }
        if config.expires_in < Duration::from_secs(1) || config.expires_in > EXPIRES_MAX {
            return Err(PresignError::Expires);
        }
        if !crate::text::is_key_prefix(&config.prefix) {
            return Err(PresignError::Prefix);
        }
        let endpoint = config.endpoint.unwrap_or_else(|| {
            let region = &config.region;
            format!("https://s3.{region}.amazonaws.com")
        });
        let uri: http::Uri = endpoint.parse().map_err(|_| PresignError::Endpoint)?;
        let host = uri.host().ok_or(PresignError::Endpoint)?;
        let is_ip = host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok();
        let style = if config.force_path_style || is_ip {
            UrlStyle::Path
        } else {
            UrlStyle::VirtualHost
        };
        let endpoint = endpoint.parse().map_err(|_| PresignError::Endpoint)?;
        let bucket = Bucket::new(endpoint, style, config.bucket, config.region);
        Ok(Self {
            shared: Arc::new(Shared {
                bucket: bucket.map_err(|_| PresignError::Endpoint)?,
                prefix: config.prefix,
                expires_in: config.expires_in,
                put_once: config.put_once,
                credentials: Box::new(move || Box::pin(credentials())),
            }),
        })
    }

    /// Takes where to sign for, and has the AWS SDK find credentials: in the environment, in profiles, by single
    /// sign-on, or those of the role of a container or machine. What it finds is used for a minute at most.
    ///
    /// A URL is good no longer than the credentials it was signed with.
    ///
    /// # Errors
    ///
    /// The configuration cannot work with any bucket.
    #[cfg(feature = "s3")]
    pub fn with_sdk(
        config: PresignConfig,
        sdk: &aws_config::SdkConfig,
    ) -> Result<Self, PresignError> {
        let chain = Arc::new(super::chain::Chain::of(sdk));
        Self::new(config, move || {
            let chain = Arc::clone(&chain);
            async move { chain.find().await }
        })
    }

    /// Signs the `PUT` of one file under a key of its own.
    ///
    /// It checks nothing but the size: [`SlotOptions::direct`](crate::SlotOptions::direct) checks
    /// what the slot says.
    ///
    /// # Errors
    ///
    /// There are no credentials, or a single `PUT` cannot store that many bytes.
    pub async fn sign(
        &self,
        client_name: &str,
        client_type: &str,
        size: u64,
    ) -> Result<PresignedPut, SignError> {
        self.sign_below(None, client_name, client_type, size).await
    }

    /// Signs a key below a folder that the application chose.
    pub(crate) async fn sign_below(
        &self,
        folder: Option<String>,
        client_name: &str,
        client_type: &str,
        size: u64,
    ) -> Result<PresignedPut, SignError> {
        if size > PRESIGNED_BYTES_MAX {
            return Err(SignError::TooLarge);
        }
        let found = (self.shared.credentials)().await;
        let found = found.ok_or(SignError::NoCredentials)?;
        let upload_id = UploadRef::from_bytes(*uuid::Uuid::new_v4().as_bytes());
        let now = jiff::Timestamp::now();
        let key = self.key(folder, upload_id, client_name);
        Ok(self.sign_with(found, upload_id, key, client_type, size, &now))
    }

    fn key(&self, folder: Option<String>, upload_id: UploadRef, client_name: &str) -> String {
        let prefix = &*self.shared.prefix;
        let name = safe_name(client_name);
        match folder {
            None => format!("{prefix}{upload_id}/{name}"),
            Some(folder) if prefix.is_empty() || prefix.ends_with('/') => {
                format!("{prefix}{folder}/{upload_id}/{name}")
            }
            Some(folder) => format!("{prefix}/{folder}/{upload_id}/{name}"),
        }
    }

    fn sign_with(
        &self,
        found: AwsCredentials,
        upload_id: UploadRef,
        key: String,
        client_type: &str,
        size: u64,
        now: &jiff::Timestamp,
    ) -> PresignedPut {
        let shared = &self.shared;
        let credentials = match found.session_token {
            Some(token) => Credentials::new_with_token(found.access_key_id, found.secret, token),
            None => Credentials::new(found.access_key_id, found.secret),
        };
        let mut fields = BTreeMap::from([
            ("content-length".to_owned(), size.to_string()),
            ("content-type".to_owned(), media_type(client_type)),
        ]);
        if shared.put_once {
            fields.insert("if-none-match".to_owned(), "*".to_owned());
        }
        let mut put = shared.bucket.put_object(Some(&credentials), &key);
        for (name, value) in &fields {
            put.headers_mut().insert(name.as_str(), value.as_str());
        }
        let url = put.sign_with_time(shared.expires_in, now).into();
        PresignedPut {
            mode: "presigned",
            method: "PUT",
            upload_id,
            url,
            key,
            fields,
            expires_in: shared.expires_in.as_secs(),
        }
    }
}

impl fmt::Debug for Presigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presigner")
            .field("bucket", &self.shared.bucket.name())
            .finish_non_exhaustive()
    }
}

/// A [`PresignConfig`] does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PresignError {
    /// Bucket or region has no name.
    #[error("bucket and region must be named")]
    Bucket,
    /// It is not an address of HTTP.
    #[error("the endpoint is not an address such as \"https://s3.example.org\"")]
    Endpoint,
    /// Keys cannot begin like this.
    #[error(
        "the prefix is absolute, leads upwards, is too long or has characters keys must not have"
    )]
    Prefix,
    /// No provider would take it.
    #[error("a signature is good for 1 second to 7 days")]
    Expires,
}

/// A file cannot be signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignError {
    /// There is nothing to sign with.
    #[error("there are no credentials")]
    NoCredentials,
    /// A single `PUT` cannot store it.
    #[error("a single request stores at most {PRESIGNED_BYTES_MAX} bytes")]
    TooLarge,
}

/// Returns the declared type without parameters if it is one, else the one of any bytes.
fn media_type(declared: &str) -> String {
    let is_token = |part: &str| {
        let of_token = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        !part.is_empty() && part.chars().all(of_token)
    };
    let essence = declared.split(';').next().unwrap_or_default().trim();
    let is_type = essence.split_once('/').is_some_and(|(kind, subtype)| {
        is_token(kind) && is_token(subtype) && essence.len() <= TYPE_BYTES_MAX
    });
    if is_type { essence } else { ANY_TYPE }.to_owned()
}

#[cfg(test)]
mod tests;

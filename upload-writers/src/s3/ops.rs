//! The requests a writer makes, each once; trying again is up to the callers.

use std::{collections::BTreeMap, error::Error, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::{
        RequestChecksumCalculation, StalledStreamProtectionConfig, http::HttpResponse,
        retry::RetryConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder,
    primitives::DateTime,
    types::{
        ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
        Part,
    },
};
use base64_simd::STANDARD;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    config::{S3Checksums, S3Provider, S3WriterConfig},
    errors::{of_first, of_sdk},
    payload::{body_of, md5_of},
};
use crate::multipart::{
    BackendError, ListParts, ListUploads, Meaning, MultipartBackend, NewObject, Payload,
    StoredObject, StoredPart, UnfinishedUpload, UploadsMarker, UploadsPage, Whole,
};

/// How long the id of a multipart upload may be, in bytes; AWS's have about 130.
const UPLOAD_ID_BYTES_MAX: usize = 2_048;

/// How many pages of a list are read; a page has up to 1,000 entries.
const PAGES_MAX: usize = 1_000;

/// How many times longer than others a request may take that puts parts together.
const COMPLETE_TIMEOUTS: u32 = 4;

/// A bucket as writers use it.
#[derive(Debug)]
pub(super) struct Bucket {
    client: Client,
    name: String,
    provider: S3Provider,
    attempt_timeout: Duration,
}

impl Bucket {
    /// Takes the user's client for its connections, credentials and endpoint.
    ///
    /// Trying again and timing out are the writer's, and so are checksums: it has them already.
    pub(super) fn new(client: &Client, config: &S3WriterConfig) -> Self {
        let config_of_client = client
            .config()
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        Self {
            client: Client::from_conf(config_of_client),
            name: config.bucket.clone(),
            provider: config.provider,
            attempt_timeout: config.retry.attempt_timeout,
        }
    }

    fn whole(
        &self,
        request: CompleteMultipartUploadFluentBuilder,
        whole: Whole,
    ) -> CompleteMultipartUploadFluentBuilder {
        match whole.crc32c {
            Some(crc32c) if self.provider.checksums == S3Checksums::FullObject => request
                .checksum_type(ChecksumType::FullObject)
                .checksum_crc32_c(in_base64(crc32c))
                .mpu_object_size(i64::try_from(whole.len).unwrap_or(i64::MAX)),
            _ => request,
        }
    }

    async fn within<T, E>(
        &self,
        answer: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, BackendError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        within(self.attempt_timeout, answer).await
    }
}

#[async_trait]
impl MultipartBackend for Bucket {
    fn kind(&self) -> &'static str {
        "s3"
    }

    async fn create(&self, object: &NewObject) -> Result<String, BackendError> {
        let mut request = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(object.key())
            .content_type(object.content_type())
            .content_disposition(object.content_disposition())
            .metadata("upload-id", object.upload_id());
        if self.provider.checksums != S3Checksums::Md5 {
            request = request.checksum_algorithm(ChecksumAlgorithm::Crc32C);
        }
        if self.provider.checksums == S3Checksums::FullObject {
            request = request.checksum_type(ChecksumType::FullObject);
        }
        let answer = timeout(self.attempt_timeout, request.send()).await;
        let answer = answer.map_err(|_| BackendError::timeout())?;
        let id = answer.map_err(of_first)?.upload_id.unwrap_or_default();
        if id.is_empty() || id.len() > UPLOAD_ID_BYTES_MAX {
            return Err(BackendError::unusable(
                "no usable id for a multipart upload",
            ));
        }
        Ok(id)
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        payload: &Payload,
    ) -> Result<String, BackendError> {
        let (body, taken) = body_of(payload);
        let mut request = self
            .client
            .upload_part()
            .bucket(&self.name)
            .key(key)
            .upload_id(upload)
            .part_number(i32::try_from(number).unwrap_or(i32::MAX))
            .content_length(i64::try_from(payload.len()).unwrap_or(i64::MAX))
            .body(body);
        request = match self.provider.checksums {
            S3Checksums::Md5 => request.content_md5(md5_of(payload).await?),
            S3Checksums::FullObject | S3Checksums::Parts => {
                request.checksum_crc32_c(in_base64(payload.crc32c()))
            }
        };
        let answer = taken
            .unless_stalled(self.attempt_timeout, request.send())
            .await?;
        let answer = answer.map_err(of_sdk)?;
        some_etag(answer.e_tag)
    }

    async fn put(
        &self,
        object: &NewObject,
        payload: &Payload,
    ) -> Result<StoredObject, BackendError> {
        let (body, taken) = body_of(payload);
        let mut request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(object.key())
            .content_type(object.content_type())
            .content_disposition(object.content_disposition())
            .metadata("upload-id", object.upload_id())
            .content_length(i64::try_from(payload.len()).unwrap_or(i64::MAX))
            .body(body);
        request = match self.provider.checksums {
            S3Checksums::Md5 => request.content_md5(md5_of(payload).await?),
            S3Checksums::FullObject | S3Checksums::Parts => {
                request.checksum_crc32_c(in_base64(payload.crc32c()))
            }
        };
        if self.provider.if_none_match {
            request = request.if_none_match("*");
        }
        let answer = taken
            .unless_stalled(self.attempt_timeout, request.send())
            .await?;
        let answer = answer.map_err(of_first)?;
        Ok(StoredObject {
            etag: Some(some_etag(answer.e_tag)?),
            len: payload.len(),
            crc32c: Some(payload.crc32c()),
        })
    }

    async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &BTreeMap<u32, StoredPart>,
        whole: Whole,
    ) -> Result<StoredObject, BackendError> {
        let with_checksums = self.provider.checksums != S3Checksums::Md5;
        let completed = parts.iter().map(|(number, stored)| {
            let crc32c = stored.crc32c.filter(|_| with_checksums);
            CompletedPart::builder()
                .part_number(i32::try_from(*number).unwrap_or(i32::MAX))
                .e_tag(&stored.id)
                .set_checksum_crc32_c(crc32c.map(in_base64))
                .build()
        });
        let completed = CompletedMultipartUpload::builder()
            .set_parts(Some(completed.collect()))
            .build();
        let mut request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(key)
            .upload_id(upload)
            .multipart_upload(completed);
        if self.provider.if_none_match {
            request = request.if_none_match("*");
        }
        let longer = self.attempt_timeout.saturating_mul(COMPLETE_TIMEOUTS);
        let answer = within(longer, self.whole(request, whole).send()).await?;
        Ok(StoredObject {
            etag: Some(some_etag(answer.e_tag)?),
            len: whole.len,
            crc32c: whole.crc32c,
        })
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<(), BackendError> {
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(&self.name)
            .key(key)
            .upload_id(upload);
        match self.within(request.send()).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.meaning == Meaning::Missing => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        let request = self.client.delete_object().bucket(&self.name).key(key);
        match self.within(request.send()).await {
            Ok(_) => Ok(()),
            // Google says so, where others say that it is done.
            Err(failure) if failure.meaning == Meaning::Missing => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn head(&self, key: &str) -> Result<Option<StoredObject>, BackendError> {
        let mut request = self.client.head_object().bucket(&self.name).key(key);
        if self.provider.checksums == S3Checksums::FullObject {
            request = request.checksum_mode(ChecksumMode::Enabled);
        }
        let answer = timeout(self.attempt_timeout, request.send()).await;
        match answer.map_err(|_| BackendError::timeout())? {
            Ok(answer) => Ok(Some(StoredObject {
                // One of the parts' checksums has another form, which is not read.
                crc32c: answer.checksum_crc32_c.as_deref().and_then(from_base64),
                etag: Some(some_etag(answer.e_tag)?),
                len: bytes(answer.content_length),
            })),
            Err(SdkError::ServiceError(answer)) if answer.raw().status().as_u16() == 404 => {
                self.misses(key).await.map(|()| None)
            }
            Err(error) => Err(of_sdk(error)),
        }
    }

    /// Answers `{"bucket", "key", "etag", "size"}`.
    fn result(&self, key: &str, object: &StoredObject) -> Value {
        let etag = object.etag.as_deref();
        json!({
            "bucket": self.name,
            "key": key,
            "etag": etag.map(|etag| etag.trim_matches('"')),
            "size": object.len,
        })
    }

    fn list_parts(&self) -> Option<&dyn ListParts> {
        Some(self)
    }

    fn list_uploads(&self) -> Option<&dyn ListUploads> {
        Some(self)
    }
}

#[async_trait]
impl ListParts for Bucket {
    async fn parts(
        &self,
        key: &str,
        upload: &str,
    ) -> Result<Option<BTreeMap<u32, StoredPart>>, BackendError> {
        let mut parts = BTreeMap::new();
        let mut marker = None;
        for _ in 0..PAGES_MAX {
            let request = self
                .client
                .list_parts()
                .bucket(&self.name)
                .key(key)
                .upload_id(upload)
                .set_part_number_marker(marker.take());
            let page = match self.within(request.send()).await {
                Ok(page) => page,
                Err(failure) if failure.meaning == Meaning::Missing => return Ok(None),
                Err(failure) => return Err(failure),
            };
            parts.extend(
                page.parts
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(listed),
            );
            if page.is_truncated != Some(true) {
                return Ok(Some(parts));
            }
            // Read as the whole, it would make an upload whose other parts are there look lost.
            let next = page.next_part_number_marker;
            marker = Some(
                next.ok_or_else(|| BackendError::unusable("a list of parts that breaks off"))?,
            );
        }
        Err(BackendError::unusable("a list of parts without an end"))
    }
}

#[async_trait]
impl ListUploads for Bucket {
    async fn find(&self, key: &str) -> Result<Option<String>, BackendError> {
        let page = self.uploads(key, None).await?;
        let found = page.uploads.into_iter().find(|one| one.key == key);
        Ok(found.map(|one| one.upload))
    }

    async fn page(
        &self,
        prefix: &str,
        after: Option<UploadsMarker>,
    ) -> Result<UploadsPage, BackendError> {
        let asked = if self.provider.lists_by_prefix {
            prefix
        } else {
            ""
        };
        let mut page = self.uploads(asked, after).await?;
        page.uploads.retain(|one| one.key.starts_with(prefix));
        Ok(page)
    }
}

impl Bucket {
    /// Has the bucket itself say that it misses an object.
    ///
    /// An answer to HEAD has no body, so a proxy's 404 looks the same; to GET, only a bucket answers with the code.
    async fn misses(&self, key: &str) -> Result<(), BackendError> {
        let request = self.client.get_object().bucket(&self.name).key(key);
        match self.within(request.send()).await {
            Ok(_) => Err(BackendError::doubtful("a missing object is there")),
            Err(failure) if failure.meaning == Meaning::Missing => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn uploads(
        &self,
        prefix: &str,
        after: Option<UploadsMarker>,
    ) -> Result<UploadsPage, BackendError> {
        let after = after.unwrap_or_default();
        let mut request = self.client.list_multipart_uploads().bucket(&self.name);
        if !prefix.is_empty() {
            request = request.prefix(prefix);
        }
        if !after.key.is_empty() {
            request = request
                .key_marker(after.key)
                .set_upload_id_marker(after.upload);
        }
        let page = self.within(request.send()).await?;
        let uploads = page.uploads.unwrap_or_default().into_iter();
        let uploads = uploads.filter_map(|one| {
            Some(UnfinishedUpload {
                key: one.key?,
                upload: one.upload_id?,
                at: seconds(one.initiated),
            })
        });
        let marker = page.next_key_marker.map(|key| UploadsMarker {
            key,
            upload: page.next_upload_id_marker,
        });
        Ok(UploadsPage {
            uploads: uploads.collect(),
            next: marker.filter(|_| page.is_truncated == Some(true)),
        })
    }
}

async fn within<T, E>(
    attempt_timeout: Duration,
    answer: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, BackendError>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match timeout(attempt_timeout, answer).await {
        Ok(answer) => answer.map_err(of_sdk),
        Err(_) => Err(BackendError::timeout()),
    }
}

fn listed(part: Part) -> Option<(u32, StoredPart)> {
    let number = u32::try_from(part.part_number?).ok()?;
    let crc32c = part.checksum_crc32_c.as_deref().and_then(from_base64);
    Some((
        number,
        StoredPart {
            id: part.e_tag.unwrap_or_default(),
            len: bytes(part.size),
            crc32c,
            at: seconds(part.last_modified),
        },
    ))
}

fn bytes(size: Option<i64>) -> u64 {
    size.and_then(|size| u64::try_from(size).ok())
        .unwrap_or_default()
}

fn seconds(time: Option<DateTime>) -> i64 {
    time.map(|time| time.secs()).unwrap_or_default()
}

fn some_etag(etag: Option<String>) -> Result<String, BackendError> {
    let etag = etag.filter(|etag| !etag.is_empty());
    // Something else than S3 answered, or an error came where success was announced.
    etag.ok_or_else(|| BackendError::doubtful("an answer without an entity tag"))
}

fn in_base64(crc32c: u32) -> String {
    STANDARD.encode_to_string(crc32c.to_be_bytes())
}

fn from_base64(text: &str) -> Option<u32> {
    let bytes = STANDARD.decode_to_vec(text).ok()?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_written_as_s3_does() {
        // The check value of CRC-32C, as any implementation gives it for these nine bytes.
        let crc32c = crc32c::crc32c(b"123456789");
        assert_eq!(crc32c, 0xe306_9283);
        assert_eq!(in_base64(crc32c), "4waSgw==");
        assert_eq!(from_base64("4waSgw=="), Some(crc32c));
        for bad in ["", "4waSgw", "4waSgw==-2", "AAAA"] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }
}

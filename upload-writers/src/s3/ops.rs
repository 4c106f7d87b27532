//! The requests a writer makes, each once; trying again is up to the callers.

use std::{collections::BTreeMap, error::Error, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{
        RequestChecksumCalculation, StalledStreamProtectionConfig, http::HttpResponse,
        retry::RetryConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder,
    primitives::DateTime,
    types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, Part},
};
use base64_simd::STANDARD;
use tokio::time::timeout;

use super::{
    config::{S3Checksums, S3Provider, S3WriterConfig},
    errors::{Failure, Meaning},
    payload::Payload,
};
use crate::{flight::Landed, key::Object};

/// How long the id of a multipart upload may be, in bytes; AWS's have about 130.
const UPLOAD_ID_BYTES_MAX: usize = 2_048;

/// How many pages of a list are read; a page has up to 1,000 entries.
const PAGES_MAX: usize = 1_000;

/// How many times longer than others a request may take that puts parts together.
const COMPLETE_PATIENCE: u32 = 4;

/// A bucket as writers use it.
#[derive(Debug)]
pub(super) struct Bucket {
    client: Client,
    name: String,
    provider: S3Provider,
    patience: Duration,
}

/// A part the bucket has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) etag: String,
    pub(super) len: u64,
    /// Unknown where the provider does not list it.
    pub(super) crc32c: Option<u32>,
    /// When it came, in seconds since 1970; 0 where unknown.
    pub(super) at: i64,
}

impl Landed for Stored {
    fn len(&self) -> u64 {
        self.len
    }

    fn crc32c(&self) -> Option<u32> {
        self.crc32c
    }
}

/// A finished object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) etag: String,
    pub(super) len: u64,
}

/// A multipart upload that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfinished {
    pub(super) key: String,
    pub(super) upload: String,
    /// When it began, in seconds since 1970; 0 where unknown.
    pub(super) at: i64,
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
            patience: config.retry.attempt_timeout,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Begins a multipart upload; answers its id.
    pub(super) async fn create(&self, object: &Object) -> Result<String, Failure> {
        let mut request = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(&object.key)
            .content_type(&object.content_type)
            .content_disposition(&object.disposition)
            .metadata("upload-id", &object.upload_id);
        if self.provider.checksums != S3Checksums::WhenRequired {
            request = request.checksum_algorithm(ChecksumAlgorithm::Crc32C);
        }
        if self.provider.checksums == S3Checksums::FullObject {
            request = request.checksum_type(ChecksumType::FullObject);
        }
        let answer = self.within(request.send()).await?;
        let id = answer.upload_id.unwrap_or_default();
        if id.is_empty() || id.len() > UPLOAD_ID_BYTES_MAX {
            return Err(Failure::unusable("no usable id for a multipart upload"));
        }
        Ok(id)
    }

    /// Sends one part.
    pub(super) async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        payload: &Payload,
    ) -> Result<Stored, Failure> {
        let (body, taken) = payload.body();
        let mut request = self
            .client
            .upload_part()
            .bucket(&self.name)
            .key(key)
            .upload_id(upload)
            .part_number(i32::try_from(number).unwrap_or(i32::MAX))
            .content_length(i64::try_from(payload.len).unwrap_or(i64::MAX))
            .body(body);
        if self.provider.checksums != S3Checksums::WhenRequired {
            request = request.checksum_crc32_c(in_base64(payload.crc32c));
        }
        let answer = taken.unless_stalled(self.patience, request.send()).await?;
        let answer = answer.map_err(Failure::of)?;
        Ok(Stored {
            etag: some_etag(answer.e_tag)?,
            len: payload.len,
            crc32c: Some(payload.crc32c),
            at: 0,
        })
    }

    /// Sends a whole object in one request; answers its entity tag.
    pub(super) async fn put_object(
        &self,
        object: &Object,
        payload: &Payload,
    ) -> Result<Finished, Failure> {
        let (body, taken) = payload.body();
        let mut request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(&object.key)
            .content_type(&object.content_type)
            .content_disposition(&object.disposition)
            .metadata("upload-id", &object.upload_id)
            .content_length(i64::try_from(payload.len).unwrap_or(i64::MAX))
            .body(body);
        if self.provider.checksums != S3Checksums::WhenRequired {
            request = request.checksum_crc32_c(in_base64(payload.crc32c));
        }
        if self.provider.if_none_match {
            request = request.if_none_match("*");
        }
        let answer = taken.unless_stalled(self.patience, request.send()).await?;
        let answer = answer.map_err(Failure::of)?;
        Ok(Finished {
            etag: some_etag(answer.e_tag)?,
            len: payload.len,
        })
    }

    /// Makes an object of the parts `1..=parts.len()`.
    pub(super) async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &BTreeMap<u32, Stored>,
        whole: Whole,
    ) -> Result<Finished, Failure> {
        let with_checksums = self.provider.checksums != S3Checksums::WhenRequired;
        let completed = parts.iter().map(|(number, stored)| {
            let crc32c = stored.crc32c.filter(|_| with_checksums);
            CompletedPart::builder()
                .part_number(i32::try_from(*number).unwrap_or(i32::MAX))
                .e_tag(&stored.etag)
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
        let patience = self.patience.saturating_mul(COMPLETE_PATIENCE);
        let answer = within(patience, self.whole(request, whole).send()).await?;
        Ok(Finished {
            etag: some_etag(answer.e_tag)?,
            len: whole.len,
        })
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

    /// Throws a multipart upload away. One that is not there counts as thrown away.
    pub(super) async fn abort(&self, key: &str, upload: &str) -> Result<(), Failure> {
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

    /// Removes an object. One that is not there counts as removed.
    pub(super) async fn delete(&self, key: &str) -> Result<(), Failure> {
        let request = self.client.delete_object().bucket(&self.name).key(key);
        self.within(request.send()).await?;
        Ok(())
    }

    /// Looks at a finished object.
    pub(super) async fn head(&self, key: &str) -> Result<Option<Finished>, Failure> {
        let request = self.client.head_object().bucket(&self.name).key(key);
        match self.within(request.send()).await {
            Ok(answer) => Ok(Some(Finished {
                etag: some_etag(answer.e_tag)?,
                len: bytes(answer.content_length),
            })),
            Err(failure) if failure.meaning == Meaning::Missing => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Lists the parts of a multipart upload; `None` if there is no such upload.
    pub(super) async fn parts(
        &self,
        key: &str,
        upload: &str,
    ) -> Result<Option<BTreeMap<u32, Stored>>, Failure> {
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
            // Taken for the whole, it would make an upload whose other parts are there look lost.
            let next = page.next_part_number_marker;
            marker =
                Some(next.ok_or_else(|| Failure::unusable("a list of parts that breaks off"))?);
        }
        Err(Failure::unusable("a list of parts without an end"))
    }

    /// Lists multipart uploads whose keys begin with `prefix`, at most about `most` of them.
    pub(super) async fn unfinished(
        &self,
        prefix: &str,
        most: usize,
    ) -> Result<Vec<Unfinished>, Failure> {
        let mut uploads = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        for _ in 0..PAGES_MAX {
            let request = self
                .client
                .list_multipart_uploads()
                .bucket(&self.name)
                .prefix(prefix)
                .set_key_marker(key_marker.take())
                .set_upload_id_marker(id_marker.take());
            let page = self.within(request.send()).await?;
            uploads.extend(
                page.uploads
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|one| {
                        Some(Unfinished {
                            key: one.key?,
                            upload: one.upload_id?,
                            at: seconds(one.initiated),
                        })
                    }),
            );
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || key_marker.is_none() || uploads.len() >= most {
                break;
            }
        }
        uploads.retain(|one| one.key.starts_with(prefix));
        Ok(uploads)
    }

    async fn within<T, E>(
        &self,
        answer: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        within(self.patience, answer).await
    }
}

async fn within<T, E>(
    patience: Duration,
    answer: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Failure>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match timeout(patience, answer).await {
        Ok(answer) => answer.map_err(Failure::of),
        Err(_) => Err(Failure::timeout()),
    }
}

/// What is known of a whole object before it is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub(super) len: u64,
    /// Unknown if that of a part is.
    pub(super) crc32c: Option<u32>,
}

impl Whole {
    /// Puts parts together in their order.
    pub(super) fn of(parts: &BTreeMap<u32, Stored>) -> Self {
        let nothing = Self {
            len: 0,
            crc32c: Some(0),
        };
        parts.values().fold(nothing, |whole, part| Self {
            len: whole.len.saturating_add(part.len),
            crc32c: (|| {
                let len = usize::try_from(part.len).ok()?;
                Some(crc32c::crc32c_combine(whole.crc32c?, part.crc32c?, len))
            })(),
        })
    }
}

fn listed(part: Part) -> Option<(u32, Stored)> {
    let number = u32::try_from(part.part_number?).ok()?;
    let crc32c = part.checksum_crc32_c.as_deref().and_then(from_base64);
    Some((
        number,
        Stored {
            etag: part.e_tag.unwrap_or_default(),
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

fn some_etag(etag: Option<String>) -> Result<String, Failure> {
    let etag = etag.filter(|etag| !etag.is_empty());
    // Something else than S3 answered, or an error came where success was announced.
    etag.ok_or_else(|| Failure::doubtful("an answer without an entity tag"))
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

    #[test]
    fn parts_make_a_whole() {
        let stored = |bytes: &[u8], known: bool| Stored {
            etag: "e".to_owned(),
            len: bytes.len() as u64,
            crc32c: known.then(|| crc32c::crc32c(bytes)),
            at: 0,
        };
        let parts = BTreeMap::from([(1, stored(b"1234", true)), (2, stored(b"56789", true))]);
        let whole = Whole::of(&parts);
        assert_eq!((whole.len, whole.crc32c), (9, Some(0xe306_9283)));
        let parts = BTreeMap::from([(1, stored(b"1234", false)), (2, stored(b"56789", true))]);
        assert_eq!(Whole::of(&parts).crc32c, None);
    }
}

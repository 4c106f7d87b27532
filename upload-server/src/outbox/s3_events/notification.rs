//! What S3 says when an object was created: raw, in an SNS envelope, or as EventBridge shapes it.
//!
//! Bodies are read as text first and record by record, so that a record that makes no sense says
//! nothing about the others.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;
use upload_proto::nests_deeper;
use uuid::Uuid;

/// How deep a body may nest; S3's events have a handful of levels.
const DEPTH_MAX: usize = 32;

/// The longest key S3 takes, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// The largest object S3 takes is 50 TiB; whatever says more was not S3.
const SIZE_MAX: u64 = 1 << 53;

/// The longest name of a bucket, version, sequencer, tag or time that is believed, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// One object that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Created {
    pub(crate) bucket: String,
    /// Decoded.
    pub(crate) key: String,
    pub(crate) size: u64,
    /// Without quotation marks.
    pub(crate) etag: Option<String>,
    pub(crate) version: Option<String>,
    /// Digits of a growing hexadecimal number, in upper case.
    pub(crate) sequencer: Option<String>,
    /// When S3 says it happened.
    pub(crate) time: Option<String>,
}

impl Created {
    /// Returns the upload's id: the first path segment that is a UUID, else the whole key.
    pub(crate) fn upload_id(&self) -> String {
        match self.key.split('/').find_map(uuid) {
            Some(uuid) => uuid.hyphenated().to_string(),
            None => {
                tracing::debug!(key = self.key, "no segment of an object's key is a UUID");
                self.key.clone()
            }
        }
    }
}

/// Reads a UUID written 8-4-4-4-12 and no other way.
fn uuid(segment: &str) -> Option<Uuid> {
    let is_hyphen = |at| matches!(at, 8 | 13 | 18 | 23);
    let is_canonical = segment.len() == 36
        && segment.bytes().enumerate().all(|(at, byte)| {
            if is_hyphen(at) {
                byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        });
    is_canonical
        .then(|| segment.parse().ok().filter(|uuid: &Uuid| !uuid.is_nil()))
        .flatten()
}

/// The body is not an event, nor anything else S3 or SNS sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidNotification;

/// Reads a body.
///
/// Anything well-formed that tells of no created object gives none.
///
/// # Errors
///
/// It is not JSON, nests too deep, or none of its records can be read.
pub(crate) fn read(body: &[u8]) -> Result<Vec<Created>, InvalidNotification> {
    let text = std::str::from_utf8(body).map_err(|_| InvalidNotification)?;
    check(text)?;
    let Some(outer) = object::<Outer<'_>>(text)? else {
        return Ok(Vec::new());
    };
    let Some(message) = outer.message.filter(|_| outer.records.is_none()) else {
        return events(outer);
    };
    let kind = outer.kind.and_then(string);
    if kind.is_some_and(|kind| kind != "Notification") {
        // No address is ever fetched: the operator who subscribed confirms the subscription.
        return Ok(Vec::new());
    }
    // Others may publish to the topic too, and not only events.
    let Some(message) = string(message).filter(|text| check(text).is_ok()) else {
        return Ok(Vec::new());
    };
    match object::<Outer<'_>>(&message)? {
        Some(inner) => events(inner),
        None => Ok(Vec::new()),
    }
}

/// The outermost object of any of the shapes; each field as its text.
#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(rename = "Records", borrow, default, deserialize_with = "present")]
    records: Option<&'a RawValue>,
    #[serde(rename = "Type", borrow, default, deserialize_with = "present")]
    kind: Option<&'a RawValue>,
    #[serde(rename = "Message", borrow, default, deserialize_with = "present")]
    message: Option<&'a RawValue>,
    #[serde(rename = "detail-type", borrow, default, deserialize_with = "present")]
    detail_type: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    detail: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    time: Option<&'a RawValue>,
}

/// Tells a field that is null from one that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

fn events(outer: Outer<'_>) -> Result<Vec<Created>, InvalidNotification> {
    if let Some(records) = outer.records {
        let records: Vec<&RawValue> =
            serde_json::from_str(records.get()).map_err(|_| InvalidNotification)?;
        return raw(&records);
    }
    let is_created = outer.detail_type.and_then(string).as_deref() == Some("Object Created");
    match outer.detail {
        Some(detail) if is_created => bridged(detail, outer.time).map(|created| vec![created]),
        _ => Ok(Vec::new()),
    }
}

fn raw(records: &[&RawValue]) -> Result<Vec<Created>, InvalidNotification> {
    let mut created = Vec::new();
    let mut bad = 0_usize;
    for text in records {
        match record(text) {
            Ok(Some(record)) => created.push(record),
            Ok(None) => {}
            Err(InvalidNotification) => bad = bad.saturating_add(1),
        }
    }
    if bad > 0 {
        tracing::warn!(
            bad,
            records = records.len(),
            "records of an S3 event make no sense"
        );
    }
    if bad > 0 && bad == records.len() {
        return Err(InvalidNotification);
    }
    Ok(created)
}

/// Reads one record; one of another event is none.
fn record(text: &RawValue) -> Result<Option<Created>, InvalidNotification> {
    #[derive(Deserialize)]
    struct Record<'a> {
        #[serde(rename = "eventName", borrow, default, deserialize_with = "present")]
        event: Option<&'a RawValue>,
        #[serde(rename = "eventTime", borrow, default, deserialize_with = "present")]
        time: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        s3: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct S3 {
        bucket: Bucket,
        object: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        key: String,
        size: u64,
        #[serde(rename = "eTag", default, deserialize_with = "not_null")]
        etag: Option<String>,
        #[serde(rename = "versionId", default)]
        version: Option<String>,
        #[serde(default)]
        sequencer: Option<String>,
    }

    let record: Record<'_> = parse(text.get())?;
    if let Some(event) = record.event {
        let event = string(event).ok_or(InvalidNotification)?;
        let event = event.strip_prefix("s3:").unwrap_or(&event);
        if !event.starts_with("ObjectCreated:") {
            return Ok(None);
        }
    }
    let s3: S3 = parse(record.s3.ok_or(InvalidNotification)?.get())?;
    // Raw events write keys as forms do.
    let key = s3.object.key.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8();
    let created = Created {
        bucket: s3.bucket.name,
        key: key.map_err(|_| InvalidNotification)?.into_owned(),
        size: s3.object.size,
        etag: s3.object.etag,
        version: s3.object.version,
        sequencer: s3.object.sequencer,
        time: record.time.and_then(string),
    };
    created.checked().map(Some)
}

/// Reads EventBridge's `detail`, whose keys are written as they are.
fn bridged(detail: &RawValue, time: Option<&RawValue>) -> Result<Created, InvalidNotification> {
    #[derive(Deserialize)]
    struct Detail {
        bucket: Bucket,
        object: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        key: String,
        size: u64,
        #[serde(default, deserialize_with = "not_null")]
        etag: Option<String>,
        #[serde(rename = "version-id", default)]
        version: Option<String>,
        #[serde(default)]
        sequencer: Option<String>,
    }

    let detail: Detail = parse(detail.get())?;
    let created = Created {
        bucket: detail.bucket.name,
        key: detail.object.key,
        size: detail.object.size,
        etag: detail.object.etag,
        version: detail.object.version,
        sequencer: detail.object.sequencer,
        time: time.and_then(string),
    };
    created.checked()
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

/// Reads a text that may be missing, but not null.
fn not_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl Created {
    /// Checks the bounds, and writes what says nothing as nothing.
    fn checked(mut self) -> Result<Self, InvalidNotification> {
        let texts = [&self.etag, &self.version, &self.sequencer, &self.time];
        let are_short = texts.into_iter().flatten().chain([&self.bucket]);
        let are_short = are_short
            .into_iter()
            .all(|text| text.len() <= TEXT_BYTES_MAX);
        let is_key = !self.key.is_empty() && self.key.len() <= KEY_BYTES_MAX;
        if !are_short || !is_key || self.bucket.is_empty() || self.size > SIZE_MAX {
            return Err(InvalidNotification);
        }
        let unquoted = |tag: String| tag.trim_matches('"').to_owned();
        self.etag = self.etag.map(unquoted);
        // A bucket without versions says "null".
        self.version = self.version.filter(|id| !id.is_empty() && id != "null");
        self.sequencer = match self.sequencer {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Some(text.to_ascii_uppercase()).filter(|text| !text.is_empty())
            }
            Some(_) => return Err(InvalidNotification),
            None => None,
        };
        Ok(self)
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, InvalidNotification> {
    serde_json::from_str(text).map_err(|_| InvalidNotification)
}

/// Reads an object; other JSON is none.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<Option<T>, InvalidNotification> {
    if text.trim_start().starts_with('{') {
        parse(text).map(Some)
    } else {
        Ok(None)
    }
}

fn string(text: &RawValue) -> Option<String> {
    serde_json::from_str(text.get()).ok()
}

/// Checks that the text is JSON and not nested too deep, before anything that could recurse.
fn check(text: &str) -> Result<(), InvalidNotification> {
    if nests_deeper(text, DEPTH_MAX) {
        return Err(InvalidNotification);
    }
    serde_json::from_str::<IgnoredAny>(text)
        .map(|_| ())
        .map_err(|_| InvalidNotification)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "11111111-2222-3333-4444-555555555555";

    fn id_of(key: &str) -> String {
        let body = format!(
            r#"{{"Records":[{{"eventName":"ObjectCreated:Put","s3":{{"bucket":{{"name":"b"}},
            "object":{{"key":{key:?},"size":1}}}}}}]}}"#
        );
        let created = read(body.as_bytes()).expect("an event");
        created.first().expect("one").upload_id()
    }

    /// WH-10, WH-11, and dashes that are no UUID.
    #[test]
    fn the_first_uuid_names_the_upload() {
        assert_eq!(id_of(&format!("uploads/{ID}/report.pdf")), ID);
        assert_eq!(id_of(&format!("tenant-foo/{ID}/file.bin")), ID);
        assert_eq!(id_of(&format!("uploads%2F{ID}%2Fx")), ID);
        assert_eq!(
            id_of(&format!("a/{}/x", "AAAAAAAA-2222-3333-4444-555555555555")),
            { "aaaaaaaa-2222-3333-4444-555555555555" }
        );
        let other = "22222222-2222-3333-4444-555555555555";
        assert_eq!(id_of(&format!("{ID}/{other}/x")), ID);
        for whole in [
            "uploads/2024/legacy/foo.bin",
            "a/----------------------------------/x",
            "a/------------------------------------/x",
            "a/11111111222233334444555555555555/x",
            "a/{11111111-2222-3333-4444-555555555555}/x",
            "a/11111111-2222-3333-4444-555555555555x/x",
            "a/1111111-12222-3333-4444-555555555555/x",
        ] {
            assert_eq!(id_of(whole), whole);
        }
    }

    #[test]
    fn keys_are_decoded() {
        assert_eq!(id_of("my+file+%281%29.pdf"), "my file (1).pdf");
        assert_eq!(id_of("r%C3%A9sum%C3%A9%2B.pdf"), "résumé+.pdf");
        assert_eq!(id_of("100%"), "100%");
    }

    #[test]
    fn depth_is_bounded_but_not_in_texts() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(read(nested(DEPTH_MAX).as_bytes()), Ok(vec![]));
        assert_eq!(
            read(nested(DEPTH_MAX + 1).as_bytes()),
            Err(InvalidNotification)
        );
        assert_eq!(
            read("[".repeat(100_000).as_bytes()),
            Err(InvalidNotification)
        );
        let text = format!("[\"\\\"{}\"]", "[".repeat(100));
        assert_eq!(read(text.as_bytes()), Ok(vec![]));
    }
}

//! Strict books about multipart uploads: what S3 checks and a stand-in may not, and the lists that
//! s3s-fs does not know.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use hyper::{Request, Response};
use md5::{Digest, Md5};
use s3s::Body;

use super::stage::Asked;

/// The smallest part but the last.
const PART_BYTES_MIN: usize = 5 << 20;

#[derive(Default)]
pub(crate) struct Ledger {
    uploads: BTreeMap<String, Upload>,
    /// The headers each finished object was made with.
    pub(crate) headers: BTreeMap<String, BTreeMap<String, String>>,
    /// How many parts were stored, counting again what was sent again.
    pub(crate) parts_stored: usize,
    /// What a client did that S3 would refuse.
    pub(crate) wrongs: Vec<String>,
    /// A part that a late request stores again just before the upload is completed, which gives it
    /// another entity tag, as with SSE-KMS.
    pub(crate) stored_late: Option<u32>,
    /// Whether lists of parts tell checksums, as AWS does.
    pub(crate) hides_checksums: bool,
    /// Whether uploads are listed by a whole key only, as MinIO does.
    pub(crate) lists_whole_keys: bool,
    /// Whether pages of such lists break off, without saying where the next one begins.
    pub(crate) breaks_off: bool,
}

struct Upload {
    key: String,
    began: u64,
    full_object: bool,
    headers: BTreeMap<String, String>,
    parts: BTreeMap<u32, Part>,
}

struct Part {
    etag: String,
    len: usize,
    crc32c: u32,
    has_crc32c: bool,
}

impl Ledger {
    /// Names unfinished uploads.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = String> {
        let named = |(id, upload): (&String, &Upload)| format!("upload {id} of {}", upload.key);
        self.uploads.iter().map(named)
    }

    /// Makes all uploads look as if they had begun this long ago.
    pub(crate) fn age_by(&mut self, seconds: u64) {
        for upload in self.uploads.values_mut() {
            upload.began -= seconds;
        }
    }

    /// Makes the upload that is listed last look as if it had begun this long ago.
    pub(crate) fn age_last_by(&mut self, seconds: u64) {
        let uploads = self.uploads.values_mut();
        let last = uploads.max_by(|one, other| one.key.cmp(&other.key));
        last.expect("there are some").began -= seconds;
    }

    /// Answers what s3s-fs cannot, and refuses what S3 would.
    pub(crate) fn check(
        &mut self,
        asked: &Asked,
        key: &str,
        id: &str,
        query: &BTreeMap<String, String>,
        request: &Request<Bytes>,
    ) -> Option<Response<Body>> {
        let crc32c = header(request, "x-amz-checksum-crc32c");
        if *asked == Asked::Complete
            && let Some(number) = self.stored_late.take()
        {
            let upload = self.uploads.get_mut(id).expect("is there");
            let part = upload.parts.get_mut(&number).expect("is there");
            part.etag = "\"stored-late\"".to_owned();
            return Some(refusal(400, "InvalidPart"));
        }
        match asked {
            Asked::Uploads => {
                let prefix = query.get("prefix").map_or("", String::as_str);
                let marker = query.get("key-marker").map_or("", String::as_str);
                return Some(xml(200, self.list_uploads(prefix, marker)));
            }
            Asked::Part(_) | Asked::Complete | Asked::Abort | Asked::Parts => {
                let Some(upload) = self.uploads.get(id) else {
                    return Some(refusal(404, "NoSuchUpload"));
                };
                if upload.key != key {
                    self.wrongs.push(format!("{asked:?}: another key"));
                }
                match asked {
                    Asked::Parts => {
                        let page = list_parts(upload, query, self.hides_checksums);
                        let broken = page.replace("NextPartNumberMarker", "Nothing");
                        return Some(xml(200, if self.breaks_off { broken } else { page }));
                    }
                    Asked::Complete => {
                        if let Err(wrong) = check_complete(upload, request) {
                            self.wrongs.push(wrong);
                            return Some(refusal(400, "InvalidPart"));
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        if let (Asked::Part(_) | Asked::Put, Some(claimed)) = (asked, crc32c)
            && claimed != base64(crc32c::crc32c(request.body()))
        {
            return Some(refusal(400, "BadDigest"));
        }
        if let (Asked::Part(_) | Asked::Put, Some(claimed)) =
            (asked, header(request, "content-md5"))
            && claimed != base64_simd::STANDARD.encode_to_string(Md5::digest(request.body()))
        {
            return Some(refusal(400, "BadDigest"));
        }
        if header(request, "content-encoding").is_some_and(|one| one.contains("aws-chunked")) {
            self.wrongs
                .push(format!("{asked:?}: sent in signed chunks"));
        }
        None
    }

    /// Notes what took effect.
    pub(crate) fn note(
        &mut self,
        asked: &Asked,
        key: &str,
        id: &str,
        request: &Request<Bytes>,
        answer: &Response<Bytes>,
    ) {
        match asked {
            Asked::Create => {
                let text = String::from_utf8_lossy(answer.body());
                let id = between(&text, "<UploadId>", "</UploadId>").expect("an id");
                let full_object = header(request, "x-amz-checksum-type");
                let upload = Upload {
                    key: key.to_owned(),
                    began: now(),
                    full_object: full_object.as_deref() == Some("FULL_OBJECT"),
                    headers: headers(request),
                    parts: BTreeMap::new(),
                };
                self.uploads.insert(id.to_owned(), upload);
            }
            Asked::Part(number) => {
                self.parts_stored += 1;
                let etag = answer.headers()["etag"].to_str().expect("text");
                let part = Part {
                    etag: etag.to_owned(),
                    len: request.body().len(),
                    crc32c: crc32c::crc32c(request.body()),
                    has_crc32c: header(request, "x-amz-checksum-crc32c").is_some(),
                };
                // A part may arrive after its upload was thrown away.
                if let Some(upload) = self.uploads.get_mut(id) {
                    upload.parts.insert(*number, part);
                }
            }
            Asked::Complete => {
                let upload = self.uploads.remove(id).expect("was checked");
                self.headers.insert(upload.key, upload.headers);
            }
            Asked::Abort => {
                self.uploads.remove(id);
            }
            Asked::Put => {
                self.headers.insert(key.to_owned(), headers(request));
            }
            _ => {}
        }
    }

    /// Lists two uploads a page, so that pages are read.
    fn list_uploads(&self, prefix: &str, marker: &str) -> String {
        let is_asked_for = |key: &str| match self.lists_whole_keys {
            true => prefix.is_empty() || key == prefix,
            false => key.starts_with(prefix),
        };
        let mut found: Vec<_> = self.uploads.iter().collect();
        found.sort_by_key(|(_, upload)| &upload.key);
        let mut left = found
            .into_iter()
            .filter(|(_, upload)| is_asked_for(&upload.key) && *upload.key > *marker);
        let mut text = String::from("<ListMultipartUploadsResult>");
        let mut last = "";
        for (id, upload) in left.by_ref().take(2) {
            let (key, began) = (&upload.key, time(upload.began));
            last = key;
            write!(
                text,
                "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{began}</Initiated></Upload>"
            )
            .expect("writes");
        }
        let more = left.next().is_some();
        write!(
            text,
            "<IsTruncated>{more}</IsTruncated><NextKeyMarker>{last}</NextKeyMarker></ListMultipartUploadsResult>"
        )
        .expect("writes");
        text
    }
}

/// Lists two parts a page, so that pages are read.
fn list_parts(upload: &Upload, query: &BTreeMap<String, String>, hides: bool) -> String {
    let marker = query.get("part-number-marker");
    let marker: u32 = marker.map_or(0, |marker| marker.parse().expect("a number"));
    let mut left = upload.parts.range(marker + 1..);
    let mut text = String::from("<ListPartsResult>");
    let mut last = marker;
    for (number, part) in left.by_ref().take(2) {
        last = *number;
        let (etag, len, at) = (&part.etag, part.len, time(upload.began));
        write!(
            text,
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><Size>{len}</Size><LastModified>{at}</LastModified>"
        )
        .expect("writes");
        if part.has_crc32c && !hides {
            let crc32c = base64(part.crc32c);
            write!(text, "<ChecksumCRC32C>{crc32c}</ChecksumCRC32C>").expect("writes");
        }
        text += "</Part>";
    }
    let more = left.next().is_some();
    write!(
        text,
        "<IsTruncated>{more}</IsTruncated><NextPartNumberMarker>{last}</NextPartNumberMarker></ListPartsResult>"
    )
    .expect("writes");
    text
}

fn check_complete(upload: &Upload, request: &Request<Bytes>) -> Result<(), String> {
    let body = String::from_utf8_lossy(request.body()).replace("&quot;", "\"");
    let listed: Vec<&str> = body.split("<Part>").skip(1).collect();
    let (mut whole, mut len) = (0, 0);
    for (index, one) in listed.iter().enumerate() {
        let number = between(one, "<PartNumber>", "</PartNumber>").unwrap_or_default();
        let number: u32 = number.parse().map_err(|_| format!("no number in {one}"))?;
        if number as usize != index + 1 {
            return Err(format!("part {number} stands at {index}"));
        }
        let part = upload
            .parts
            .get(&number)
            .ok_or(format!("no part {number}"))?;
        let etag = between(one, "<ETag>", "</ETag>").unwrap_or_default();
        if etag != part.etag {
            return Err(format!("part {number} is {}, not {etag}", part.etag));
        }
        if index + 1 < listed.len() && part.len < PART_BYTES_MIN {
            return Err(format!("part {number} is too small"));
        }
        if let Some(crc32c) = between(one, "<ChecksumCRC32C>", "</ChecksumCRC32C>")
            && crc32c != base64(part.crc32c)
        {
            return Err(format!("part {number} has another checksum"));
        }
        whole = crc32c::crc32c_combine(whole, part.crc32c, part.len);
        len += part.len;
    }
    let claimed = header(request, "x-amz-checksum-crc32c");
    if upload.full_object && claimed.is_some_and(|claimed| claimed != base64(whole)) {
        return Err("the whole has another checksum".to_owned());
    }
    let size = header(request, "x-amz-mp-object-size");
    if size.is_some_and(|size| size != len.to_string()) {
        return Err("the whole has another size".to_owned());
    }
    Ok(())
}

/// An error as S3 writes it.
pub(crate) fn refusal(status: u16, code: &str) -> Response<Body> {
    xml(
        status,
        format!("<Error><Code>{code}</Code><Message>of the test</Message></Error>"),
    )
}

fn xml(status: u16, text: String) -> Response<Body> {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}");
    let answer = Response::builder().status(status);
    let answer = answer.header("content-type", "application/xml");
    answer.body(Body::from(text)).expect("an answer")
}

fn header<B>(request: &Request<B>, name: &str) -> Option<String> {
    let value = request.headers().get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn headers<B>(request: &Request<B>) -> BTreeMap<String, String> {
    let text =
        |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all = request.headers().iter();
    all.map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(begin)?.1.split_once(end)?.0)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

fn time(seconds: u64) -> String {
    let time = aws_sdk_s3::primitives::DateTime::from_secs(i64::try_from(seconds).expect("a time"));
    let format = aws_sdk_s3::primitives::DateTimeFormat::DateTime;
    time.fmt(format).expect("a time")
}

/// A checksum as S3 writes it.
fn base64(crc32c: u32) -> String {
    base64_simd::STANDARD.encode_to_string(crc32c.to_be_bytes())
}

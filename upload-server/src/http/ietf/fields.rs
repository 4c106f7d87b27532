//! The header fields of the draft: structured fields, of which a malformed one counts as absent.

use http::{HeaderMap, HeaderValue, header};
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};
use upload_writers::is_coding;

use crate::http::visit::check::{Algorithm, Check};

/// Reads a boolean.
pub(crate) fn boolean(headers: &HeaderMap, name: &str) -> Option<bool> {
    match item(headers, name)? {
        BareItem::Boolean(value) => Some(value),
        _ => None,
    }
}

/// Reads a number of bytes.
pub(crate) fn bytes(headers: &HeaderMap, name: &str) -> Option<u64> {
    match item(headers, name)? {
        BareItem::Integer(value) => u64::try_from(i64::from(value)).ok(),
        _ => None,
    }
}

/// Reads the coding that content is in; `None` where it is in none.
///
/// # Errors
///
/// It is in several, or in one whose name is none.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let coding = value.to_str().map_err(|_| ())?.trim();
    match values.next() {
        None if coding.eq_ignore_ascii_case("identity") => Ok(None),
        None if is_coding(coding) => Ok(Some(coding)),
        _ => Err(()),
    }
}

fn item(headers: &HeaderMap, name: &str) -> Option<BareItem> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let item: Item = Parser::new(value.as_bytes()).parse().ok()?;
    Some(item.bare_item)
}

/// Reads a digest field (RFC 9530): the strongest algorithm that is known.
pub(crate) fn digest(headers: &HeaderMap, name: &str) -> Option<Check> {
    let digests = digests(headers, name)?;
    let known = [
        ("sha-512", Algorithm::Sha512),
        ("sha-256", Algorithm::Sha256),
    ];
    known.into_iter().find_map(|(name, algorithm)| {
        let ListEntry::Item(item) = digests.get(name)? else {
            return None;
        };
        match &item.bare_item {
            BareItem::ByteSequence(digest) => Check::new(algorithm, digest.clone()),
            _ => None,
        }
    })
}

/// Reads the CRC32C of a digest field: four bytes, the highest first.
pub(crate) fn crc32c(headers: &HeaderMap, name: &str) -> Option<u32> {
    let ListEntry::Item(item) = digests(headers, name)?.swap_remove("crc32c")? else {
        return None;
    };
    let digest = item.bare_item.as_byte_sequence()?;
    Some(u32::from_be_bytes(digest.try_into().ok()?))
}

fn digests(headers: &HeaderMap, name: &str) -> Option<Dictionary> {
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let joined = lines.collect::<Vec<_>>().join(&b',');
    Parser::new(&joined).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn r1_malformed_fields_are_absent() {
        let read =
            |value: &str| boolean(&headers(&[("upload-complete", value)]), "upload-complete");
        assert_eq!(read("?1"), Some(true));
        assert_eq!(read("?0;a=1"), Some(false));
        for bad in ["", "1", "true", "?2", "?1, ?0", "\"?1\""] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let twice = headers(&[("upload-complete", "?1"), ("upload-complete", "?1")]);
        assert_eq!(boolean(&twice, "upload-complete"), None);

        let read = |value: &str| bytes(&headers(&[("upload-offset", value)]), "upload-offset");
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("999999999999999"), Some(999_999_999_999_999));
        for bad in ["", "-1", "1.0", "1e3", "9999999999999999", "?1", "a"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn r9_one_coding_is_read() {
        let read = |lines: &[&str]| {
            let lines = lines.iter().map(|line| ("content-encoding", *line));
            let lines: Vec<_> = lines.collect();
            coding(&headers(&lines)).map(|coding| coding.map(str::to_owned))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Identity"]), Ok(None));
        assert_eq!(read(&["gzip"]), Ok(Some("gzip".to_owned())));
        let long = "z".repeat(65);
        for bad in [
            &["gzip, br"][..],
            &["gzip", "br"],
            &[""],
            &["a/b"],
            &[&*long],
        ] {
            assert_eq!(read(bad), Err(()), "{bad:?}");
        }
    }

    #[test]
    fn r20_the_strongest_digest_that_is_known() {
        let read = |value: &str| digest(&headers(&[("content-digest", value)]), "content-digest");
        let sha256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        assert!(read(sha256).is_some());
        assert!(read(&format!("unknown=:AA==:, {sha256}")).is_some());
        for bad in ["", "sha-256=:AA==:", "sha-256=1", "md5=:AA==:", "sha-256"] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn r20_the_checksum_of_pages() {
        let read = |value: &str| crc32c(&headers(&[("repr-digest", value)]), "repr-digest");
        assert_eq!(read("crc32c=:4waSgw==:"), Some(0xe306_9283));
        assert_eq!(read("sha-256=:AA==:, crc32c=:AAAAAA==:"), Some(0));
        for bad in [
            "",
            "crc32c=:AAAA:",
            "crc32c=1",
            "crc32c",
            "crc32=:AAAAAA==:",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}

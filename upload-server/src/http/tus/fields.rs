//! The header fields of tus 1.0.0, each read by one function.

use http::{HeaderMap, HeaderValue, header};
use upload_proto::{Code, limits::SIZE_MAX};

use crate::http::{
    doors::refusal::{Asked, Door, Refusal},
    visit::check::{Algorithm, Check, Checking},
};

/// The type of content that is appended.
pub(crate) const OFFSET_TYPE: &str = "application/offset+octet-stream";

/// What a request says of its upload's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many bytes.
    Known(u64),
    /// It follows later.
    Deferred,
}

/// Reads a number of bytes: decimal digits and nothing else.
pub(crate) fn bytes(headers: &HeaderMap, name: &str) -> Result<Option<u64>, ()> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(());
    }
    let text = value.to_str().map_err(|_| ())?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    // More than every number is more than every limit.
    Ok(Some(text.parse().unwrap_or(u64::MAX)))
}

/// Reads the length of a new upload: exactly one of the two fields.
pub(crate) fn length(headers: &HeaderMap) -> Result<Length, Refusal> {
    let known = bytes(headers, "upload-length");
    let known = known.map_err(|()| Refusal::bad("Invalid Upload-Length"))?;
    let deferred = match headers.get("upload-defer-length") {
        None => false,
        Some(value) if value == "1" => true,
        Some(_) => return Err(Refusal::bad("Invalid Upload-Defer-Length")),
    };
    match (known, deferred) {
        (Some(length), false) if length > SIZE_MAX => {
            Err(Refusal::of(Code::TooLarge, Door::Tus, Asked::Change))
        }
        (Some(length), false) => Ok(Length::Known(length)),
        (None, true) => Ok(Length::Deferred),
        (Some(_), true) | (None, false) => Err(Refusal::bad(
            "One of Upload-Length and Upload-Defer-Length is needed",
        )),
    }
}

/// Returns whether the content is of the type that is appended.
pub(super) fn is_offset_type(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let Some(Ok(value)) = value else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(OFFSET_TYPE)
}

/// Reads `Upload-Checksum`: an algorithm that is known, and a value of its length.
pub(crate) fn checksum(headers: &HeaderMap) -> Result<Checking, Refusal> {
    let Some(value) = headers.get("upload-checksum") else {
        return Ok(Checking::Nothing);
    };
    let bad = || Refusal::bad("Invalid Upload-Checksum");
    let text = value.to_str().map_err(|_| bad())?;
    let (algorithm, digest) = text.trim().split_once(' ').ok_or_else(bad)?;
    let algorithm = match algorithm.to_ascii_lowercase().as_str() {
        "sha1" => Algorithm::Sha1,
        "sha256" => Algorithm::Sha256,
        _ => return Err(bad()),
    };
    let digest = base64_simd::STANDARD.decode_to_vec(digest.trim().as_bytes());
    let check = digest.ok().and_then(|digest| Check::new(algorithm, digest));
    check.map(Checking::HeldBack).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                value.parse().expect("a value"),
            )
        });
        pairs.collect()
    }

    #[test]
    fn t20_exactly_one_length() {
        let read = |pairs: &[(&'static str, &str)]| {
            length(&headers(pairs)).map_err(|refusal| refusal.status.as_u16())
        };
        assert_eq!(read(&[("upload-length", "0")]), Ok(Length::Known(0)));
        assert_eq!(read(&[("upload-length", "12")]), Ok(Length::Known(12)));
        assert_eq!(read(&[("upload-defer-length", "1")]), Ok(Length::Deferred));
        for bad in [
            &[][..],
            &[("upload-length", "")],
            &[("upload-length", "-1")],
            &[("upload-length", "+1")],
            &[("upload-length", "1.0")],
            &[("upload-length", "0x1")],
            &[("upload-defer-length", "0")],
            &[("upload-defer-length", "true")],
            &[("upload-length", "1"), ("upload-defer-length", "1")],
        ] {
            assert_eq!(read(bad), Err(400), "{bad:?}");
        }
        let huge = "9".repeat(40);
        assert_eq!(read(&[("upload-length", &huge)]), Err(413));
    }

    #[test]
    fn t9_the_type_of_appended_content() {
        let is = |value: &str| is_offset_type(&headers(&[("content-type", value)]));
        assert!(is("application/offset+octet-stream"));
        assert!(is("Application/Offset+Octet-Stream; charset=utf-8"));
        assert!(!is("application/octet-stream"));
        assert!(!is_offset_type(&HeaderMap::new()));
    }

    #[test]
    fn t31_checksums_are_read_and_refused() {
        let read = |value: &str| {
            checksum(&headers(&[("upload-checksum", value)]))
                .map(|check| matches!(check, Checking::HeldBack(_)))
                .map_err(|refusal| refusal.status.as_u16())
        };
        assert_eq!(read("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="), Ok(true));
        for bad in [
            "",
            "sha1",
            "sha1 ",
            "sha1 Kq5s",
            "sha1 ***",
            "md4 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        ] {
            assert_eq!(read(bad), Err(400), "{bad}");
        }
        let none = checksum(&HeaderMap::new()).expect("none");
        assert!(matches!(none, Checking::Nothing));
    }
}

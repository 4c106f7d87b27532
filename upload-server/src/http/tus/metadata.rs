//! `Upload-Metadata`: pairs of a key and a value in base64.

use base64_simd::STANDARD;
use serde_json::{Map, Value};
use upload_proto::limits::{
    CLIENT_NAME_BYTES_MAX, CLIENT_TYPE_BYTES_MAX, DATE_MS_MAX, META_BYTES_MAX,
};
use upload_writers::UploadFacts;

/// Where the header is kept as it was sent, if the pairs alone do not tell it.
const RAW: &str = "upload-metadata";

/// Most bytes of it: pairs that fit take less in base64.
const RAW_BYTES_MAX: usize = 6 * 1024;

/// What an upload's metadata says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) name: Option<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) relative_path: Option<String>,
    pub(crate) last_modified: Option<u64>,
    /// Every pair, for the application and for `HEAD`.
    pub(crate) meta: Map<String, Value>,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// It is not a list of pairs.
    Form,
    /// It is too long.
    Length,
}

impl Metadata {
    /// Reads the header; an empty one has no pairs.
    pub(crate) fn parse(header: &str) -> Result<Self, Bad> {
        let mut meta = Map::new();
        for pair in header.split(',').map(|pair| pair.trim_matches(' ')) {
            if pair.is_empty() && header.trim_matches(' ').is_empty() {
                break;
            }
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let is_key = |byte: u8| byte.is_ascii_graphic() && byte != b',';
            if key.is_empty() || !key.bytes().all(is_key) {
                return Err(Bad::Form);
            }
            let value = decode(value.trim_matches(' ')).ok_or(Bad::Form)?;
            let value = String::from_utf8_lossy(&value).into_owned();
            if meta.insert(key.to_owned(), Value::String(value)).is_some() {
                return Err(Bad::Form);
            }
        }
        let mut metadata = Self {
            // An earlier TUSKit writes `fileName`.
            name: text(&meta, &["filename", "name", "fileName"]),
            media_type: text(&meta, &["filetype", "type"]),
            relative_path: text(&meta, &["relativePath"]),
            last_modified: text(&meta, &["lastModified"])
                .and_then(|text| moment(&text, 1))
                .or_else(|| text(&meta, &["mtime"]).and_then(|text| moment(&text, 1000))),
            meta,
        };
        let is_too_long = |text: &Option<String>, most: usize| {
            text.as_ref().is_some_and(|text| text.len() > most)
        };
        // Only what the pairs say is measured: that it is kept twice is not the client's doing.
        let json = serde_json::to_string(&metadata.meta).map_or(usize::MAX, |json| json.len());
        if is_too_long(&metadata.name, CLIENT_NAME_BYTES_MAX)
            || is_too_long(&metadata.relative_path, CLIENT_NAME_BYTES_MAX)
            || json > META_BYTES_MAX
            || header.len() > RAW_BYTES_MAX
        {
            return Err(Bad::Length);
        }
        if echo(&metadata.meta).as_deref().unwrap_or_default() != header {
            let raw = Value::String(header.to_owned());
            metadata.meta.insert(RAW.to_owned(), raw);
        }
        // A type that no type is as long as says nothing.
        if is_too_long(&metadata.media_type, CLIENT_TYPE_BYTES_MAX) {
            metadata.media_type = None;
        }
        Ok(metadata)
    }
}

/// Writes the header that an upload's metadata came from; `None` where there was none.
pub(crate) fn echo(meta: &Map<String, Value>) -> Option<String> {
    if let Some(Value::String(raw)) = meta.get(RAW) {
        return Some(raw.clone());
    }
    let pairs = meta.iter().filter_map(|(key, value)| {
        let value = value.as_str()?;
        let is_key = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        // What another door keeps there is no pair of its client.
        if key == UploadFacts::CODING_KEY || key.is_empty() || !key.bytes().all(is_key) {
            return None;
        }
        Some(match value {
            "" => key.clone(),
            value => format!("{key} {}", STANDARD.encode_to_string(value)),
        })
    });
    let pairs: Vec<_> = pairs.collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

/// Reads base64, also without its padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let bare = text.trim_end_matches('=');
    if text.len().saturating_sub(bare.len()) > 2 {
        return None;
    }
    base64_simd::STANDARD_NO_PAD
        .decode_to_vec(bare.as_bytes())
        .ok()
}

/// Returns the first of these that is there; scripts write what they do not know as `null`.
fn text(meta: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    let texts = keys.iter().filter_map(|key| meta.get(*key)?.as_str());
    let mut known = texts.filter(|text| !matches!(*text, "" | "null" | "undefined"));
    known.next().map(str::to_owned)
}

/// Reads a date in units of so many milliseconds since 1970.
fn moment(text: &str, unit_ms: u64) -> Option<u64> {
    let whole = text.split('.').next()?;
    let at = whole.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (at <= DATE_MS_MAX).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(header: &str) -> Result<Vec<(String, String)>, Bad> {
        let metadata = Metadata::parse(header)?;
        let pairs = metadata.meta.into_iter().filter(|(key, _)| key != RAW);
        Ok(pairs
            .map(|(key, value)| (key, value.as_str().expect("text").to_owned()))
            .collect())
    }

    fn one(key: &str, value: &str) -> Vec<(String, String)> {
        vec![(key.to_owned(), value.to_owned())]
    }

    #[test]
    fn t23_pairs_are_read_and_refused() {
        assert_eq!(pairs(""), Ok(vec![]));
        assert_eq!(pairs("filename YS50eHQ="), Ok(one("filename", "a.txt")));
        assert_eq!(pairs("filename YS50eHQ"), Ok(one("filename", "a.txt")));
        assert_eq!(pairs("is_confidential"), Ok(one("is_confidential", "")));
        assert_eq!(pairs("is_confidential "), Ok(one("is_confidential", "")));
        assert_eq!(pairs("a YQ==, b Yg==").map(|pairs| pairs.len()), Ok(2));
        for bad in [
            ",",
            "a,",
            "a YQ==,,b Yg==",
            "a YQ==,a YQ==",
            "ä YQ==",
            "a Y!==",
            "a YQ===",
            "a YQ== YQ==",
        ] {
            assert_eq!(pairs(bad), Err(Bad::Form), "{bad}");
        }
        let long = format!("filename {}", "YWFh".repeat(2000));
        assert_eq!(pairs(&long), Err(Bad::Length));
    }

    /// T23: `HEAD` repeats the header as it was sent.
    #[test]
    fn t23_every_pair_is_echoed() {
        for header in [
            "filename YS50eHQ=",
            "b Yg==,a YQ==",
            "empty",
            "empty ,a YQ==",
            "name /w==",
            "filename YS50eHQ",
            "content-encoding Z3ppcA==",
        ] {
            let meta = Metadata::parse(header).expect("good").meta;
            assert_eq!(echo(&meta).as_deref(), Some(header));
        }
        assert_eq!(echo(&Metadata::default().meta), None);
        assert_eq!(echo(&Metadata::parse("").expect("good").meta), None);
    }

    /// T23: a header that is kept as it was counts once, and 4 KiB of pairs are taken in any order.
    #[test]
    fn t23_pairs_are_measured_alone() {
        let text = |bytes: usize| STANDARD.encode_to_string("v".repeat(bytes));
        // As JSON, both pairs have 15 bytes more than their values.
        let values = META_BYTES_MAX - 15;
        let header = |more: usize| format!("b {},a {}", text(96), text(values - 96 + more));
        let meta = Metadata::parse(&header(0)).expect("just enough").meta;
        assert!(meta.contains_key(RAW), "they are not sorted");
        assert_eq!(echo(&meta), Some(header(0)));
        assert_eq!(pairs(&header(0)).map(|pairs| pairs.len()), Ok(2));
        assert_eq!(Metadata::parse(&header(1)), Err(Bad::Length));
        // Nor is the header kept at any length.
        let spaces = " ".repeat(RAW_BYTES_MAX);
        let padded = format!("b Yg==,{spaces}a YQ==");
        assert_eq!(Metadata::parse(&padded), Err(Bad::Length));
    }

    #[test]
    fn t24_the_names_that_clients_use() {
        let read = |header: &str| Metadata::parse(header).expect("good");
        // filename: null, name: a.txt, filetype: undefined, type: text/plain
        let metadata = read(
            "filename bnVsbA==,name YS50eHQ=,filetype dW5kZWZpbmVk,type dGV4dC9wbGFpbg==,relativePath ZC9hLnR4dA==",
        );
        assert_eq!(metadata.name.as_deref(), Some("a.txt"));
        assert_eq!(metadata.media_type.as_deref(), Some("text/plain"));
        assert_eq!(metadata.relative_path.as_deref(), Some("d/a.txt"));
        // lastModified: 1700000000000, mtime: 1700000000.5
        assert_eq!(
            read("lastModified MTcwMDAwMDAwMDAwMA==").last_modified,
            Some(1_700_000_000_000)
        );
        assert_eq!(
            read("mtime MTcwMDAwMDAwMC41").last_modified,
            Some(1_700_000_000_000)
        );
        assert_eq!(read("name /w==").name.as_deref(), Some("\u{fffd}"));
        assert_eq!(read("fileName YS50eHQ=, x").name.as_deref(), Some("a.txt"));
    }
}

//! Looks at JSON text without building anything: its fields, its depth, its escapes.
//!
//! Nothing in here recurses, so that hostile nesting costs no stack.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess},
};
use serde_json::value::RawValue;

use crate::{ids::UploadRef, limits::MESSAGE_DEPTH_MAX};

/// The fields of a message that some type of message knows, each as the text it was sent as.
///
/// All other fields are checked to be JSON and forgotten (PROTOCOL CTRL-1).
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) kind: Field<'a>,
    pub(super) upload: Field<'a>,
    pub(super) upload_id: Field<'a>,
    pub(super) upload_name: Field<'a>,
    pub(super) client_name: Field<'a>,
    pub(super) client_type: Field<'a>,
    pub(super) client_size: Field<'a>,
    pub(super) client_id: Field<'a>,
    pub(super) resumable: Field<'a>,
    pub(super) last_modified: Field<'a>,
    pub(super) relative_path: Field<'a>,
    pub(super) meta: Field<'a>,
    pub(super) offset: Field<'a>,
    pub(super) event: Field<'a>,
    pub(super) params: Field<'a>,
    pub(super) id: Field<'a>,
    pub(super) uploads: Field<'a>,
}

impl<'a> Fields<'a> {
    /// Reads the outermost object; `None` if the text is not one JSON object.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn named(&mut self, name: &str) -> Option<&mut Field<'a>> {
        Some(match name {
            "type" => &mut self.kind,
            "ref" => &mut self.upload,
            "upload_id" => &mut self.upload_id,
            "upload_name" => &mut self.upload_name,
            "client_name" => &mut self.client_name,
            "client_type" => &mut self.client_type,
            "client_size" => &mut self.client_size,
            "client_id" => &mut self.client_id,
            "resumable" => &mut self.resumable,
            "last_modified" => &mut self.last_modified,
            "relative_path" => &mut self.relative_path,
            "meta" => &mut self.meta,
            "offset" => &mut self.offset,
            "event" => &mut self.event,
            "params" => &mut self.params,
            "id" => &mut self.id,
            "uploads" => &mut self.uploads,
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Message;

        impl<'de> de::Visitor<'de> for Message {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                // Raw names, because the name of an ignored field may hold a lone surrogate.
                while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    let Some(name) = read::<String>(name.get()) else {
                        continue;
                    };
                    if let Some(field) = fields.named(&name) {
                        field.add(value.get());
                    }
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Message)
    }
}

/// What a message says in one field.
#[derive(Clone, Copy, Default)]
pub(super) struct Field<'a> {
    raw: Option<&'a str>,
    repeated: bool,
}

impl<'a> Field<'a> {
    /// Returns the JSON text; none if the field is absent or null.
    pub(super) fn raw(self) -> Option<&'a str> {
        self.raw.filter(|raw| *raw != "null")
    }

    /// Tells whether the field is there and null, where that says something else than no field.
    pub(super) fn is_null(self) -> bool {
        self.raw == Some("null")
    }

    /// Tells whether the field is there at most once and all its text is Unicode (PROTOCOL CTRL-2).
    pub(super) fn is_sound(self) -> bool {
        !self.repeated && !self.raw.is_some_and(has_lone_surrogate)
    }

    /// Reads the only value of the field.
    pub(super) fn value<T: DeserializeOwned>(self) -> Option<T> {
        read(self.raw.filter(|_| !self.repeated)?)
    }

    /// Reads the field as a ref that can name an upload.
    pub(super) fn upload(self) -> Option<UploadRef> {
        self.value::<UploadRef>()?.non_nil()
    }

    fn add(&mut self, raw: &'a str) {
        self.repeated = self.raw.is_some();
        self.raw = Some(raw);
    }
}

/// Reads one JSON value; `None` if it is of another type.
pub(super) fn read<T: DeserializeOwned>(raw: &str) -> Option<T> {
    serde_json::from_str(raw).ok()
}

/// Tells whether objects and arrays nest deeper than a message may, the message counted.
pub(super) fn is_too_deep(text: &str) -> bool {
    nests_deeper(text, MESSAGE_DEPTH_MAX)
}

/// Tells whether the objects and arrays of JSON text nest deeper than `depth_max`, the outermost
/// counted.
///
/// It looks at the text only, so that whatever reads it afterwards may recurse.
pub fn nests_deeper(text: &str, depth_max: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth = depth.saturating_add(1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            return true;
        }
    }
    false
}

/// Tells whether JSON text escapes half of a surrogate pair, which is no character.
fn has_lone_surrogate(raw: &str) -> bool {
    let mut rest = raw;
    while let Some((_, escape)) = rest.split_once('\\') {
        rest = match code_unit(escape) {
            Some((0xd800..=0xdbff, after)) => match after.strip_prefix('\\').and_then(code_unit) {
                Some((0xdc00..=0xdfff, after)) => after,
                _ => return true,
            },
            Some((0xdc00..=0xdfff, _)) => return true,
            Some((_, after)) => after,
            // One of the escapes of a single letter.
            None => escape.get(1..).unwrap_or_default(),
        };
    }
    false
}

/// Splits `uXXXX` off the front.
fn code_unit(escape: &str) -> Option<(u16, &str)> {
    let (digits, after) = escape.strip_prefix('u')?.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTRL-1: the message itself is the first of the 32 levels; brackets in text do not count.
    #[test]
    fn ctrl_1_depth_counts_objects_and_arrays() {
        let nested = |open: &str, close: &str, n| open.repeat(n) + &close.repeat(n);
        assert!(!is_too_deep(&nested("[", "]", 32)));
        assert!(is_too_deep(&nested("[", "]", 33)));
        assert!(is_too_deep(&nested("{\"a\":", "}", 33)));
        assert!(!is_too_deep(&format!("[{}]", "[],".repeat(100))));
        assert!(!is_too_deep(&format!("{:?}", "[".repeat(100))));
        assert!(!is_too_deep(&format!(r#"{{"a\"{}":1}}"#, "{".repeat(100))));
        assert!(is_too_deep(&format!(r#"{{"a\\":{}"#, "[".repeat(32))));
        assert!(is_too_deep(&"[".repeat(60_000)));
    }

    /// CTRL-2: half a pair is found wherever it is, a whole pair is a character.
    #[test]
    fn ctrl_2_lone_surrogates_are_found() {
        for raw in [
            r#""\ud800""#,
            r#""\uDC00""#,
            r#""\ud83d\ud83d\ude00""#,
            r#""\ud83d\n\ude00""#,
            r#""\ude00\ud83d""#,
            r#""\\\ud800""#,
            r#"{"\ud800":1}"#,
            r#"["a",["\udfff"]]"#,
        ] {
            assert!(has_lone_surrogate(raw), "{raw}");
        }
        for raw in [
            r#""\ud83d\ude00""#,
            r#""\\ud800""#,
            r#""\u00e9\"\\""#,
            r#""😀""#,
            "5",
            r#""""#,
        ] {
            assert!(!has_lone_surrogate(raw), "{raw}");
        }
    }
}

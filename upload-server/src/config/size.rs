//! Sizes in bytes, written as numbers or as text with a unit.

use std::fmt;

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, de};

/// A number of bytes: `65536`, `"64KiB"` or `"500MB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, or text such as \"256MiB\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
        let refused = |_| E::invalid_value(de::Unexpected::Signed(bytes), &self);
        u64::try_from(bytes).map(Size).map_err(refused)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        let refused = |_| E::invalid_value(de::Unexpected::Str(text), &self);
        text.parse()
            .map(|ByteSize(bytes)| Size(bytes))
            .map_err(refused)
    }
}

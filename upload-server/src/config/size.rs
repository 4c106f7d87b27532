//! Sizes in bytes, written as numbers or as text with a unit.

use std::fmt;

use bytesize::ByteSize;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// A number of bytes: `65536`, `"64KiB"` or `"500MB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text).map(Self)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 65536, \"64KiB\" or \"500MB\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
        let unexpected = de::Unexpected::Signed(bytes);
        u64::try_from(bytes).map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let size = text.parse::<ByteSize>();
        let ByteSize(bytes) =
            size.map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, I64Deserializer, StrDeserializer, U64Deserializer};

    use super::*;

    #[test]
    fn sizes_are_numbers_of_bytes_or_text_with_a_unit() {
        let text = |text| Size::deserialize(StrDeserializer::<Error>::new(text));
        let number = |number| Size::deserialize(U64Deserializer::<Error>::new(number));
        assert_eq!(number(65536), Ok(Size(65536)));
        assert_eq!(text("64KiB"), Ok(Size(64 << 10)));
        assert_eq!(text("500MB"), Ok(Size(500_000_000)));
        assert_eq!(text("65536"), Ok(Size(65536)));
        let negative = Size::deserialize(I64Deserializer::<Error>::new(-1));
        for bad in [text(""), text("many"), text("5 parsecs"), negative] {
            let error = bad.expect_err("no size").to_string();
            assert!(error.contains("\"64KiB\""), "{error}");
        }
    }
}

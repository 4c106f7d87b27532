//! The name of an upload: a UUID made by the client.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::error::RefError;

/// The ref of an upload: 16 bytes in frames, 36 characters of lower-case hyphenated UUID in text.
///
/// Any 16 bytes are a ref; [`UploadRef::NIL`] is one that never names an upload (PROTOCOL FRAME-4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadRef([u8; 16]);

impl UploadRef {
    /// The nil UUID, all zeros.
    pub const NIL: Self = Self([0; 16]);

    /// Takes the bytes as they stand in a frame.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes as they stand in a frame.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Tells whether this is the nil UUID.
    pub fn is_nil(&self) -> bool {
        *self == Self::NIL
    }

    /// Returns the ref unless it is nil.
    pub(crate) fn non_nil(self) -> Option<Self> {
        (!self.is_nil()).then_some(self)
    }
}

impl fmt::Display for UploadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Uuid::encode_buffer();
        f.pad(
            Uuid::from_bytes(self.0)
                .hyphenated()
                .encode_lower(&mut text),
        )
    }
}

impl fmt::Debug for UploadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for UploadRef {
    type Err = RefError;

    /// Reads the canonical form; upper case is folded, nil is read (PROTOCOL CTRL-2).
    ///
    /// # Errors
    ///
    /// Anything but 36 characters with hyphens after 8, 12, 16 and 20 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, RefError> {
        // The other spellings of a UUID (bare, in braces, as a URN) all have another length.
        if text.len() != 36 {
            return Err(RefError);
        }
        match Uuid::try_parse(text) {
            Ok(uuid) => Ok(uuid.into()),
            Err(_) => Err(RefError),
        }
    }
}

impl From<Uuid> for UploadRef {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.into_bytes())
    }
}

impl From<UploadRef> for Uuid {
    fn from(upload: UploadRef) -> Self {
        Self::from_bytes(upload.0)
    }
}

impl Serialize for UploadRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Uuid::encode_buffer();
        serializer.serialize_str(
            Uuid::from_bytes(self.0)
                .hyphenated()
                .encode_lower(&mut text),
        )
    }
}

impl<'de> Deserialize<'de> for UploadRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = UploadRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a canonical uuid")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<UploadRef, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "aabbccdd-eeff-0011-2233-445566778899";

    /// CTRL-2: canonical text is read, upper case is folded, and it is written in lower case.
    #[test]
    fn ctrl_2_canonical_text_round_trips_and_folds_case() {
        let upload: UploadRef = TEXT.parse().unwrap();
        assert_eq!(upload.as_bytes()[0], 0xaa);
        assert_eq!(upload.as_bytes()[15], 0x99);
        assert_eq!(upload.to_string(), TEXT);
        assert_eq!(format!("{upload:?}"), TEXT);
        assert_eq!(TEXT.to_uppercase().parse(), Ok(upload));
        assert_eq!(serde_json::to_string(&upload).unwrap(), format!("{TEXT:?}"));
        assert_eq!(
            serde_json::from_str::<UploadRef>(&format!("{TEXT:?}")).unwrap(),
            upload
        );
    }

    /// CTRL-2: every other spelling of a UUID is refused.
    #[test]
    fn ctrl_2_other_spellings_are_refused() {
        for text in [
            "",
            "not-a-uuid",
            "aabbccddeeff00112233445566778899",
            "{aabbccdd-eeff-0011-2233-445566778899}",
            "urn:uuid:aabbccdd-eeff-0011-2233-445566778899",
            "aabbccdd-eeff-0011-2233-44556677889",
            "aabbccdd-eeff-0011-2233-4455667788990",
            "aabbccdde-eff-0011-2233-445566778899",
            "aabbccdd_eeff_0011_2233_445566778899",
            "aabbccdd-eeff-0011-2233-44556677889g",
            " abbccdd-eeff-0011-2233-445566778899",
            "{abbccdd-eeff-0011-2233-44556677889}",
            "aabbccdd-eeff-0011-2233-4455667788é",
            "urn:uuid:aabbccddeeff001122334455667",
            "aabbccddeeff0011223344556677889900aa",
        ] {
            assert_eq!(text.parse::<UploadRef>(), Err(RefError), "{text}");
        }
    }

    /// FRAME-4: nil is a value like others, and known as nil.
    #[test]
    fn frame_4_nil_is_read_and_recognised() {
        let nil: UploadRef = "00000000-0000-0000-0000-000000000000".parse().unwrap();
        assert!(nil.is_nil());
        assert_eq!(nil.non_nil(), None);
        assert!(!TEXT.parse::<UploadRef>().unwrap().is_nil());
    }
}

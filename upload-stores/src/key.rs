//! Whose upload a record is about.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The longest owner name, in bytes of UTF-8.
pub const OWNER_BYTES_MAX: usize = 255;

/// Names one record: an upload of one owner.
///
/// Two owners with the same upload id have two records (PROTOCOL section 1: all state is keyed by
/// owner and ref). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadKey {
    owner: Arc<str>,
    upload: [u8; 16],
}

impl UploadKey {
    /// Names the upload with the 16 bytes `upload` of `owner`.
    ///
    /// The owner may hold any characters, NUL and braces included.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the owner is longer than [`OWNER_BYTES_MAX`].
    pub fn new(owner: impl AsRef<str>, upload: [u8; 16]) -> Result<Self, KeyError> {
        let owner = owner.as_ref();
        if owner.len() > OWNER_BYTES_MAX {
            return Err(KeyError { bytes: owner.len() });
        }
        Ok(Self {
            owner: Arc::from(owner),
            upload,
        })
    }

    /// Returns the owner.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns the owner, shared with this key.
    pub(crate) fn shared_owner(&self) -> Arc<str> {
        Arc::clone(&self.owner)
    }

    /// Returns the upload id.
    pub fn upload(&self) -> &[u8; 16] {
        &self.upload
    }

    /// Returns the upload id as 32 lower-case hex digits.
    pub fn upload_hex(&self) -> String {
        hex(&self.upload)
    }

    /// Returns the bytes that a cursor after this key is made of.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [self.owner.as_bytes(), self.upload.as_slice()].concat()
    }

    /// Returns the key that [`to_bytes`](Self::to_bytes) was called on.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (owner, upload) = bytes.split_last_chunk()?;
        Self::new(str::from_utf8(owner).ok()?, *upload).ok()
    }

    /// Returns a text of the owner and the upload id that no other key has.
    ///
    /// It holds only `0-9`, `a-f` and one `/`, whatever the owner holds. At most 543 bytes.
    pub fn to_text(&self) -> String {
        format!("{}/{}", hex(self.owner.as_bytes()), hex(&self.upload))
    }
}

/// The owner stays out of debug output: it may be a session token.
impl fmt::Debug for UploadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadKey")
            .field("upload", &format_args!("{}", self.upload_hex()))
            .finish_non_exhaustive()
    }
}

/// The owner's name is too long to key a record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the owner has {bytes} bytes, the limit is {OWNER_BYTES_MAX}")]
pub struct KeyError {
    /// Length of the refused owner, in bytes.
    pub bytes: usize,
}

/// Returns the bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;

    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_of_255_bytes_fits_and_one_more_does_not() {
        let key = UploadKey::new("o".repeat(255), [7; 16]).expect("fits");
        assert_eq!(key.owner().len(), 255);
        assert_eq!(
            UploadKey::new("o".repeat(256), [7; 16]),
            Err(KeyError { bytes: 256 })
        );
        assert!(UploadKey::new("ü".repeat(128), [7; 16]).is_err());
    }

    #[test]
    fn texts_differ_wherever_keys_differ() {
        let text = |owner: &str, byte| UploadKey::new(owner, [byte; 16]).expect("fits").to_text();
        assert_eq!(text("a{}", 1), format!("617b7d/{}", "01".repeat(16)));
        assert_ne!(text("a", 1), text("b", 1));
        assert_ne!(text("a", 1), text("a", 2));
        assert_ne!(text("", 1), text("\0", 1));
    }

    #[test]
    fn bytes_come_back_as_the_key_they_are_of() {
        for owner in ["", "a", "a\0", &"ü".repeat(127)] {
            let key = UploadKey::new(owner, [7; 16]).expect("fits");
            assert_eq!(UploadKey::from_bytes(&key.to_bytes()), Some(key));
        }
        assert_eq!(UploadKey::from_bytes(&[0; 15]), None);
        assert_eq!(UploadKey::from_bytes(&[0xff; 17]), None);
    }

    #[test]
    fn debug_output_keeps_the_owner_secret() {
        let key = UploadKey::new("token-1234", [0xab; 16]).expect("fits");
        assert!(!format!("{key:?}").contains("1234"));
        assert!(format!("{key:?}").contains("abab"));
    }
}

//! What a check answers.

use thiserror::Error;

/// Longest code of an [`OwnRefusal`], in bytes.
pub const OWN_CODE_BYTES_MAX: usize = 64;
/// Longest text of an [`OwnRefusal`], in bytes.
pub const OWN_TEXT_BYTES_MAX: usize = 1024;

/// The answer of a content check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The file may be stored.
    Accept,
    /// The file must not be stored.
    Refuse(Refusal),
    /// The bytes seen so far do not decide.
    ///
    /// Answered only while the head is shorter than [`HEAD_BYTES`](crate::HEAD_BYTES) and the file continues.
    NeedMore,
}

/// Why a file is refused.
///
/// The texts of this crate's own refusals are fixed and fit for clients: they carry nothing the client sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Neither the extension nor the type is on the slot's accept list.
    #[error("file type not accepted")]
    TypeNotAccepted,
    /// A browser that opens the file could run what is in it.
    #[error("active content is not accepted")]
    ActiveContent,
    /// The bytes are not what the declared type or the extension says.
    #[error("file content does not match its type")]
    ContentMismatch,
    /// A check of the application says no, in its own words.
    #[error(transparent)]
    Own(#[from] OwnRefusal),
}

/// A refusal in the application's own words, which the user is shown.
///
/// ```
/// use upload_validate::{FileFacts, Head, OwnRefusal, Rules, Verdict};
///
/// let small = |facts: &FileFacts<'_>, _: &Head<'_>| match facts.size {
///     0..=1_000_000 => Verdict::Accept,
///     _ => OwnRefusal::new("Pictures of this album have at most 1 MB").with_code("too_heavy").into(),
/// };
/// let rules = Rules::default().with_validator(std::sync::Arc::new(small));
/// # let facts = FileFacts { name: "a.png", media_type: "", size: 2_000_000 };
/// # let head = Head { bytes: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", is_whole: false };
/// # assert!(matches!(rules.inspect(&facts, &head), Verdict::Refuse(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[error("{text}")]
pub struct OwnRefusal {
    code: Option<String>,
    text: String,
}

impl OwnRefusal {
    /// Makes a refusal whose `text` is shown to the user, its first 1,024 bytes at most.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            code: None,
            text: bounded(text.into(), OWN_TEXT_BYTES_MAX),
        }
    }

    /// Adds a code of the application for programs, its first 64 bytes at most.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(bounded(code.into(), OWN_CODE_BYTES_MAX));
        self
    }

    /// Returns the application's code.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns the text for the user.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl From<OwnRefusal> for Verdict {
    fn from(refusal: OwnRefusal) -> Self {
        Self::Refuse(refusal.into())
    }
}

/// Cuts a text between two characters.
fn bounded(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_application_are_cut_between_characters() {
        let long = OwnRefusal::new("ä".repeat(1000)).with_code("é".repeat(100));
        assert_eq!(long.text(), "ä".repeat(512));
        assert_eq!(long.code(), Some(&*"é".repeat(32)));
        assert_eq!(OwnRefusal::new("no").code(), None);
        assert_eq!(Refusal::from(OwnRefusal::new("no")).to_string(), "no");
    }
}

//! One entry of an accept list.

use thiserror::Error;

use super::{ACCEPT_BYTES_MAX, ACCEPT_TOKENS_MAX};
use crate::media_types::{canonical, essence};

/// An entry that names something particular.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// With its dot, in lower case.
    Extension(String),
    /// The canonical name of a type.
    Type(String),
    /// The part before the slash.
    Kind(String),
}

impl Token {
    /// Parses an entry in lower case, and says how to announce it; `None` for everything (`*/*`).
    pub(super) fn parse(entry: &str) -> Result<Option<(Token, String)>, AcceptError> {
        if matches!(entry, "*" | "*/*") {
            return Ok(None);
        }
        if is_extension(entry) {
            return Ok(Some((Token::Extension(entry.to_owned()), entry.to_owned())));
        }
        let malformed = || AcceptError::Entry(entry.to_owned());
        let essence = essence(entry)
            .filter(|essence| !essence.starts_with('.'))
            .ok_or_else(malformed)?;
        let token = match essence.split_once('/') {
            Some((kind, "*")) if !kind.contains('*') => Token::Kind(kind.to_owned()),
            Some(_) if !essence.contains('*') => Token::Type(canonical(&essence).to_owned()),
            _ => return Err(malformed()),
        };
        Ok(Some((token, essence)))
    }

    /// Returns whether the entry is a type, or all subtypes of one, that includes a type given by its canonical name.
    pub(super) fn covers(&self, essence: &str) -> bool {
        match self {
            Token::Extension(_) => false,
            Token::Type(listed) => listed == essence,
            Token::Kind(kind) => essence.split('/').next() == Some(kind),
        }
    }
}

/// Why a text is no accept list.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// The text is longer than [`ACCEPT_BYTES_MAX`].
    #[error("accept list is longer than {ACCEPT_BYTES_MAX} bytes")]
    TooLong,
    /// The list has more than [`ACCEPT_TOKENS_MAX`] entries.
    #[error("accept list has more than {ACCEPT_TOKENS_MAX} entries")]
    TooMany,
    /// An entry is neither an extension with its dot nor a media type.
    #[error(
        "accept list entry {0:?} is neither an extension such as .jpg nor a media type such as image/*"
    )]
    Entry(String),
}

/// Whether an entry is a dot and parts with something in them, such as `.jpg` or `.tar.gz`.
fn is_extension(entry: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || "-_+~!#$".contains(c))
    };
    entry
        .strip_prefix('.')
        .is_some_and(|parts| parts.split('.').all(is_part))
}

#[cfg(test)]
mod tests {
    use crate::{ACCEPT_BYTES_MAX, ACCEPT_TOKENS_MAX, Accept, AcceptError};

    #[test]
    fn refuses_a_malformed_or_endless_list() {
        for list in [
            "jpg", "*.jpg", ".", "..jpg", ".jpg.", ".a/b", ".j pg", "image", "*/png", "im*/png",
            "image/p*",
        ] {
            let error = AcceptError::Entry(list.to_owned());
            assert_eq!(Accept::parse(list), Err(error), "{list:?}");
        }
        let many = (0..=ACCEPT_TOKENS_MAX)
            .map(|n| format!(".e{n},"))
            .collect::<String>();
        assert_eq!(Accept::parse(&many), Err(AcceptError::TooMany));
        let long = ",".repeat(ACCEPT_BYTES_MAX + 1);
        assert_eq!(Accept::parse(&long), Err(AcceptError::TooLong));
    }

    #[test]
    fn announces_a_normalised_list() {
        for (list, shown, is_any) in [
            ("", "", true),
            (" , ,", "", true),
            (".jpg, .PNG ,image/*", ".jpg,.png,image/*", false),
            (
                ".jpg,.JPG,image/jpeg; q=1,image/jpg",
                ".jpg,image/jpeg",
                false,
            ),
            ("*", "*/*", true),
            (".jpg,*/*", "*/*", true),
        ] {
            let accept = Accept::parse(list).expect("the list is well formed");
            assert_eq!(accept.as_str(), shown, "{list:?}");
            assert_eq!(accept.is_any(), is_any, "{list:?}");
            assert_eq!(Accept::parse(accept.as_str()), Ok(accept), "{list:?}");
        }
    }
}

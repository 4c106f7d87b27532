//! Accept lists: which extensions and media types a slot takes.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::{
    media_types::{self, Types, canonical, essence, types_for_extension},
    name::{extension, safe_name},
};

/// The longest accept list in bytes.
pub const ACCEPT_BYTES_MAX: usize = 4096;

/// The most entries an accept list may have.
pub const ACCEPT_TOKENS_MAX: usize = 256;

/// A parsed accept list, as in the `accept` attribute of an HTML file input.
///
/// Entries are separated by commas; spaces around them and empty entries do not count; case does not matter.
/// An entry is an extension (`.jpg`, `.tar.gz`), a media type (`image/jpeg`; parameters are stripped), all
/// subtypes of a type (`image/*`), or everything (`*/*` or `*`).
/// A list without entries takes every file, and so does one that has `*/*`.
///
/// The entries are a union, as in HTML: one that fits is enough. In detail:
///
/// - An **extension** fits if the name ends in it both as sent and as stored, with something before it.
///   What was declared must not contradict it: it is empty, generic (`application/octet-stream`), or one of the
///   types that the list's extensions stand for. So `.jpg,.png` refuses `a.jpg` declared as `image/gif`.
///   Extensions of unknown type take any declared type.
/// - A **type** fits the declared type, under any of its common names (`image/jpg`). If none was declared, or a
///   generic one, the type of the extension counts instead; with no known extension a list of types refuses.
/// - A fitting type does not let in a file whose extension stands for something else that is not on the
///   list: `image/*` refuses `shell.php` declared as `image/png`. Unknown extensions are not held against a file.
/// - A declared type that breaks the grammar fits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    text: String,
    tokens: Vec<Token>,
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

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// With its dot, in lower case.
    Extension(String),
    /// The canonical name of a type.
    Type(String),
    /// The part before the slash.
    Kind(String),
}

impl Accept {
    /// Parses an accept list.
    ///
    /// # Errors
    ///
    /// [`AcceptError`], so that a mistake in a configuration shows when the server starts and not as refused files.
    pub fn parse(text: &str) -> Result<Accept, AcceptError> {
        if text.len() > ACCEPT_BYTES_MAX {
            return Err(AcceptError::TooLong);
        }
        let mut accept = Accept::default();
        let mut is_any = false;
        let entries = text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        for (index, entry) in entries.enumerate() {
            if index >= ACCEPT_TOKENS_MAX {
                return Err(AcceptError::TooMany);
            }
            let entry = entry.to_ascii_lowercase();
            let (token, shown) = match entry.as_str() {
                "*" | "*/*" => {
                    is_any = true;
                    continue;
                }
                extension if is_extension(extension) => (Token::Extension(entry.clone()), entry),
                _ => match essence(&entry).filter(|_| !entry.starts_with('.')) {
                    Some(essence) => (Token::for_type(&essence, &entry)?, essence),
                    None => return Err(AcceptError::Entry(entry)),
                },
            };
            if accept.tokens.contains(&token) {
                continue;
            }
            if !accept.text.is_empty() {
                accept.text.push(',');
            }
            accept.text.push_str(&shown);
            accept.tokens.push(token);
        }
        if is_any {
            accept.text = "*/*".to_owned();
            accept.tokens.clear();
        }
        Ok(accept)
    }

    /// Returns whether every file is taken.
    pub fn is_any(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Returns the list as clients are told: lower case, no spaces, no parameters; empty for an empty list.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether a file of this raw name and declared type is on the list.
    pub fn permits(&self, name: &str, media_type: &str) -> bool {
        if self.is_any() {
            return true;
        }
        let safe = safe_name(name);
        let types = stored_extension(name, &safe).and_then(types_for_extension);
        let declared = match essence(media_type) {
            Some(declared) if !self.lists_type(&declared) && media_types::is_generic(&declared) => {
                None
            }
            Some(declared) => Some(declared),
            None if media_type.trim().is_empty() => None,
            None => return false,
        };
        self.permits_extension(name, &safe, declared.as_deref())
            || self.permits_type(types, declared.as_deref())
    }

    fn permits_extension(&self, name: &str, safe: &str, declared: Option<&str>) -> bool {
        let is_listed = |token: &Token| match token {
            Token::Extension(extension) => ends_in(name, extension) && ends_in(safe, extension),
            Token::Type(_) | Token::Kind(_) => false,
        };
        let Some(Token::Extension(found)) = self.tokens.iter().find(|token| is_listed(token))
        else {
            return false;
        };
        match declared {
            Some(declared) if types_of(found).is_some() => {
                self.lists_type(declared) || self.implies_type(declared)
            }
            _ => true,
        }
    }

    fn permits_type(&self, types: Option<Types>, declared: Option<&str>) -> bool {
        let extension_is_listed =
            types.is_some_and(|types| types.iter().any(|essence| self.lists_type(essence)));
        match declared {
            None => extension_is_listed,
            Some(declared) => {
                self.lists_type(declared)
                    && (extension_is_listed
                        || types.is_none_or(|types| {
                            types.include(declared) || media_types::is_generic(declared)
                        }))
            }
        }
    }

    /// Whether an entry names the type itself.
    fn lists_type(&self, essence: &str) -> bool {
        let essence = canonical(essence);
        self.tokens.iter().any(|token| match token {
            Token::Extension(_) => false,
            Token::Type(listed) => listed == essence,
            Token::Kind(kind) => essence.split('/').next() == Some(kind),
        })
    }

    /// Whether an entry is an extension that stands for the type.
    fn implies_type(&self, essence: &str) -> bool {
        self.tokens.iter().any(|token| match token {
            Token::Extension(extension) => {
                types_of(extension).is_some_and(|types| types.include(essence))
            }
            Token::Type(_) | Token::Kind(_) => false,
        })
    }
}

impl Token {
    fn for_type(essence: &str, entry: &str) -> Result<Token, AcceptError> {
        match essence.split_once('/') {
            Some((kind, "*")) if !kind.contains('*') => Ok(Token::Kind(kind.to_owned())),
            Some((kind, subtype)) if !kind.contains('*') && !subtype.contains('*') => {
                Ok(Token::Type(canonical(essence).to_owned()))
            }
            _ => Err(AcceptError::Entry(entry.to_owned())),
        }
    }
}

impl FromStr for Accept {
    type Err = AcceptError;

    fn from_str(text: &str) -> Result<Accept, AcceptError> {
        Accept::parse(text)
    }
}

impl fmt::Display for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The extension, if the name has the same one as sent and as stored.
fn stored_extension<'a>(name: &str, safe: &'a str) -> Option<&'a str> {
    let stored = extension(safe)?;
    extension(name)
        .is_some_and(|sent| sent.eq_ignore_ascii_case(stored))
        .then_some(stored)
}

fn types_of(extension: &str) -> Option<Types> {
    types_for_extension(extension.rsplit('.').next().unwrap_or_default())
}

/// Whether a name ends in an extension given with its dot, in any case, with something before it.
fn ends_in(name: &str, extension: &str) -> bool {
    let component = name.rsplit(['/', '\\']).next().unwrap_or(name).as_bytes();
    component
        .len()
        .checked_sub(extension.len())
        .filter(|start| *start > 0)
        .and_then(|start| component.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(extension.as_bytes()))
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
    use super::{ACCEPT_BYTES_MAX, ACCEPT_TOKENS_MAX, Accept, AcceptError};

    /// Row, accept list, name, declared type, expected answer.
    type Row = (&'static str, &'static str, &'static str, &'static str, bool);

    fn check(table: &[Row]) {
        for &(row, list, name, media_type, expected) in table {
            let accept = Accept::parse(list).expect("the list is well formed");
            assert_eq!(
                accept.permits(name, media_type),
                expected,
                "{row}: {name:?} as {media_type:?} into {list:?}"
            );
        }
    }

    /// RV-1 to RV-11: what the reference takes and refuses.
    #[test]
    fn answers_as_the_reference() {
        check(&[
            ("RV-1", ".jpg,.png", "photo.jpg", "image/jpeg", true),
            ("RV-2", ".jpg", "photo.png", "image/png", false),
            ("RV-2", ".jpg", "photo.gif", "", false),
            ("RV-3", ".jpg", "photo.jpg.exe", "image/jpeg", false),
            ("RV-3", ".jpg", "a.tar.jpg", "image/jpeg", true),
            ("RV-4", ".jpg,.png", "PHOTO.JPG", "image/jpeg", true),
            ("RV-4", ".jpg,.png", "image.PNG", "IMAGE/PNG", true),
            (
                "RV-4",
                ".jpg, .PNG ,image/*",
                "image.png",
                "image/png",
                true,
            ),
            (
                "RV-4",
                ".jpg, .PNG ,image/*",
                "image.webp",
                "image/webp",
                true,
            ),
            ("RV-5", ".jpg", "a", "", false),
            ("RV-5", ".jpg", ".jpg", "", false),
            ("RV-5", ".jpg", "a.jpg ", "", false),
            ("RV-5", ".jpg", "a.jpg.", "", false),
            ("RV-5", ".jpg", "a.jpg\0", "", false),
            ("RV-6", ".jpg,.png", "script.exe", "", false),
            ("RV-6", ".jpg,.png", "shell.sh", "", false),
            ("RV-6", ".jpg,.png", "page.html", "", false),
            ("RV-7", "", "anything.exe", "application/x-msdownload", true),
            ("RV-7", "", "anything.xyz", "", true),
            (
                "RV-8",
                "image/jpeg,image/png",
                "doc.pdf",
                "application/pdf",
                false,
            ),
            ("RV-8", "image/jpeg,image/png", "a.png", "image/png", true),
            ("RV-9", "image/*", "a.jpg", "image/jpeg", true),
            ("RV-9", "image/*", "a.png", "image/png", true),
            ("RV-9", "image/*", "a.pdf", "application/pdf", false),
            ("RV-10", ".jpg,.png", "a.jpg", "image/gif", false),
            ("RV-10", ".jpg,.png", "a.jpg", "image/png", true),
            ("RV-11", ".jpg", "a.jpg", "", true),
        ]);
    }

    #[test]
    fn decides_by_the_extension_where_nothing_is_declared() {
        check(&[
            ("empty", "image/*", "a.png", "", true),
            ("empty", "image/png", "a.PNG", " ", true),
            ("empty", "image/*", "a.pdf", "", false),
            ("empty", "image/*", "a", "", false),
            ("empty", "image/*", "a.unheardof", "", false),
            ("empty", "image/*", "a.png\u{200B}", "", false),
            (
                "generic",
                "image/*",
                "a.png",
                "application/octet-stream",
                true,
            ),
            ("generic", ".jpg", "a.jpg", "application/octet-stream", true),
            ("generic", ".jpg", "a.jpg", "Binary/Octet-Stream; x=y", true),
            (
                "generic",
                "image/*",
                "a.exe",
                "application/octet-stream",
                false,
            ),
            (
                "listed",
                "application/octet-stream",
                "a.exe",
                "application/octet-stream",
                true,
            ),
            ("unknown", ".xyz", "a.xyz", "application/anything", true),
        ]);
    }

    #[test]
    fn takes_the_union_of_a_mixed_list() {
        check(&[
            ("mixed", ".pdf,image/*", "a.pdf", "application/pdf", true),
            ("mixed", ".pdf,image/*", "a.webp", "image/webp", true),
            ("mixed", ".pdf,image/*", "a.webp", "", true),
            ("mixed", ".pdf,image/*", "a.txt", "text/plain", false),
            ("mixed", ".pdf,image/*", "a.pdf", "text/plain", false),
            ("disagreement", "image/*", "shell.php", "image/png", false),
            ("disagreement", ".pdf,image/*", "a.exe", "image/png", false),
            ("disagreement", "image/*", "a.png", "image/jpeg", true),
            ("unknown", "image/*", "camera.raw9", "image/x-raw9", true),
            ("unknown", "image/*", "blob", "image/png", true),
            ("any", "image/*, */*", "a.exe", "", true),
            ("any", "*", "a.exe", "nonsense", true),
        ]);
    }

    #[test]
    fn knows_other_names_of_a_type() {
        check(&[
            ("alias", "image/jpeg", "a.jpg", "image/jpg", true),
            ("alias", "image/jpg", "a.jpg", "image/jpeg", true),
            ("alias", ".mp3", "a.mp3", "audio/mp3", true),
            (
                "alias",
                ".zip",
                "a.zip",
                "application/x-zip-compressed",
                true,
            ),
            ("alias", ".csv", "a.csv", "application/vnd.ms-excel", true),
            ("alias", ".csv,.md,.json", "a.md", "text/plain", true),
            ("alias", ".mov", "a.mov", "video/mp4", true),
            ("alias", ".docx", "a.docx", "application/zip", true),
            ("alias", "text/plain", "notes.md", "text/plain", true),
            ("alias", ".csv", "a.csv", "image/png", false),
        ]);
    }

    #[test]
    fn looks_at_the_ending_of_the_name_as_sent_and_as_stored() {
        check(&[
            ("compound", ".tar.gz", "a.tar.gz", "application/gzip", true),
            ("compound", ".tar.gz", "a.gz", "application/gzip", false),
            ("compound", ".tar.gz", ".tar.gz", "", false),
            ("path", ".jpg", "folder/a.jpg", "", true),
            ("path", ".jpg", "folder/.jpg", "", false),
            ("path", ".jpg", "a.jpg/", "", false),
            ("stream", ".txt", "a.exe:b.txt", "", true),
            ("stream", ".txt", "a.txt:b", "", false),
            ("full width", ".jpg", "a.ｊｐｇ", "", false),
        ]);
    }

    #[test]
    fn refuses_a_type_that_breaks_the_grammar() {
        check(&[
            ("grammar", "image/*", "a.png", "image", false),
            ("grammar", "image/*", "a.png", "image/png,image/gif", false),
            ("grammar", ".png", "a.png", "; q=1", false),
            ("parameters", "image/*", "a.png", " IMAGE/PNG ; q=1", true),
            ("parameters", "image/png; q=0.5", "a.png", "image/png", true),
        ]);
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
}

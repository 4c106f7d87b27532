//! Accept lists: which extensions and media types a slot takes.

mod token;

use std::{fmt, str::FromStr};

pub use token::AcceptError;
use token::Token;

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
            let (token, shown) = match Token::parse(&entry.to_ascii_lowercase())? {
                Some(parsed) => parsed,
                None => {
                    is_any = true;
                    continue;
                }
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
        let types = extension(&safe).and_then(types_for_extension);
        let declared = match essence(media_type) {
            Some(declared) if !self.lists_type(&declared) && media_types::is_generic(&declared) => {
                None
            }
            Some(declared) => Some(declared),
            None if media_type.trim().is_empty() => None,
            None => return false,
        };
        self.permits_extension(name, &safe, declared.as_deref())
            || match declared {
                Some(declared) => self.permits_type(&declared, types),
                // The type is that of the extension, which must be the same as sent and as stored.
                None => keeps_extension(name, &safe) && self.lists_any(types),
            }
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

    fn permits_type(&self, declared: &str, types: Option<Types>) -> bool {
        // What the stored extension stands for is held against the file, however the name was sent.
        let agrees = |types: Types| types.include(declared) || media_types::is_generic(declared);
        self.lists_type(declared) && (types.is_none_or(agrees) || self.lists_any(types))
    }

    /// Whether an entry names one of an extension's types.
    fn lists_any(&self, types: Option<Types>) -> bool {
        types.is_some_and(|types| types.iter().any(|essence| self.lists_type(essence)))
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

/// Whether the name has the same extension as sent and as stored.
fn keeps_extension(name: &str, safe: &str) -> bool {
    match (extension(name), extension(safe)) {
        (Some(sent), Some(stored)) => sent.eq_ignore_ascii_case(stored),
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use super::Accept;

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
            ("disagreement", "image/*", "shell.php ", "image/png", false),
            (
                "disagreement",
                "image/*",
                "shell.php\u{200B}",
                "image/png",
                false,
            ),
            (
                "disagreement",
                "image/*",
                "shell.ｐｈｐ",
                "image/png",
                false,
            ),
            ("disagreement", "image/*", "shell.php/", "image/png", false),
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
            ("path", ".jpg", "a\u{2215}.jpg", "", false),
            ("path", ".jpg", "C:.jpg", "", false),
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
}

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
                extension if extension.starts_with('.') && is_extension(extension) => {
                    (Token::Extension(entry.clone()), entry)
                }
                _ => match essence(&entry) {
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

fn is_extension(text: &str) -> bool {
    text.split('.').skip(1).all(|part| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || "-_+~!#$".contains(c))
    })
}

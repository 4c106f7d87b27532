//! Accept lists: which extensions and media types a slot takes.

#[cfg(test)]
mod tests;
mod token;

use std::{fmt, str::FromStr};

pub use token::AcceptError;
use token::Token;

use crate::{
    file::{Declared, File},
    media_types::{self, Types, canonical, is_picture, is_text, types_for_extension},
    name::extension,
    signatures,
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
/// - A **type** fits the extensions that have this type in the table of this crate: `image/*` lets in
///   `a.png` and refuses `shell.php`, `shell.phtml` and `a.unheardof`, whatever their declared type is.
///   All subtypes of a type never let in programs: `text/*` refuses `run.sh`.
///   A name without an extension is decided by the declared type, which some extension must have.
/// - The declared type must not **contradict** the extension: `.jpg,.png` refuses `a.jpg` declared as `image/gif`.
///   It does not contradict if it is empty, generic (`application/octet-stream`), unknown, or itself on the list.
///   Nor does one of the types that such files are declared as, another text type for text, or a type that the
///   first bytes cannot distinguish.
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

    /// Returns the list as clients receive it: lower case, no spaces, no parameters; empty for an empty list.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether a file of this raw name and declared type is on the list.
    pub fn permits(&self, name: &str, media_type: &str) -> bool {
        self.permits_file(&File::new(name, media_type), false)
    }

    /// Returns whether a file is on the list; with `any_picture`, one kind of picture does not contradict another.
    pub(crate) fn permits_file(&self, file: &File<'_>, any_picture: bool) -> bool {
        if self.is_any() {
            return true;
        }
        file.declared != Declared::Malformed
            && (self.permits_extension(file, any_picture) || self.permits_type(file, any_picture))
    }

    fn permits_extension(&self, file: &File<'_>, any_picture: bool) -> bool {
        let is_listed = |token: &Token| match token {
            Token::Extension(ext) => ends_in(file.name, ext) && ends_in(&file.safe, ext),
            Token::Type(_) | Token::Kind(_) => false,
        };
        let Some(Token::Extension(found)) = self.tokens.iter().find(|token| is_listed(token))
        else {
            return false;
        };
        types_of(found).is_none_or(|types| !self.is_contradicted(types, file, any_picture))
    }

    fn permits_type(&self, file: &File<'_>, any_picture: bool) -> bool {
        let Some(ext) = file.extension() else {
            return match &file.declared {
                Declared::Known(declared) => self.lists_type(declared),
                Declared::Unknown(declared) | Declared::Generic(declared) => {
                    self.tokens.contains(&Token::Type(declared.clone()))
                }
                Declared::Nothing | Declared::Malformed => false,
            };
        };
        // Without a known declared type the extension decides, which must be the same as sent and as stored.
        let is_certain = matches!(file.declared, Declared::Known(_)) || keeps_extension(file);
        is_certain
            && file.types.is_some_and(|types| {
                self.lets_in(ext, types) && !self.is_contradicted(types, file, any_picture)
            })
    }

    /// Returns whether a type on the list is one of an extension's own.
    pub(crate) fn lets_in(&self, ext: &str, types: &Types) -> bool {
        let is_own = |token: &Token| match token {
            Token::Extension(_) => false,
            Token::Type(listed) => types.own().contains(&listed.as_str()),
            Token::Kind(_) => {
                !media_types::is_program(ext) && types.own().iter().any(|own| token.covers(own))
            }
        };
        self.tokens.iter().any(is_own)
    }

    /// Returns whether the declared type is known to be of another family than the extension's.
    fn is_contradicted(&self, types: &Types, file: &File<'_>, any_picture: bool) -> bool {
        let Declared::Known(declared) = &file.declared else {
            return false;
        };
        let is_like = |own: &str| {
            (is_text(own) && is_text(declared))
                || (any_picture && is_picture(own) && is_picture(declared))
                || signatures::are_alike(own, declared)
        };
        !types.include(declared)
            && !types.preferred().is_none_or(is_like)
            && !self.lists_type(declared)
            && !self.implies_type(declared)
    }

    /// Whether an entry names the type itself.
    fn lists_type(&self, essence: &str) -> bool {
        let essence = canonical(essence);
        self.tokens.iter().any(|token| token.covers(essence))
    }

    /// Whether an entry is an extension that has the type.
    fn implies_type(&self, essence: &str) -> bool {
        self.tokens.iter().any(|token| match token {
            Token::Extension(ext) => types_of(ext).is_some_and(|types| types.include(essence)),
            Token::Type(_) | Token::Kind(_) => false,
        })
    }

    /// Returns each entry as clients read it, with an extension that it lets in, if there is any.
    pub(crate) fn examples(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        let entries = self.text.split(',').filter(|_| !self.is_any());
        entries.zip(&self.tokens).map(|(entry, token)| {
            let exts = match token {
                Token::Extension(ext) => vec![ext.trim_start_matches('.')],
                Token::Type(_) | Token::Kind(_) => media_types::extensions()
                    .filter(|(ext, types)| {
                        let of_token = types.own().iter().any(|own| token.covers(own));
                        of_token && self.lets_in(ext, types)
                    })
                    .map(|(ext, _)| ext)
                    .collect(),
            };
            (entry, exts)
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
fn keeps_extension(file: &File<'_>) -> bool {
    match (extension(file.name), file.extension()) {
        (Some(sent), Some(stored)) => sent.eq_ignore_ascii_case(stored),
        _ => false,
    }
}

fn types_of(ext: &str) -> Option<&'static Types> {
    types_for_extension(ext.rsplit('.').next().unwrap_or_default())
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

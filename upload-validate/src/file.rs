//! One file, as its name and its declared type describe it.

use crate::{
    media_types::{self, Types, canonical, essence, types_for_extension},
    name::{SafeName, extension, safe_name},
};

/// What the client said about a file, worked out once for all checks.
pub(crate) struct File<'a> {
    /// The name as it was sent.
    pub(crate) name: &'a str,
    /// The name as it is stored.
    pub(crate) safe: SafeName,
    /// The declared type as it was sent.
    pub(crate) media_type: &'a str,
    /// What the declared type says.
    pub(crate) declared: Declared,
    /// The types of the stored name's extension, if a table knows it.
    pub(crate) types: Option<&'static Types>,
}

/// What a declared type says, under its canonical name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// None was declared.
    Nothing,
    /// It breaks the grammar.
    Malformed,
    /// A type that only says that its maker did not know better.
    Generic(String),
    /// A type that no extension has: it contradicts nothing.
    Unknown(String),
    /// A type that some extension has.
    Known(String),
}

impl<'a> File<'a> {
    /// Reads the name and the declared type.
    pub(crate) fn new(name: &'a str, media_type: &'a str) -> File<'a> {
        let safe = safe_name(name);
        let types = extension(&safe).and_then(types_for_extension);
        File {
            name,
            safe,
            media_type,
            declared: Declared::new(media_type),
            types,
        }
    }

    /// Returns the extension of the stored name.
    pub(crate) fn extension(&self) -> Option<&str> {
        extension(&self.safe)
    }

    /// Returns the extension's most usual type.
    pub(crate) fn by_extension(&self) -> Option<&'static str> {
        self.types?.preferred()
    }
}

impl Declared {
    fn new(media_type: &str) -> Declared {
        if media_type.trim().is_empty() {
            return Declared::Nothing;
        }
        let Some(essence) = essence(media_type) else {
            return Declared::Malformed;
        };
        let name = canonical(&essence).to_owned();
        if media_types::is_generic(&name) {
            Declared::Generic(name)
        } else if media_types::is_known(&name) {
            Declared::Known(name)
        } else {
            Declared::Unknown(name)
        }
    }
}

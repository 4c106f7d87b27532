//! Media types: their essence, their other names, and which extensions have which.

mod table;

use table::TABLE;

/// Reduces a media type to `type/subtype` in lower case: without parameters, without spaces around.
///
/// `None` if nothing is left or if what is left breaks the grammar (RFC 9110 section 8.3.1: two tokens and a slash).
pub fn essence(media_type: &str) -> Option<String> {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    let (kind, subtype) = bare.split_once('/')?;
    (is_token(kind) && is_token(subtype)).then(|| bare.to_ascii_lowercase())
}

/// Returns the media type of an extension; case and a leading dot do not matter.
///
/// Types are those of mime-db, which are those of the IANA registry where it has one: `.js` is `text/javascript`
/// (RFC 9239).
pub fn media_type_for_extension(ext: &str) -> Option<&'static str> {
    types_for_extension(ext)?.preferred()
}

/// The types of the files with one extension.
#[derive(Debug, Default)]
pub(crate) struct Types {
    own: Vec<&'static str>,
    declared: Vec<&'static str>,
}

impl Types {
    /// Returns the type that most files with this extension have.
    ///
    /// `None` where a list names a type and we do not believe it, or it says nothing.
    pub(crate) fn preferred(&self) -> Option<&'static str> {
        self.own.first().copied()
    }

    /// Returns the extension's own types; on an accept list each of them lets the extension in.
    pub(crate) fn own(&self) -> &[&'static str] {
        &self.own
    }

    /// Returns whether a file with this extension may be declared as a type.
    ///
    /// Any textual file may be declared as `text/plain`.
    pub(crate) fn include(&self, essence: &str) -> bool {
        let essence = canonical(essence);
        self.all().any(|other| other == essence)
            || (essence == "text/plain" && self.preferred().is_some_and(is_text))
    }

    /// Yields the extension's own types, then what else such files are declared as.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static str> {
        self.own.iter().chain(&self.declared).copied()
    }
}

/// Finds the types of an extension; case and a leading dot do not matter.
pub(crate) fn types_for_extension(ext: &str) -> Option<&'static Types> {
    let ext = ext.strip_prefix('.').unwrap_or(ext);
    TABLE.extensions.get(&*ext.to_ascii_lowercase())
}

/// Returns the name that this crate uses for a type with several.
pub(crate) fn canonical(essence: &str) -> &str {
    TABLE.names.get(essence).copied().unwrap_or(essence)
}

/// Returns whether some extension has a type, given by its canonical name.
pub(crate) fn is_known(essence: &str) -> bool {
    TABLE.types.contains(essence)
}

/// Yields the extensions of the table with their types.
pub(crate) fn extensions() -> impl Iterator<Item = (&'static str, &'static Types)> {
    TABLE.extensions.iter().map(|(ext, types)| (*ext, types))
}

/// Returns whether a type only says that its maker did not know better.
pub(crate) fn is_generic(essence: &str) -> bool {
    matches!(
        essence,
        "application/octet-stream"
            | "application/binary"
            | "application/download"
            | "application/force-download"
            | "application/octetstream"
            | "application/unknown"
            | "application/x-binary"
            | "application/x-download"
            | "application/x-octet-stream"
            | "application/x-unknown"
            | "application/x-unknown-content-type"
            | "binary/octet-stream"
            | "content/unknown"
            | "unknown/unknown"
    )
}

/// Returns whether files of a type are text that people read.
pub(crate) fn is_text(essence: &str) -> bool {
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || matches!(
            essence,
            "application/json"
                | "application/json5"
                | "application/jsonl"
                | "application/sql"
                | "application/toml"
                | "application/x-httpd-php"
                | "application/x-ndjson"
                | "application/x-sh"
                | "application/x-subrip"
                | "application/x-tex"
                | "application/yaml"
        )
}

/// Returns whether files of a type are pictures.
pub(crate) fn is_picture(essence: &str) -> bool {
    essence.starts_with("image/")
}

/// Returns whether files with an extension are programs or start some; `text/*` and the like do not let them in.
pub(crate) fn is_program(ext: &str) -> bool {
    const PROGRAMS: &[&str] = &[
        "apk", "app", "asp", "aspx", "bash", "bat", "cgi", "cmd", "com", "csh", "deb", "desktop",
        "dll", "dmg", "exe", "fish", "jar", "js", "jsp", "ksh", "lnk", "lua", "msi", "php", "pl",
        "pm", "ps1", "psm1", "py", "pyc", "rb", "reg", "rpm", "scpt", "scr", "sh", "so", "tcl",
        "tk", "url", "vbs", "war", "wsf", "zsh",
    ];
    PROGRAMS
        .iter()
        .any(|program| ext.eq_ignore_ascii_case(program))
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::{canonical, essence, extensions, media_type_for_extension};

    /// RV-16: the reference's table, in any case.
    #[test]
    fn knows_the_types_of_common_extensions() {
        for (ext, expected) in [
            ("jpg", Some("image/jpeg")),
            ("jpeg", Some("image/jpeg")),
            ("PNG", Some("image/png")),
            ("gif", Some("image/gif")),
            (".webp", Some("image/webp")),
            ("svg", Some("image/svg+xml")),
            ("pdf", Some("application/pdf")),
            ("zip", Some("application/zip")),
            ("Mp4", Some("video/mp4")),
            ("mp3", Some("audio/mpeg")),
            ("txt", Some("text/plain")),
            ("csv", Some("text/csv")),
            ("json", Some("application/json")),
            ("html", Some("text/html")),
            ("css", Some("text/css")),
            ("js", Some("text/javascript")),
            ("NEF", Some("image/x-nikon-nef")),
            ("bak", None),
            ("xyzzy", None),
            ("", None),
        ] {
            assert_eq!(media_type_for_extension(ext), expected, "RV-16: {ext}");
        }
    }

    #[test]
    fn reduces_a_type_to_its_essence() {
        for (media_type, expected) in [
            ("image/png", Some("image/png")),
            ("  IMAGE/SVG+XML ; foo=bar ", Some("image/svg+xml")),
            ("image/svg+xml;", Some("image/svg+xml")),
            ("", None),
            ("   ", None),
            ("image", None),
            ("image/", None),
            ("/png", None),
            ("image/png/x", None),
            ("image /png", None),
            ("text/html,image/png", None),
            ("text/html\0", None),
            ("ｔext/html", None),
        ] {
            assert_eq!(essence(media_type).as_deref(), expected, "{media_type:?}");
        }
    }

    #[test]
    fn uses_canonical_names_throughout() {
        assert!(extensions().count() > 1_500);
        for (ext, types) in extensions() {
            assert_eq!(ext, ext.to_ascii_lowercase());
            for name in types.all() {
                assert_eq!(canonical(name), name, "{ext}");
                assert_eq!(essence(name).as_deref(), Some(name), "{ext}");
            }
        }
    }
}

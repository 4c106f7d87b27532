//! Media types: their essence, their other names, and which extension stands for which.

mod aliases;
mod extensions;

use aliases::ALIASES;
use extensions::EXTENSIONS;

/// Reduces a media type to `type/subtype` in lower case: without parameters, without spaces around.
///
/// `None` if nothing is left or if what is left breaks the grammar (RFC 9110 section 8.3.1: two tokens and a slash).
pub fn essence(media_type: &str) -> Option<String> {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    let (kind, subtype) = bare.split_once('/')?;
    (is_token(kind) && is_token(subtype)).then(|| bare.to_ascii_lowercase())
}

/// Returns the media type that an extension stands for; case and a leading dot do not matter.
///
/// Types are those of the IANA registry where it has one: `.js` is `text/javascript` (RFC 9239).
pub fn media_type_for_extension(ext: &str) -> Option<&'static str> {
    types_for_extension(ext).map(|types| types.preferred)
}

/// The types that files with one extension are declared as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Types {
    /// The type the extension stands for.
    pub(crate) preferred: &'static str,
    /// What some systems declare instead.
    others: &'static [&'static str],
}

impl Types {
    /// Returns whether a file with this extension may be declared as a type.
    ///
    /// Any textual file may be declared as `text/plain`.
    pub(crate) fn include(&self, essence: &str) -> bool {
        let essence = canonical(essence);
        self.iter().any(|other| other == essence)
            || (essence == "text/plain" && is_text(self.preferred))
    }

    /// Yields the preferred type, then the others.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.preferred).chain(self.others.iter().copied())
    }
}

/// Finds the types of an extension; case and a leading dot do not matter.
pub(crate) fn types_for_extension(ext: &str) -> Option<Types> {
    let ext = ext.strip_prefix('.').unwrap_or(ext);
    EXTENSIONS
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(ext))
        .map(|&(_, preferred, others)| Types { preferred, others })
}

/// Returns the name that this crate uses for a type with several.
pub(crate) fn canonical(essence: &str) -> &str {
    ALIASES
        .iter()
        .find(|(_, aliases)| aliases.contains(&essence))
        .map_or(essence, |(canonical, _)| *canonical)
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

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::{ALIASES, EXTENSIONS, canonical, essence, media_type_for_extension};

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
            ("xyz", None),
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
        for (name, _) in ALIASES {
            assert_eq!(canonical(name), *name);
        }
        for (ext, preferred, others) in EXTENSIONS {
            for essence in others.iter().chain([preferred]) {
                assert_eq!(canonical(essence), *essence, "{ext}");
            }
            let rows = EXTENSIONS.iter().filter(|(other, ..)| other == ext).count();
            assert_eq!(rows, 1, "{ext} has one row");
        }
    }
}

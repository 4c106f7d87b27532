//! Media types: their essence, their other names, and which extension stands for which.

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

/// Names that mean the same; the first is the one the tables use.
const ALIASES: &[(&str, &[&str])] = &[
    (
        "application/gzip",
        &[
            "application/x-gzip",
            "application/gzip-compressed",
            "application/x-gunzip",
        ],
    ),
    (
        "application/java-archive",
        &["application/x-java-archive", "application/x-jar"],
    ),
    (
        "application/json",
        &["application/x-json", "text/json", "text/x-json"],
    ),
    (
        "application/msword",
        &[
            "application/vnd.ms-word",
            "application/x-msword",
            "application/doc",
        ],
    ),
    ("application/ogg", &["application/x-ogg"]),
    (
        "application/pdf",
        &["application/x-pdf", "application/acrobat", "text/pdf"],
    ),
    (
        "application/rtf",
        &["text/rtf", "application/x-rtf", "text/richtext"],
    ),
    (
        "application/vnd.ms-excel",
        &[
            "application/msexcel",
            "application/x-excel",
            "application/x-msexcel",
        ],
    ),
    (
        "application/vnd.ms-powerpoint",
        &["application/mspowerpoint", "application/powerpoint"],
    ),
    (
        "application/vnd.microsoft.portable-executable",
        &[
            "application/x-msdownload",
            "application/x-dosexec",
            "application/x-ms-dos-executable",
            "application/exe",
        ],
    ),
    (
        "application/vnd.rar",
        &[
            "application/x-rar-compressed",
            "application/x-rar",
            "application/rar",
        ],
    ),
    ("application/vnd.sqlite3", &["application/x-sqlite3"]),
    (
        "application/x-7z-compressed",
        &["application/7z", "application/x-7zip"],
    ),
    (
        "application/x-bzip2",
        &["application/x-bzip", "application/bzip2"],
    ),
    (
        "application/x-executable",
        &[
            "application/x-elf",
            "application/x-sharedlib",
            "application/x-pie-executable",
        ],
    ),
    (
        "application/x-httpd-php",
        &["application/x-php", "text/x-php", "text/php"],
    ),
    (
        "application/x-sh",
        &[
            "application/x-shellscript",
            "text/x-sh",
            "text/x-shellscript",
        ],
    ),
    (
        "application/x-tar",
        &["application/tar", "application/x-gtar"],
    ),
    ("application/xml", &["text/xml"]),
    (
        "application/yaml",
        &["text/yaml", "application/x-yaml", "text/x-yaml"],
    ),
    (
        "application/zip",
        &[
            "application/x-zip-compressed",
            "application/x-zip",
            "application/zip-compressed",
            "multipart/x-zip",
        ],
    ),
    ("application/zstd", &["application/x-zstd"]),
    (
        "audio/aac",
        &[
            "audio/x-aac",
            "audio/aacp",
            "audio/vnd.dlna.adts",
            "audio/x-hx-aac-adts",
        ],
    ),
    ("audio/aiff", &["audio/x-aiff"]),
    ("audio/flac", &["audio/x-flac"]),
    ("audio/midi", &["audio/x-midi", "audio/mid", "audio/x-mid"]),
    (
        "audio/mp4",
        &["audio/m4a", "audio/x-m4a", "audio/mp4a-latm"],
    ),
    (
        "audio/mpeg",
        &[
            "audio/mp3",
            "audio/x-mp3",
            "audio/mpeg3",
            "audio/x-mpeg",
            "audio/x-mpeg-3",
            "audio/mpg",
        ],
    ),
    (
        "audio/wav",
        &[
            "audio/x-wav",
            "audio/wave",
            "audio/vnd.wave",
            "audio/x-pn-wav",
        ],
    ),
    (
        "font/otf",
        &[
            "application/x-font-otf",
            "application/x-font-opentype",
            "application/vnd.ms-opentype",
        ],
    ),
    (
        "font/ttf",
        &[
            "application/x-font-ttf",
            "application/font-sfnt",
            "application/x-font-truetype",
        ],
    ),
    (
        "font/woff",
        &["application/font-woff", "application/x-font-woff"],
    ),
    ("font/woff2", &["application/font-woff2"]),
    (
        "image/bmp",
        &["image/x-bmp", "image/x-ms-bmp", "image/x-windows-bmp"],
    ),
    (
        "image/jpeg",
        &[
            "image/jpg",
            "image/pjpeg",
            "image/jpe",
            "image/x-jpeg",
            "image/x-citrix-jpeg",
        ],
    ),
    (
        "image/jp2",
        &["image/jpeg2000", "image/x-jp2", "image/jpeg2000-image"],
    ),
    ("image/png", &["image/x-png", "image/x-citrix-png"]),
    ("image/svg+xml", &["image/svg"]),
    ("image/tiff", &["image/tif", "image/x-tiff", "image/x-tif"]),
    (
        "image/vnd.adobe.photoshop",
        &[
            "image/x-photoshop",
            "image/psd",
            "application/photoshop",
            "application/x-photoshop",
        ],
    ),
    (
        "image/vnd.microsoft.icon",
        &[
            "image/x-icon",
            "image/ico",
            "image/icon",
            "image/x-win-bitmap",
        ],
    ),
    (
        "text/javascript",
        &[
            "application/javascript",
            "application/x-javascript",
            "text/ecmascript",
            "application/ecmascript",
        ],
    ),
    ("text/markdown", &["text/x-markdown"]),
    ("video/mp4", &["video/x-mp4"]),
    ("video/mpeg", &["video/x-mpeg", "video/mpg"]),
    ("video/quicktime", &["video/x-quicktime"]),
    ("video/x-flv", &["video/flv"]),
    ("video/x-m4v", &["video/m4v"]),
    (
        "video/x-matroska",
        &["video/matroska", "video/mkv", "video/x-mkv"],
    ),
    (
        "video/x-msvideo",
        &["video/avi", "video/msvideo", "video/vnd.avi"],
    ),
];

/// Extension, the type it stands for, and what else such files are declared as.
const EXTENSIONS: &[(&str, &str, &[&str])] = &[
    // Pictures
    ("jpg", "image/jpeg", &[]),
    ("jpeg", "image/jpeg", &[]),
    ("jpe", "image/jpeg", &[]),
    ("jfif", "image/jpeg", &[]),
    ("png", "image/png", &["image/apng"]),
    ("apng", "image/apng", &["image/png"]),
    ("gif", "image/gif", &[]),
    ("webp", "image/webp", &[]),
    ("bmp", "image/bmp", &[]),
    ("tif", "image/tiff", &[]),
    ("tiff", "image/tiff", &[]),
    ("ico", "image/vnd.microsoft.icon", &[]),
    ("cur", "image/vnd.microsoft.icon", &[]),
    ("heic", "image/heic", &["image/heif", "image/heic-sequence"]),
    ("heif", "image/heif", &["image/heic", "image/heif-sequence"]),
    ("avif", "image/avif", &["image/avif-sequence"]),
    ("jxl", "image/jxl", &[]),
    ("jp2", "image/jp2", &[]),
    ("psd", "image/vnd.adobe.photoshop", &[]),
    ("svg", "image/svg+xml", &[]),
    ("svgz", "image/svg+xml", &["application/gzip"]),
    // Films
    (
        "mp4",
        "video/mp4",
        &[
            "audio/mp4",
            "application/mp4",
            "video/x-m4v",
            "video/quicktime",
        ],
    ),
    ("m4v", "video/x-m4v", &["video/mp4"]),
    ("mov", "video/quicktime", &["video/mp4"]),
    ("qt", "video/quicktime", &[]),
    ("3gp", "video/3gpp", &["audio/3gpp", "video/mp4"]),
    ("3g2", "video/3gpp2", &["audio/3gpp2", "video/mp4"]),
    ("webm", "video/webm", &["audio/webm", "video/x-matroska"]),
    ("mkv", "video/x-matroska", &["video/webm"]),
    ("mka", "audio/x-matroska", &[]),
    ("avi", "video/x-msvideo", &[]),
    ("wmv", "video/x-ms-wmv", &["video/x-ms-asf"]),
    ("asf", "video/x-ms-asf", &["video/x-ms-wmv"]),
    ("flv", "video/x-flv", &[]),
    ("mpg", "video/mpeg", &[]),
    ("mpeg", "video/mpeg", &[]),
    (
        "ts",
        "video/mp2t",
        &[
            "text/typescript",
            "application/typescript",
            "text/x-typescript",
            "text/plain",
        ],
    ),
    ("ogv", "video/ogg", &["application/ogg"]),
    // Sounds
    ("mp3", "audio/mpeg", &[]),
    ("m4a", "audio/mp4", &["video/mp4"]),
    ("aac", "audio/aac", &[]),
    ("wav", "audio/wav", &[]),
    (
        "ogg",
        "audio/ogg",
        &["video/ogg", "application/ogg", "audio/opus"],
    ),
    ("oga", "audio/ogg", &["application/ogg"]),
    ("opus", "audio/ogg", &["audio/opus", "application/ogg"]),
    ("flac", "audio/flac", &[]),
    ("mid", "audio/midi", &[]),
    ("midi", "audio/midi", &[]),
    ("aif", "audio/aiff", &[]),
    ("aiff", "audio/aiff", &[]),
    ("wma", "audio/x-ms-wma", &["video/x-ms-asf"]),
    // Documents
    ("pdf", "application/pdf", &[]),
    ("ps", "application/postscript", &[]),
    (
        "eps",
        "application/postscript",
        &["image/x-eps", "application/eps"],
    ),
    ("rtf", "application/rtf", &["application/msword"]),
    ("doc", "application/msword", &["application/rtf"]),
    ("xls", "application/vnd.ms-excel", &[]),
    ("ppt", "application/vnd.ms-powerpoint", &[]),
    ("msg", "application/vnd.ms-outlook", &[]),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        &["application/zip", "application/msword"],
    ),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        &["application/zip", "application/vnd.ms-excel"],
    ),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        &["application/zip", "application/vnd.ms-powerpoint"],
    ),
    (
        "docm",
        "application/vnd.ms-word.document.macroenabled.12",
        &["application/zip"],
    ),
    (
        "xlsm",
        "application/vnd.ms-excel.sheet.macroenabled.12",
        &["application/zip"],
    ),
    (
        "pptm",
        "application/vnd.ms-powerpoint.presentation.macroenabled.12",
        &["application/zip"],
    ),
    (
        "odt",
        "application/vnd.oasis.opendocument.text",
        &["application/zip"],
    ),
    (
        "ods",
        "application/vnd.oasis.opendocument.spreadsheet",
        &["application/zip"],
    ),
    (
        "odp",
        "application/vnd.oasis.opendocument.presentation",
        &["application/zip"],
    ),
    (
        "odg",
        "application/vnd.oasis.opendocument.graphics",
        &["application/zip"],
    ),
    ("epub", "application/epub+zip", &["application/zip"]),
    (
        "xps",
        "application/vnd.ms-xpsdocument",
        &["application/zip"],
    ),
    (
        "kmz",
        "application/vnd.google-earth.kmz",
        &["application/zip"],
    ),
    ("3mf", "model/3mf", &["application/zip"]),
    // Archives and programs
    ("zip", "application/zip", &[]),
    ("jar", "application/java-archive", &["application/zip"]),
    (
        "apk",
        "application/vnd.android.package-archive",
        &["application/zip", "application/java-archive"],
    ),
    (
        "gz",
        "application/gzip",
        &[
            "application/x-tar",
            "application/x-compressed-tar",
            "application/x-compressed",
        ],
    ),
    (
        "tgz",
        "application/gzip",
        &[
            "application/x-tar",
            "application/x-compressed-tar",
            "application/x-compressed",
        ],
    ),
    (
        "bz2",
        "application/x-bzip2",
        &["application/x-tar", "application/x-bzip-compressed-tar"],
    ),
    (
        "xz",
        "application/x-xz",
        &["application/x-tar", "application/x-xz-compressed-tar"],
    ),
    ("zst", "application/zstd", &["application/x-tar"]),
    ("7z", "application/x-7z-compressed", &[]),
    ("rar", "application/vnd.rar", &[]),
    ("tar", "application/x-tar", &[]),
    ("sqlite", "application/vnd.sqlite3", &[]),
    ("exe", "application/vnd.microsoft.portable-executable", &[]),
    ("dll", "application/vnd.microsoft.portable-executable", &[]),
    ("msi", "application/x-msi", &["application/x-ole-storage"]),
    ("elf", "application/x-executable", &[]),
    ("wasm", "application/wasm", &[]),
    ("swf", "application/x-shockwave-flash", &[]),
    ("sh", "application/x-sh", &[]),
    ("php", "application/x-httpd-php", &[]),
    // Fonts
    ("woff", "font/woff", &[]),
    ("woff2", "font/woff2", &[]),
    ("ttf", "font/ttf", &["font/otf"]),
    ("otf", "font/otf", &["font/ttf"]),
    ("ttc", "font/collection", &["font/ttf"]),
    // Text
    ("txt", "text/plain", &[]),
    ("log", "text/plain", &[]),
    ("md", "text/markdown", &[]),
    ("markdown", "text/markdown", &[]),
    (
        "csv",
        "text/csv",
        &["application/csv", "text/x-csv", "application/vnd.ms-excel"],
    ),
    ("tsv", "text/tab-separated-values", &[]),
    ("json", "application/json", &[]),
    (
        "jsonl",
        "application/jsonl",
        &["application/json", "application/x-ndjson"],
    ),
    ("ndjson", "application/x-ndjson", &["application/json"]),
    ("geojson", "application/geo+json", &["application/json"]),
    ("yaml", "application/yaml", &[]),
    ("yml", "application/yaml", &[]),
    ("toml", "application/toml", &[]),
    ("ics", "text/calendar", &[]),
    ("vcf", "text/vcard", &["text/x-vcard"]),
    ("srt", "application/x-subrip", &[]),
    ("vtt", "text/vtt", &[]),
    ("sql", "application/sql", &["text/x-sql"]),
    ("tex", "application/x-tex", &["text/x-tex"]),
    ("html", "text/html", &["application/xhtml+xml"]),
    ("htm", "text/html", &["application/xhtml+xml"]),
    ("xhtml", "application/xhtml+xml", &["text/html"]),
    ("css", "text/css", &[]),
    ("js", "text/javascript", &[]),
    ("mjs", "text/javascript", &[]),
    ("cjs", "text/javascript", &[]),
    ("xml", "application/xml", &[]),
    (
        "xsl",
        "application/xslt+xml",
        &["application/xml", "text/xsl"],
    ),
    ("gpx", "application/gpx+xml", &["application/xml"]),
    (
        "kml",
        "application/vnd.google-earth.kml+xml",
        &["application/xml"],
    ),
];

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

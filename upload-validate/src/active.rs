//! Active content: what a browser may run when it opens the stored file.

pub(crate) mod bytes;

use crate::name::{extension, safe_name, visible};

/// Returns whether a file's name or declared type says that a browser may run it.
///
/// The name is judged as it will be stored, that is after [`safe_name`]: `a.svg/`, `a.ｓｖｇ` and `evil.svg .` are
/// all SVG files.
/// Endings that only say how the file is compressed on its way (`.svg.gz`) are looked through.
///
/// Active are HTML, everything that is XML by the rule of the WHATWG MIME standard (`text/xml`,
/// `application/xml`, `…+xml`), scripts, stylesheets that can run scripts (XSL), mixed or archived pages
/// (multipart, MHTML), Flash and WebAssembly.
/// A type that breaks its grammar is judged by its parts, since some reader may see only one of them:
/// `text/html,image/png` is active, and so is `text/html` followed by a NUL.
/// PDF is not counted as active: browsers show it without access to the page's origin.
pub fn is_active(name: &str, media_type: &str) -> bool {
    is_active_name(&safe_name(name)) || is_active_type(media_type)
}

const EXTENSIONS: &[&str] = &[
    "atom", "cjs", "hta", "htc", "htm", "html", "js", "mathml", "mht", "mhtml", "mjs", "mml",
    "rdf", "rss", "shtm", "shtml", "svg", "svgz", "swf", "wasm", "xbl", "xht", "xhtm", "xhtml",
    "xml", "xsl", "xslt", "xul",
];

/// Endings that a web server turns into `Content-Encoding`, with the type taken from what stands before them.
const ENCODINGS: &[&str] = &["br", "gz", "gzip", "z", "zst"];

fn is_active_name(name: &str) -> bool {
    let mut rest = name;
    while let Some(ending) = extension(rest) {
        if ENCODINGS
            .iter()
            .all(|encoding| !ending.eq_ignore_ascii_case(encoding))
        {
            return EXTENSIONS
                .iter()
                .any(|active| ending.eq_ignore_ascii_case(active));
        }
        rest = rest
            .get(..rest.len().saturating_sub(ending.len().saturating_add(1)))
            .unwrap_or_default();
    }
    false
}

const TYPES: &[&str] = &[
    "application/ecmascript",
    "application/hta",
    "application/javascript",
    "application/vnd.adobe.flash.movie",
    "application/wasm",
    "application/x-ecmascript",
    "application/x-javascript",
    "application/x-mimearchive",
    "application/x-shockwave-flash",
    "application/xml",
    "application/xml-dtd",
    "application/xml-external-parsed-entity",
    "multipart/mixed",
    "multipart/related",
    "multipart/x-mixed-replace",
    "text/ecmascript",
    "text/html",
    "text/javascript",
    "text/jscript",
    "text/livescript",
    "text/vbscript",
    "text/x-component",
    "text/x-ecmascript",
    "text/x-javascript",
    "text/xml",
    "text/xml-external-parsed-entity",
    "text/xsl",
];

fn is_active_type(media_type: &str) -> bool {
    visible(media_type)
        .split([',', ';'])
        .map(|part| part.trim().to_ascii_lowercase())
        .any(|part| {
            TYPES.contains(&part.as_str())
                || part.starts_with("text/javascript1.")
                || (part.contains('/') && part.ends_with("+xml"))
        })
}

#[cfg(test)]
mod tests {
    use super::is_active;

    /// AC-1 to AC-13: what the reference refuses and lets pass.
    #[test]
    fn answers_as_the_reference() {
        for (row, name, media_type, expected) in [
            ("AC-1", "evil.svg", "image/svg+xml", true),
            ("AC-3", "page.html", "text/html", true),
            ("AC-4", "evil.svg", "", true),
            ("AC-5", "report", "text/html", true),
            ("AC-6", "payload.js", "application/javascript", true),
            ("AC-7", "evil.png", "image/svg+xml; charset=utf-8", true),
            ("AC-7", "evil.png", "image/svg+xml;", true),
            ("AC-7", "evil.png", "  image/svg+xml ; foo=bar ", true),
            ("AC-8", "evil.bin", "text/html; charset=utf-8", true),
            ("AC-9", "evil.svg ", "", true),
            ("AC-9", "evil.svg.", "", true),
            ("AC-9", "evil.svg  ", "", true),
            ("AC-9", "evil.svg. . .", "", true),
            ("AC-9", "..\\..\\evil.svg", "", true),
            ("AC-9", "/abs/path/evil.html", "", true),
            ("AC-9", "p.htm ", "", true),
            ("AC-9", "x.xhtml.", "", true),
            ("AC-9", "payload.js ", "", true),
            ("AC-10", "evil.svgz", "", true),
            ("AC-10", "evil.svgz", "image/svg+xml", true),
            ("AC-11", "EVIL.SVG", "", true),
            ("AC-11", "evil.png", "IMAGE/SVG+XML", true),
            ("AC-12", "a.ｓｖｇ", "", true),
            ("AC-12", "a.svg\u{200B}", "", true),
            ("AC-12", "a.svg/", "", true),
            ("AC-12", "a.svg/.", "", true),
            ("AC-12", "a.svg\\", "", true),
            ("AC-13", "photo.png", "image/png", false),
            ("AC-13", "photo.jpg", "", false),
            ("AC-13", "notes.txt", "text/plain", false),
            ("AC-13", "rows.csv", "text/csv; charset=utf-8", false),
            ("AC-13", "config.json", "application/json", false),
            ("AC-13", "report.pdf", "application/pdf", false),
        ] {
            assert_eq!(
                is_active(name, media_type),
                expected,
                "{row}: {name:?} as {media_type:?}"
            );
        }
    }

    /// REFERENCE 1.3, "not caught by the reference": extensions.
    #[test]
    fn knows_extensions_the_reference_lets_pass() {
        for ext in [
            "xml",
            "xht",
            "shtml",
            "mjs",
            "cjs",
            "xsl",
            "xslt",
            "rdf",
            "hta",
            "htc",
            "mht",
            "mhtml",
            "swf",
            "wasm",
            "svg.gz",
            "html.br",
            "svg.gz.gz",
            "SVG.GZ",
        ] {
            let name = format!("evil.{ext}");
            assert!(is_active(&name, ""), "{name}");
        }
        for name in [
            "a.gz",
            "svg.gz",
            "html",
            "a.tar.gz",
            "xml.txt",
            "a.svg.txt",
            "gz",
        ] {
            assert!(!is_active(name, ""), "{name}");
        }
    }

    /// REFERENCE 1.3, "not caught by the reference": types, and types that break the grammar.
    #[test]
    fn knows_types_the_reference_lets_pass() {
        for media_type in [
            "text/xml",
            "application/xml",
            "application/x-javascript",
            "text/ecmascript",
            "application/ecmascript",
            "application/xslt+xml",
            "application/mathml+xml",
            "application/rss+xml",
            "multipart/x-mixed-replace",
            "multipart/x-mixed-replace; boundary=x",
            "text/html,image/png",
            "image/png, text/html",
            "text/html\0",
            "\ttext/html\r\n",
            "text/javascript1.5",
        ] {
            assert!(is_active("a.bin", media_type), "{media_type:?}");
        }
        for media_type in [
            "",
            "text/plain",
            "application/json",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "image/png; title=text/html",
        ] {
            assert!(!is_active("a.bin", media_type), "{media_type:?}");
        }
    }
}

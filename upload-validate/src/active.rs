//! Active content: what a browser may run when it opens the stored file.

pub(crate) mod bytes;
mod xml;

use crate::{
    file::File,
    media_types::{Types, types_for_extension},
    name::{extension, visible},
    signatures,
};

/// Which active content a slot takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActiveContent {
    /// None.
    #[default]
    None,
    /// XML that is data, such as GPX, KML, invoices and subtitles: no page, no SVG, no style sheet and no script.
    Xml,
    /// All of it.
    All,
}

impl ActiveContent {
    fn takes(self, activity: Activity) -> bool {
        match self {
            ActiveContent::None => false,
            ActiveContent::Xml => activity == Activity::Xml,
            ActiveContent::All => true,
        }
    }
}

/// What a browser makes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Activity {
    /// XML, which is harmless as long as nothing in it belongs to a page.
    Xml,
    /// A page, a picture with scripts, a script, a program for the browser, or an archive of such.
    Page,
}

/// Returns whether a file's name or declared type says that a browser may run it.
///
/// The name is judged as it will be stored, that is after [`safe_name`](crate::safe_name): `a.svg/`, `a.ｓｖｇ` and
/// `evil.svg .` are all SVG files.
/// Extensions are read from the end to the first that a table knows, as some web servers do: `a.html.en` and
/// `a.svg.xyzzy` are active, `a.svg.txt` is not.
/// Endings that only say how the file is compressed on its way (`.svg.gz`) are looked through.
///
/// Active are HTML, everything that is XML by the rule of the WHATWG MIME standard (`text/xml`,
/// `application/xml`, `…+xml`), scripts, stylesheets that can run scripts (XSL), mixed or archived pages
/// (multipart, MHTML), Flash and WebAssembly; and every extension that mime-db, Debian, mime_guess or Python give
/// such a type.
/// A type that breaks its grammar is judged by its parts, since some reader may see only one of them:
/// `text/html,image/png` is active, and so is `text/html` followed by a NUL.
/// PDF is not counted as active: browsers show it without access to the page's origin.
pub fn is_active(name: &str, media_type: &str) -> bool {
    of_file(&File::new(name, media_type)).is_some()
}

/// Returns what a browser makes of a file by its name and declared type.
pub(crate) fn of_file(file: &File<'_>) -> Option<Activity> {
    of_name(&file.safe).max(of_type(file.media_type))
}

/// Returns whether a slot's choice keeps a file out by its name or declared type.
pub(crate) fn is_refused(file: &File<'_>, choice: ActiveContent) -> bool {
    of_file(file).is_some_and(|activity| !choice.takes(activity))
}

/// Extensions that run whatever a table says.
const PAGES: &[&str] = &[
    "hta", "htc", "htm", "html", "mht", "mhtml", "shtm", "shtml", "svg", "svgz", "swf", "wasm",
    "xbl", "xht", "xhtm", "xhtml", "xul",
];

/// Endings that a web server turns into `Content-Encoding`, with the type taken from what is before them.
const ENCODINGS: &[&str] = &["br", "gz", "gzip", "z", "zst"];

fn is_in(list: &[&str], ext: &str) -> bool {
    list.iter().any(|listed| ext.eq_ignore_ascii_case(listed))
}

/// An extension that a table knows, and where in a name it is.
struct Ending<'a> {
    ext: &'a str,
    is_last: bool,
    /// Whether what follows it says how the file is compressed.
    is_compressed: bool,
}

/// Finds the last extension that a table knows, as some web servers do, before those of compression.
fn known_ending(name: &str) -> Option<Ending<'_>> {
    let mut rest = name;
    let mut is_compressed = false;
    while let Some(ext) = extension(rest) {
        if is_in(ENCODINGS, ext) {
            is_compressed = true;
        } else if is_in(PAGES, ext) || types_for_extension(ext).is_some() {
            return Some(Ending {
                ext,
                is_last: rest.len() == name.len(),
                is_compressed,
            });
        }
        let length = rest.len().saturating_sub(ext.len().saturating_add(1));
        rest = rest.get(..length).unwrap_or_default();
    }
    None
}

fn of_name(name: &str) -> Option<Activity> {
    let ending = known_ending(name)?;
    let activity = of_extension(ending.ext)?;
    match ending.is_compressed {
        // Nothing in compressed XML can be looked at.
        true => Some(Activity::Page),
        false if is_told_by_bytes(&ending) => None,
        false => Some(activity),
    }
}

/// Returns what a browser makes of a file by its name, even if it is taken unless its bytes say the same.
pub(crate) fn by_name(name: &str) -> Option<Activity> {
    of_extension(known_ending(name)?.ext)
}

/// Returns whether most files with an extension are no page, and their bytes tell.
///
/// Either the content check asks for the signature of what they are, which is that of a last extension only.
/// Or a list also calls them XML, as mime-db does with the sources of Rust. A browser runs nothing in a document that
/// does not begin with markup, whatever its type, and [`bytes::fit`] refuses one that does.
fn is_told_by_bytes(ending: &Ending<'_>) -> bool {
    let ext = ending.ext;
    let types = types_for_extension(ext).filter(|_| !is_in(PAGES, ext));
    let own = types.and_then(Types::preferred);
    own.is_some_and(|own| {
        let has_signature = ending.is_last && signatures::for_type(own).is_some();
        of_essence(own).is_none() && (has_signature || of_extension(ext) == Some(Activity::Xml))
    })
}

/// Returns what a browser makes of a file with an extension, by any of the tables.
fn of_extension(ext: &str) -> Option<Activity> {
    if is_in(PAGES, ext) {
        return Some(Activity::Page);
    }
    types_for_extension(ext)?.all().filter_map(of_essence).max()
}

const TYPES: &[&str] = &[
    "application/ecmascript",
    "application/hta",
    "application/javascript",
    "application/vnd.adobe.flash.movie",
    "application/vnd.mozilla.xul+xml",
    "application/wasm",
    "application/x-ecmascript",
    "application/x-javascript",
    "application/x-mimearchive",
    "application/x-shockwave-flash",
    "application/xml-external-parsed-entity",
    "application/xslt+xml",
    "image/svg+xml",
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
    "text/xml-external-parsed-entity",
    "text/xsl",
];

fn of_essence(essence: &str) -> Option<Activity> {
    let is_page = TYPES.contains(&essence)
        || essence.starts_with("text/javascript1.")
        || (essence.ends_with("+xml") && (essence.contains("html") || essence.contains("mathml")));
    let is_xml = matches!(
        essence,
        "application/xml" | "application/xml-dtd" | "text/xml"
    ) || (essence.contains('/') && essence.ends_with("+xml"));
    match (is_page, is_xml) {
        (true, _) => Some(Activity::Page),
        (_, true) => Some(Activity::Xml),
        _ => None,
    }
}

fn of_type(media_type: &str) -> Option<Activity> {
    let visible = visible(media_type);
    let parts = visible.split([',', ';']);
    parts
        .filter_map(|part| of_essence(&part.trim().to_ascii_lowercase()))
        .max()
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
            "html.en",
            "svg.bak",
            "html.gz.en",
            "kml",
            "gpx",
            "xsd",
            "hxt",
            "aspx",
            "es",
            "jsx",
            "rs.gz",
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
            "main.rs",
            "main.rs.orig",
            "kernel.cl",
            "configure.ac",
            "go.mod",
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

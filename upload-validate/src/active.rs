//! Active content: what a browser may run when it opens the stored file.

use crate::{
    markup::{Prolog, Token},
    name::{extension, safe_name, visible},
    signatures::{At, Fit},
    sniff::Head,
};

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

/// Tells whether the first bytes are those of active content.
///
/// Only the beginning counts, as for a browser that sniffs: markup that is quoted further on in prose, JSON or
/// source code makes nothing active.
/// `is_text` says that the file is announced as text, and a browser then looks no further. There only what
/// makes a whole document counts (`<html`, `<script`, `<svg`, a doctype, an XML declaration), since a Markdown
/// file may well begin with `<p>` or a comment. Without such an announcement everything counts that the WHATWG
/// MIME sniffing standard takes for HTML.
pub(crate) fn fit_bytes(head: &Head<'_>, is_text: bool) -> Fit {
    match fit_markup(head, is_text) {
        Fit::No => fit_binary(head),
        fit => fit,
    }
}

/// Elements that begin a document, or run or load something as soon as they are read.
const DOCUMENT: &[&str] = &[
    "base",
    "body",
    "embed",
    "frameset",
    "head",
    "html",
    "iframe",
    "link",
    "math",
    "meta",
    "object",
    "rdf",
    "script",
    "style",
    "stylesheet",
    "svg",
    "title",
    "transform",
];

/// Elements that make a browser see HTML where no type was declared.
const FRAGMENT: &[&str] = &[
    "a", "audio", "b", "br", "details", "div", "font", "form", "h1", "img", "input", "p", "table",
    "video",
];

fn fit_markup(head: &Head<'_>, is_text: bool) -> Fit {
    let is_listed =
        |list: &[&str], name: &[u8]| list.iter().any(|listed| listed.as_bytes() == name);
    let mut has_comment = false;
    for token in Prolog::new(head.bytes).tokens() {
        match token {
            Token::Xml | Token::Doctype(_) => return Fit::Yes,
            Token::Comment if !is_text => return Fit::Yes,
            Token::Comment => has_comment = true,
            Token::Element(name) => {
                let is_active =
                    is_listed(DOCUMENT, name) || (!is_text && is_listed(FRAGMENT, name));
                return if is_active { Fit::Yes } else { Fit::No };
            }
            Token::Text => return Fit::No,
        }
    }
    if !head.is_complete() {
        Fit::Open
    } else if has_comment && !head.is_whole {
        // Comments up to the end of what is looked at: a way to push a document out of sight.
        Fit::Yes
    } else {
        Fit::No
    }
}

/// Finds WebAssembly modules and Flash films, whatever they are called.
fn fit_binary(head: &Head<'_>) -> Fit {
    let fit = At(0, b"\0asm").fit(head.bytes).or(flash(head.bytes));
    match fit {
        Fit::Open if head.is_complete() => Fit::No,
        fit => fit,
    }
}

/// `FWS`, `CWS` or `ZWS`, a version, and a length in little endian.
///
/// Three letters may well begin a sentence, but no text has a control character where the length of a film
/// under 128 MiB has its highest byte.
fn flash(bytes: &[u8]) -> Fit {
    const VERSION_MAX: u8 = 64;
    const LENGTH_TOP_MAX: u8 = 7;
    let parts = [
        bytes.first().is_none_or(|b| b"FCZ".contains(b)),
        bytes.get(1).is_none_or(|b| *b == b'W'),
        bytes.get(2).is_none_or(|b| *b == b'S'),
        bytes.get(3).is_none_or(|b| (1..=VERSION_MAX).contains(b)),
        bytes.get(7).is_none_or(|b| *b <= LENGTH_TOP_MAX),
    ];
    match (parts.iter().all(|fits| *fits), bytes.len()) {
        (false, _) => Fit::No,
        (true, 8..) => Fit::Yes,
        (true, _) => Fit::Open,
    }
}

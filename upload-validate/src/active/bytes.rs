//! Active content by its bytes, whatever a file is called.

use crate::{
    markup::{Prolog, Token},
    signatures::{At, Fit},
    sniff::Head,
};

/// Tells whether the first bytes are those of active content.
///
/// Only the beginning counts, as for a browser that sniffs: markup that is quoted further on in prose, JSON or
/// source code makes nothing active.
/// `is_text` says that the file is announced as text, and a browser then looks no further. There only what
/// makes a whole document counts (`<html`, `<script`, `<svg`, a doctype, an XML declaration), since a Markdown
/// file may well begin with `<p>` or a comment. Without such an announcement everything counts that the WHATWG
/// MIME sniffing standard takes for HTML.
pub(crate) fn fit(head: &Head<'_>, is_text: bool) -> Fit {
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

#[cfg(test)]
mod tests {
    use super::fit as fit_head;
    use crate::{signatures::Fit, sniff::Head};

    fn fit(bytes: &[u8], is_text: bool) -> Fit {
        fit_head(
            &Head {
                bytes,
                is_whole: true,
            },
            is_text,
        )
    }

    /// REFERENCE 1.3, "not caught by the reference": HTML bytes named `.txt`.
    #[test]
    fn finds_documents_in_text() {
        let table: &[&[u8]] = &[
            b"<html>",
            b"<!DOCTYPE html><p>hi",
            b"<!doctype\nHTML>",
            b" \r\n\t<HTML lang=en>",
            b"\xEF\xBB\xBF<html>",
            b"\xEF\xBB\xBF \n<!-- hi --><!-- there -->\n<script>alert(1)</script>",
            b"<script src=x></script>",
            b"<svg onload=alert(1)>",
            b"<svg/onload=alert(1)>",
            b"<?xml version='1.0'?><note/>",
            b"<?xml-stylesheet href='x.xsl'?>",
            b"<body onload=x>",
            b"<iframe src=javascript:x>",
            b"<xsl:stylesheet version='1.0'>",
            b"<svg:svg xmlns:svg='http://www.w3.org/2000/svg'>",
            b"\xFF\xFE<\0h\0t\0m\0l\0>\0",
            b"\xFE\xFF\0<\0s\0v\0g\0 ",
            b"\0asm\x01\0\0\0",
            b"CWS\x0A\x10\x20\x30\x00x\x9C",
            b"FWS\x09\x00\x01\x00\x00",
        ];
        for bytes in table {
            assert_eq!(
                fit(bytes, true),
                Fit::Yes,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
            assert_eq!(
                fit(bytes, false),
                Fit::Yes,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn lets_ordinary_text_pass() {
        let table: &[&[u8]] = &[
            b"",
            b"<",
            b"Dear all,\n\nplease use <html> and <script> with care.",
            b"name,markup\nx,<svg onload=1>\n",
            b"{\"html\": \"<!doctype html><script>\"}",
            b"[\"<html>\"]",
            b"# Title\n\n<script>not at the beginning</script>",
            b"<p align=\"center\">A readme</p>",
            b"<!-- a note for editors -->\n# Title",
            b"<!-- only a note -->",
            b"<?php echo '<html>'; ?><html>",
            b"<% ruby %>",
            b"<john@example.org> wrote:",
            b"<a@b.example> wrote:",
            b"< 3 and > 2",
            b"#include <stdio.h>\nint main() {}",
            b"fn main() { println!(\"<html>\"); }",
            b"<T>(x: T) => x",
            b"<project><!-- unheard of --></project>",
            b"CWS report 2024",
            b"FWS\nand more lines\n",
            b"%PDF-1.7",
            b"BM, MZ and PK begin this sentence",
        ];
        for bytes in table {
            assert_eq!(
                fit(bytes, true),
                Fit::No,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn is_stricter_where_a_browser_would_sniff() {
        let table: &[&[u8]] = &[
            b"<p>hi",
            b"<!-- x -->",
            b"<a href=x>",
            b"<b>",
            b"<img src=x onerror=y>",
        ];
        for bytes in table {
            assert_eq!(
                fit(bytes, false),
                Fit::Yes,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
            assert_eq!(
                fit(bytes, true),
                Fit::No,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn is_not_deceived_by_a_comment_longer_than_the_head() {
        let mut bytes = b"<!--".to_vec();
        bytes.resize(crate::HEAD_BYTES, b'x');
        let head = Head {
            bytes: &bytes,
            is_whole: false,
        };
        assert_eq!(fit_head(&head, true), Fit::Yes);
    }
}

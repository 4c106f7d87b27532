//! Active content by its bytes, whatever a file is called.

use super::{ActiveContent, Activity, xml};
use crate::{
    head::Head,
    markup::{self, Element, Prolog, Token},
    signatures::{At, Fit},
};

/// What a file's extension promises about its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Text: a browser shows it without looking for markup in it.
    Text,
    /// A type that is no text: a browser that knows the type looks no further.
    Data,
    /// Nothing: a server sends no type or a guess, and a browser looks at the bytes.
    Nothing,
}

/// Tells whether the first bytes are those of active content that a slot does not take.
///
/// Only the beginning counts, as for a browser that sniffs: markup that is quoted further on in prose, JSON or
/// source code makes nothing active.
/// In a file whose extension promises text only what makes a whole document counts (`<html`, `<script`, `<svg`, a
/// doctype, an XML declaration), since a Markdown file may well begin with `<p>` or a comment.
/// Elsewhere everything counts that the WHATWG MIME sniffing standard reads as HTML.
/// Where nothing is promised any markup counts: the server that serves the file may read its extension otherwise.
///
/// A file with bytes that no text has is not refused for markup that random bytes bring about by chance: see
/// [`happens_by_chance`].
///
/// `by_name` is what a browser makes of the file by its name.
pub(crate) fn fit(
    head: &Head<'_>,
    promise: Promise,
    by_name: Option<Activity>,
    choice: ActiveContent,
) -> Fit {
    let markup = match choice {
        ActiveContent::All => return Fit::No,
        ActiveContent::Xml => {
            xml::fit(head, promise, by_name).unwrap_or_else(|| fit_markup(head, promise))
        }
        ActiveContent::None if by_name.is_some() => xml::fit_document(head),
        ActiveContent::None => fit_markup(head, promise),
    };
    match markup {
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

/// Returns whether an element is one that a browser looks for.
pub(super) fn is_html(name: &[u8]) -> bool {
    is_listed(DOCUMENT, name) || is_listed(FRAGMENT, name)
}

fn is_listed(list: &[&str], name: &[u8]) -> bool {
    list.iter().any(|listed| listed.as_bytes() == name)
}

fn fit_markup(head: &Head<'_>, promise: Promise) -> Fit {
    let prolog = Prolog::new(head.bytes);
    let mut tokens = prolog.tokens();
    let mut has_comment = false;
    let mut has_markup = false;
    let mut is_over = false;
    for token in tokens.by_ref() {
        match token {
            Token::Xml | Token::Doctype(_) => return Fit::Yes,
            Token::Comment if promise != Promise::Text => return Fit::Yes,
            Token::Comment => has_comment = true,
            Token::Bogus if promise == Promise::Text => return Fit::No,
            Token::Bogus => has_markup = true,
            Token::Element(element) if is_listed(DOCUMENT, element.name) => return Fit::Yes,
            Token::Element(_) if promise == Promise::Text => return Fit::No,
            Token::Element(element) if is_listed(FRAGMENT, element.name) => {
                return match happens_by_chance(head, &prolog, &element) {
                    Fit::Yes => Fit::No,
                    Fit::No => Fit::Yes,
                    Fit::Open => Fit::Open,
                };
            }
            Token::Element(_) => (has_markup, is_over) = (true, true),
            Token::Text => is_over = true,
        }
    }
    if !head.is_complete() {
        let is_open = !is_over || (has_markup && promise == Promise::Nothing);
        return if is_open { Fit::Open } else { Fit::No };
    }
    // Comments, or a tag, up to the end of what is looked at: a way to push a document out of sight.
    let is_hidden = !is_over && !head.is_whole && (has_comment || tokens.is_cut());
    let is_markup = has_markup
        && promise == Promise::Nothing
        && (!prolog.is_binary() || xml::is_page(prolog.bytes()));
    if is_hidden || is_markup {
        Fit::Yes
    } else {
        Fit::No
    }
}

/// Tells whether a file is no text, and its first bytes are `<a`, `<b` or `<p` by chance.
///
/// Of the elements that browsers look for these are the only ones that random bytes spell now and then, once in
/// half a million files. A file that is here to its end must then have something besides that could run:
/// another tag of a name that we know, an event handler or an address. Of a longer one the rest is unknown, and
/// it counts where a browser would sniff it, which wants a space or `>` behind the name.
fn happens_by_chance(head: &Head<'_>, prolog: &Prolog, element: &Element<'_>) -> Fit {
    if element.name.len() > 1 {
        return Fit::No;
    }
    if !head.is_complete() {
        return Fit::Open;
    }
    let counts = if !prolog.is_binary() {
        true
    } else if head.is_whole {
        can_run(prolog.bytes())
    } else {
        matches!(element.rest.first(), Some(b' ' | b'>'))
    };
    if counts { Fit::No } else { Fit::Yes }
}

/// Tells whether bytes in lower case hold a tag with a known name of several letters, an event handler or a link.
fn can_run(bytes: &[u8]) -> bool {
    let has_tag = (1..).zip(bytes).any(|(next, b)| {
        let element = bytes.get(next..).filter(|_| *b == b'<');
        element
            .and_then(markup::tag)
            .is_some_and(|element| is_html(element.name) && element.name.len() > 1)
    });
    has_tag || markup::after(bytes, b"href").is_some() || has_handler(bytes)
}

/// Finds `on`, at least three letters, and a `=`, as in `onclick =`.
fn has_handler(bytes: &[u8]) -> bool {
    const LETTERS_MIN: usize = 3;
    bytes.windows(2).zip(2..).any(|(start, next)| {
        let rest = bytes.get(next..).filter(|_| start == b"on");
        rest.is_some_and(|rest| {
            let letters = rest.iter().take_while(|b| b.is_ascii_lowercase()).count();
            let mut rest = rest.iter().skip(letters);
            letters >= LETTERS_MIN && rest.find(|b| !markup::is_blank(**b)) == Some(&b'=')
        })
    })
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
    use super::{ActiveContent, Promise};
    use crate::{head::Head, signatures::Fit};

    fn fit_head(head: &Head<'_>, promise: Promise) -> Fit {
        super::fit(head, promise, None, ActiveContent::None)
    }

    fn fit(bytes: &[u8], promise: Promise) -> Fit {
        fit_head(
            &Head {
                bytes,
                is_whole: true,
            },
            promise,
        )
    }

    fn check(promise: Promise, expected: Fit, table: &[&[u8]]) {
        for bytes in table {
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(fit(bytes, promise), expected, "{promise:?}: {shown:?}");
        }
    }

    /// REFERENCE 1.3, "not caught by the reference": HTML bytes named `.txt`.
    #[test]
    fn finds_documents_whatever_is_promised() {
        for promise in [Promise::Text, Promise::Data, Promise::Nothing] {
            check(
                promise,
                Fit::Yes,
                &[
                    b"<html>",
                    b"<!DOCTYPE html><p>hi",
                    b"<!doctype\nHTML>",
                    b" \r\n\t<HTML lang=en>",
                    b"\x0B<html>",
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
                ],
            );
        }
    }

    #[test]
    fn lets_ordinary_text_pass() {
        check(
            Promise::Text,
            Fit::No,
            &[
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
            ],
        );
    }

    /// MIME Sniffing 7.1: what makes a browser see HTML without a declared type.
    #[test]
    fn is_stricter_where_a_browser_would_sniff() {
        let table: &[&[u8]] = &[
            b"<p>hi",
            b"<!-- x -->",
            b"<a href=x>",
            b"<b>",
            b"<img src=x onerror=y>",
        ];
        check(Promise::Text, Fit::No, table);
        check(Promise::Data, Fit::Yes, table);
        check(Promise::Nothing, Fit::Yes, table);
    }

    /// Where nothing is promised, a server may call it XML or HTML.
    #[test]
    fn refuses_any_markup_where_nothing_is_promised() {
        let table: &[&[u8]] = &[
            b"<r><script xmlns='http://www.w3.org/1999/xhtml'>1</script></r>",
            b"<?pi ?><r/>",
            b"<![CDATA[ x ]]>",
            b"<!ENTITY x 'y'>",
            b"</x>",
            b"\x0B<r>",
        ];
        check(Promise::Nothing, Fit::Yes, table);
        check(Promise::Data, Fit::No, table);
        check(Promise::Text, Fit::No, table);
        let binary: &[&[u8]] = &[b"<r>\x01\x02", b"</x>\x01", b"<R\xFF\x01\0 "];
        check(Promise::Nothing, Fit::No, binary);
        let namespace: &[&[u8]] = &[b"<r xmlns='http://www.w3.org/1999/xhtml'>\x01"];
        check(Promise::Nothing, Fit::Yes, namespace);
        let hidden: &[&[u8]] = &[b"<?pi \x01?><html>", b"</x><script>\x01", b"<!x><?xml \x01"];
        check(Promise::Nothing, Fit::Yes, hidden);
        check(Promise::Data, Fit::Yes, hidden);
    }

    /// Names end where the HTML standard ends them: no browser sees a paragraph in these.
    #[test]
    fn lets_random_bytes_pass() {
        for promise in [Promise::Data, Promise::Nothing] {
            check(
                promise,
                Fit::No,
                &[
                    b"<p\x16\x80\x01",
                    b"<a\x80\x81\x02",
                    b"<b\xFF\x00\x02",
                    b"\0\0<p\x16\x01",
                    b"<script\x16\x01",
                    // By chance: nothing here could run.
                    b"<p \x01\x80\xA3<q>",
                    b"<b>\x01\x02on=",
                ],
            );
            check(
                promise,
                Fit::Yes,
                &[
                    b"<b>\x01<script>",
                    b"<b>\x01<IMG/src=x onerror=y>",
                    b"<p \x01 onclick\n=alert(1)>",
                    b"<a \x01 HREF=javascript:alert(1)>",
                ],
            );
        }
    }

    #[test]
    fn is_not_deceived_by_markup_longer_than_the_head() {
        let beginnings: &[&[u8]] = &[b"<!--", b"<!-- x -->\n", b"<!DOCTYPE", b"<?xml", b"<svg"];
        for beginning in beginnings {
            let mut bytes = beginning.to_vec();
            bytes.resize(crate::HEAD_BYTES, b' ');
            let head = Head {
                bytes: &bytes,
                is_whole: false,
            };
            assert_eq!(fit_head(&head, Promise::Text), Fit::Yes, "{beginning:?}");
        }
        let mut bytes = b"<!-- x -->\n# text".to_vec();
        bytes.resize(crate::HEAD_BYTES, b' ');
        let head = Head {
            bytes: &bytes,
            is_whole: false,
        };
        let text = fit_head(&head, Promise::Text);
        assert_eq!(text, Fit::No, "text in sight hides nothing");
        let mut bytes = b"<b>\x01".to_vec();
        bytes.resize(crate::HEAD_BYTES, b'x');
        let head = Head {
            bytes: &bytes,
            is_whole: false,
        };
        assert_eq!(fit_head(&head, Promise::Data), Fit::Yes);
    }
}

//! Finds out whether bytes begin as HTML, SVG or XML, and with what.

/// A construct at the beginning of a document, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// `<!--`, whose end may be still to come.
    Comment,
    /// `<?xml` or `<?xml-stylesheet`, whose end may be still to come.
    Xml,
    /// `<!doctype NAME`; nothing is read after it.
    Doctype(&'a [u8]),
    /// `<NAME`, without the prefix of a namespace; nothing is read after it.
    Element(&'a [u8]),
    /// Anything else; nothing is read after it.
    Text,
}

/// The leading part of a head, made readable.
///
/// A byte order mark goes, and so do NUL bytes, which turns the ASCII part of UTF-16 and UTF-32 into ASCII.
pub(crate) struct Prolog {
    bytes: Vec<u8>,
}

impl Prolog {
    /// Reads a head; copies it only if it begins with `<`.
    pub(crate) fn new(head: &[u8]) -> Prolog {
        let rest = from_first(without_mark(head), |b| !is_blank(b) && b != 0);
        let bytes = match rest.first() {
            Some(b'<') => rest
                .iter()
                .filter(|b| **b != 0)
                .map(u8::to_ascii_lowercase)
                .collect(),
            Some(other) => vec![*other],
            None => Vec::new(),
        };
        Prolog { bytes }
    }

    /// Yields what stands at the beginning, construct by construct, and stops where the bytes do.
    ///
    /// Whatever is yielded for a head is yielded for every longer head that begins with it.
    pub(crate) fn tokens(&self) -> Tokens<'_> {
        Tokens { rest: &self.bytes }
    }
}

/// The constructs at the beginning of a document.
pub(crate) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = from_first(std::mem::take(&mut self.rest), |b| !is_blank(b));
        if MARKS.iter().any(|mark| mark.starts_with(rest)) && !MARKS.contains(&rest) {
            // Empty, or cut where it could still become one of them.
            return None;
        }
        if rest.starts_with(COMMENT) {
            // `<!-->` and `--!>` end a comment too (HTML, comment states of the tokenizer).
            let body = rest.get(2..).unwrap_or_default();
            self.rest = [b"-->".as_slice(), b"--!>"]
                .into_iter()
                .filter_map(|end| after(body, end))
                .max_by_key(|rest| rest.len())
                .unwrap_or_default();
            return Some(Token::Comment);
        }
        if rest.starts_with(XML) {
            self.rest = after(rest, b"?>").unwrap_or_default();
            return Some(Token::Xml);
        }
        if let Some(rest) = rest.strip_prefix(DOCTYPE) {
            return name(from_first(rest, |b| !is_blank(b))).map(Token::Doctype);
        }
        match rest.strip_prefix(b"<") {
            Some(rest) if rest.first().is_some_and(u8::is_ascii_alphabetic) => {
                name(rest).map(Token::Element)
            }
            _ => Some(Token::Text),
        }
    }
}

const COMMENT: &[u8] = b"<!--";
const XML: &[u8] = b"<?xml";
const DOCTYPE: &[u8] = b"<!doctype";
const MARKS: [&[u8]; 3] = [COMMENT, XML, DOCTYPE];

/// Reads a name without its namespace prefix; `None` while its end has not come.
fn name(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes
        .iter()
        .position(|b| !b.is_ascii_alphanumeric() && !b"-_.:".contains(b))?;
    bytes.get(..length)?.rsplit(|b| *b == b':').next()
}

fn after<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let start = bytes
        .windows(mark.len())
        .position(|window| window == mark)?;
    bytes.get(start..)?.get(mark.len()..)
}

fn from_first(bytes: &[u8], is_wanted: impl Fn(u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|b| is_wanted(*b));
    start
        .and_then(|start| bytes.get(start..))
        .unwrap_or_default()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0C' | b'\r' | b' ')
}

/// Drops a byte order mark, and everything while what is there could still become one.
fn without_mark(bytes: &[u8]) -> &[u8] {
    const MARKS: [&[u8]; 3] = [b"\xEF\xBB\xBF", b"\xFE\xFF", b"\xFF\xFE"];
    MARKS
        .iter()
        .find_map(|mark| bytes.strip_prefix(*mark))
        .unwrap_or_else(|| {
            if MARKS.iter().any(|mark| mark.starts_with(bytes)) {
                &[]
            } else {
                bytes
            }
        })
}

#[cfg(test)]
mod tests {
    use super::{Prolog, Token};

    fn tokens(bytes: &[u8]) -> Vec<String> {
        Prolog::new(bytes)
            .tokens()
            .map(|token| match token {
                Token::Doctype(name) => format!("doctype {}", String::from_utf8_lossy(name)),
                Token::Element(name) => format!("element {}", String::from_utf8_lossy(name)),
                other => format!("{other:?}").to_ascii_lowercase(),
            })
            .collect()
    }

    #[test]
    fn reads_what_a_document_begins_with() {
        let table: &[(&[u8], &[&str])] = &[
            (b"", &[]),
            (b" \t\r\n\x0C", &[]),
            (b"<", &[]),
            (b"<!", &[]),
            (b"<!doctyp", &[]),
            (b"<!DOCTYPE", &[]),
            (b"<!DOCTYPE html", &[]),
            (b"<!DOCTYPE html>", &["doctype html"]),
            (b"<!doctype\n\tSVG PUBLIC", &["doctype svg"]),
            (b"<sv", &[]),
            (b"<svg/onload=x>", &["element svg"]),
            (b"\n <SvG ", &["element svg"]),
            (b"<x:html >", &["element html"]),
            (b"<!-- a -- b --> <p>", &["comment", "element p"]),
            (b"<!--><p>", &["comment", "element p"]),
            (b"<!-- a --!><p>-->", &["comment", "element p"]),
            (b"<!-- a <html>", &["comment"]),
            (
                b"<?xml version='1.0'?><!-- --><a>",
                &["xml", "comment", "element a"],
            ),
            (b"<?xml version='1.0' ", &["xml"]),
            (b"<?php echo 1 ?><html>", &["text"]),
            (b"<3", &["text"]),
            (b"a <html>", &["text"]),
            (b"\xEF\xBB\xBF<html>", &["element html"]),
            (b"\xEF\xBB", &[]),
            (b"\xFF\xFE<\0h\0t\0m\0l\0>\0", &["element html"]),
            (b"\xFE\xFF\0<\0h\0t\0m\0l\0>", &["element html"]),
            (b"\0<\0a\0>", &["element a"]),
            (b"\xFF\xD8\xFF", &["text"]),
        ];
        for (bytes, expected) in table {
            assert_eq!(
                &tokens(bytes),
                expected,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}

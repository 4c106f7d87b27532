//! Reads what bytes begin with as HTML, SVG or XML, by the rules of the HTML standard's tokenizer.
//!
//! Only the names of tags follow the standard to the letter (section 13.2.5.8, "tag name state"): a name ends at
//! white space, `/` or `>`, and every other byte belongs to it.
//! So `<p` followed by a control character begins no paragraph, and no random file is refused as a page.

/// A construct at the beginning of a document, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// `<!--`, whose end may be still to come.
    Comment,
    /// `<?xml` or `<?xml-stylesheet`, whose end may be still to come.
    Xml,
    /// Any other `<?` or `<!`, or an end tag; the end may be still to come.
    Bogus,
    /// `<!doctype NAME`; nothing is read after it.
    Doctype(&'a [u8]),
    /// `<NAME`; nothing is read after it.
    Element(Element<'a>),
    /// Anything else; nothing is read after it.
    Text,
}

/// The start tag of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// The name without the prefix of a namespace.
    pub(crate) name: &'a [u8],
    /// What follows the name, from the byte on that ends it.
    pub(crate) rest: &'a [u8],
}

/// The leading part of a head, made readable.
///
/// A byte order mark goes, and so do blanks and control characters before the first `<`.
/// UTF-16 and UTF-32 become ASCII, as far as they are; each other character becomes one byte above it.
pub(crate) struct Prolog {
    bytes: Vec<u8>,
}

impl Prolog {
    /// Reads a head; copies it only if it begins with `<`.
    pub(crate) fn new(head: &[u8]) -> Prolog {
        let text = without_mark(head);
        let start = text.iter().position(|b| !is_skipped(*b));
        let bytes = match start.and_then(|start| Some((start, *text.get(start)?))) {
            Some((start, b'<')) => narrowed(text, start),
            Some((_, other)) => vec![other],
            None => Vec::new(),
        };
        Prolog { bytes }
    }

    /// Yields what is at the beginning, construct by construct, and stops where the bytes do.
    ///
    /// Whatever is yielded for a head is yielded for every longer head that begins with it.
    pub(crate) fn tokens(&self) -> Tokens<'_> {
        Tokens {
            rest: &self.bytes,
            is_cut: false,
        }
    }

    /// Returns the readable bytes, in lower case.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether there is a byte that no text has (MIME Sniffing, "binary data byte").
    pub(crate) fn is_binary(&self) -> bool {
        let is_binary = |b: &u8| matches!(b, 0..=8 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F);
        self.bytes.iter().any(is_binary)
    }
}

/// The constructs at the beginning of a document.
pub(crate) struct Tokens<'a> {
    rest: &'a [u8],
    is_cut: bool,
}

impl Tokens<'_> {
    /// Returns whether the bytes ended inside a construct, once there is no further token.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Continues with `rest`, or at the end of the bytes if there is none.
    fn skip(&mut self, rest: Option<&[u8]>) {
        let length = rest.map_or(0, <[u8]>::len);
        self.is_cut = rest.is_none();
        let start = self.rest.len().saturating_sub(length);
        self.rest = self.rest.get(start..).unwrap_or_default();
    }

    fn cut<T>(&mut self, found: Option<T>) -> Option<T> {
        self.is_cut = found.is_none();
        self.rest = &[];
        found
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = from_first(self.rest, |b| !is_skipped(b));
        let rest = self.rest;
        if MARKS.iter().any(|mark| mark.starts_with(rest)) && !MARKS.contains(&rest) {
            // Empty, or cut where it could still become one of them.
            self.is_cut |= !rest.is_empty();
            self.rest = &[];
            return None;
        }
        if rest.starts_with(COMMENT) {
            // `<!-->` and `--!>` end a comment too (HTML, comment states of the tokenizer).
            let body = rest.get(2..).unwrap_or_default();
            let end = [b"-->".as_slice(), b"--!>"]
                .into_iter()
                .filter_map(|end| after(body, end))
                .max_by_key(|rest| rest.len());
            self.skip(end);
            return Some(Token::Comment);
        }
        if rest.starts_with(XML) {
            self.skip(after(rest, b"?>"));
            return Some(Token::Xml);
        }
        if let Some(rest) = rest.strip_prefix(DOCTYPE) {
            let found = tag(from_first(rest, |b| !is_blank(b)));
            return self.cut(found.map(|element| Token::Doctype(element.name)));
        }
        match rest {
            [b'<', b'?' | b'!' | b'/', ..] => {
                self.skip(after(rest, b">"));
                Some(Token::Bogus)
            }
            [b'<', name @ ..] if name.first().is_some_and(u8::is_ascii_alphabetic) => {
                self.cut(tag(name).map(Token::Element))
            }
            _ => {
                self.rest = &[];
                Some(Token::Text)
            }
        }
    }
}

const COMMENT: &[u8] = b"<!--";
const XML: &[u8] = b"<?xml";
const DOCTYPE: &[u8] = b"<!doctype";
const MARKS: [&[u8]; 4] = [COMMENT, XML, DOCTYPE, b"</"];

/// Reads a start tag from its name on; `None` while the end of the name has not come.
pub(crate) fn tag(bytes: &[u8]) -> Option<Element<'_>> {
    let length = bytes
        .iter()
        .position(|b| is_blank(*b) || matches!(b, b'/' | b'>'))?;
    let (name, rest) = bytes.split_at_checked(length)?;
    let name = name.rsplit(|b| *b == b':').next()?;
    Some(Element { name, rest })
}

/// Returns what follows the first occurrence of `mark`.
pub(crate) fn after<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
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

/// White space of the tokenizer; CR becomes LF before it is read.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0C' | b'\r' | b' ')
}

/// What may stand before markup and does not hide it.
fn is_skipped(byte: u8) -> bool {
    byte <= b' '
}

/// Reads text from its first `<` on, in UTF-8, UTF-16 or UTF-32, whichever the NULs behind the `<` say it is.
///
/// Where a character is more than ASCII it becomes one byte that is none.
fn narrowed(text: &[u8], start: usize) -> Vec<u8> {
    let rest = text.get(start..).unwrap_or_default();
    let nuls = rest.iter().skip(1).take_while(|b| **b == 0).count();
    let width: usize = match nuls {
        0 => return rest.to_ascii_lowercase(),
        1 => 2,
        3 => 4,
        // No encoding that we know, or too short to tell.
        _ => return vec![b'<'],
    };
    let last = width.saturating_sub(1);
    // In big endian the NULs of `<` stand before it.
    let is_big = start.checked_rem(width) == Some(last);
    let first = start.saturating_sub(if is_big { last } else { 0 });
    let units = text.get(first..).unwrap_or_default().chunks_exact(width);
    let narrow = |unit: &[u8]| {
        let (low, high) = match is_big {
            true => unit.split_last()?,
            false => unit.split_first()?,
        };
        high.iter()
            .all(|b| *b == 0)
            .then(|| low.to_ascii_lowercase())
    };
    units.map(|unit| narrow(unit).unwrap_or(u8::MAX)).collect()
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
    use super::{Element, Prolog, Token};

    fn tokens(bytes: &[u8]) -> Vec<String> {
        let shown = |name| String::from_utf8_lossy(name).into_owned();
        Prolog::new(bytes)
            .tokens()
            .map(|token| match token {
                Token::Doctype(name) => format!("doctype {}", shown(name)),
                Token::Element(Element { name, .. }) => format!("element {}", shown(name)),
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
            (b"</", &["bogus"]),
            (b"<!doctyp", &[]),
            (b"<!DOCTYPE", &[]),
            (b"<!DOCTYPE html", &[]),
            (b"<!DOCTYPE html>", &["doctype html"]),
            (b"<!doctype\n\tSVG PUBLIC", &["doctype svg"]),
            (b"<sv", &[]),
            (b"<svg/onload=x>", &["element svg"]),
            (b"\n <SvG ", &["element svg"]),
            (b"\x0B<html>", &["element html"]),
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
            (b"<?pi ?><html>", &["bogus", "element html"]),
            (b"<![CDATA[ x ]]><p>", &["bogus", "element p"]),
            (b"</p><p>", &["bogus", "element p"]),
            (b"<?pi ", &["bogus"]),
            (b"<3", &["text"]),
            (b"a <html>", &["text"]),
            (b"\xEF\xBB\xBF<html>", &["element html"]),
            (b"\xEF\xBB", &[]),
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

    /// A name ends where the tokenizer ends it, and at no other byte.
    #[test]
    fn ends_a_name_at_white_space_a_slash_or_a_bracket() {
        for byte in 0..=u8::MAX {
            let found = tokens(&[b'<', b'p', byte, b'x', b'>']);
            let ends = matches!(byte, b'\t' | b'\n' | b'\x0C' | b'\r' | b' ' | b'/' | b'>');
            assert_eq!(found == ["element p"], ends, "{byte:#04X}: {found:?}");
        }
    }

    #[test]
    fn reads_two_and_four_bytes_wide_characters() {
        let wide = |text: &str, width: usize, is_little: bool| -> Vec<u8> {
            text.chars()
                .flat_map(|c| {
                    let mut unit = u32::from(c).to_be_bytes()[4 - width..].to_vec();
                    if is_little {
                        unit.reverse();
                    }
                    unit
                })
                .collect()
        };
        for (width, is_little) in [(2, true), (2, false), (4, true), (4, false)] {
            let bytes = wide("\n<!-- \u{4E2D}--><HTML lang='en'>", width, is_little);
            let expected = ["comment", "element html"];
            assert_eq!(tokens(&bytes), expected, "{width} {is_little}");
            let with_mark = [b"\xFF\xFE".as_slice(), &bytes].concat();
            assert_eq!(tokens(&with_mark), expected, "{width} {is_little}");
        }
        assert_eq!(tokens(b"<\0"), [""; 0]);
        assert_eq!(tokens(b"<\0\0"), [""; 0]);
        assert_eq!(tokens(b"<p\0>"), ["element p\0"], "a NUL ends no name");
    }
}

//! The `Forwarded` header (RFC 7239, section 4).

use http::{HeaderMap, HeaderValue, header};

/// What one proxy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// `for`: whom it was called by.
    pub(super) called_by: Option<String>,
    /// `proto`: how.
    pub(super) proto: Option<String>,
}

/// Returns what each proxy says, the outermost first; of what cannot be read, nothing.
///
/// A visitor may send a quotation that never ends, or bytes that are no text, and the next proxy appends
/// what it says to that line. Such a line says something that cannot be read, so that nothing else is believed
/// in its place.
pub(super) fn elements(headers: &HeaderMap) -> Vec<Element> {
    let lines = headers.get_all(header::FORWARDED).into_iter();
    let read = |line: &HeaderValue| match line.to_str() {
        Ok(line) if !is_open(line) => split(line, ',').map(element).collect(),
        _ => vec![Element::unreadable()],
    };
    lines.flat_map(read).collect()
}

impl Element {
    fn unreadable() -> Self {
        Self {
            called_by: Some(String::new()),
            proto: Some(String::new()),
        }
    }
}

fn element(text: &str) -> Element {
    let mut element = Element::default();
    for pair in split(text, ';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let place = match name.trim().to_ascii_lowercase().as_str() {
            "for" => &mut element.called_by,
            "proto" => &mut element.proto,
            _ => continue,
        };
        *place = Some(unquoted(value.trim()));
    }
    element
}

/// Where a reader is: within quotation marks, and behind a backslash there.
#[derive(Default)]
struct Quotation {
    is_open: bool,
    is_escaped: bool,
}

impl Quotation {
    fn read(&mut self, c: char) {
        let was_escaped = std::mem::take(&mut self.is_escaped);
        match c {
            '"' if !was_escaped => self.is_open = !self.is_open,
            '\\' if self.is_open && !was_escaped => self.is_escaped = true,
            _ => {}
        }
    }
}

/// Splits where `by` stands outside of quotation marks.
fn split(text: &str, by: char) -> impl Iterator<Item = &str> {
    let mut quotation = Quotation::default();
    text.split(move |c: char| {
        quotation.read(c);
        c == by && !quotation.is_open
    })
    .map(str::trim)
}

/// Returns whether a quotation never ends.
fn is_open(line: &str) -> bool {
    let mut quotation = Quotation::default();
    line.chars().for_each(|c| quotation.read(c));
    quotation.is_open
}

fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"');
    let inner = inner.and_then(|value| value.strip_suffix('"'));
    match inner {
        Some(inner) => inner.replace('\\', ""),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Vec<Element> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::FORWARDED, line.parse().expect("a value"));
        }
        elements(&headers)
    }

    fn said(called_by: &str, proto: &str) -> Element {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Element {
            called_by: some(called_by),
            proto: some(proto),
        }
    }

    /// The examples of RFC 7239, section 4, and of lists in several lines, section 7.1.
    #[test]
    fn lists_are_read_in_their_order() {
        assert_eq!(read(&["for=\"_gazonk\""]), [said("_gazonk", "")]);
        assert_eq!(
            read(&["For=\"[2001:db8:cafe::17]:4711\""]),
            [said("[2001:db8:cafe::17]:4711", "")]
        );
        assert_eq!(
            read(&["for=192.0.2.60;proto=http;by=203.0.113.43"]),
            [said("192.0.2.60", "http")]
        );
        assert_eq!(
            read(&["for=192.0.2.43, for=\"[2001:db8:cafe::17]\"", "for=unknown"]),
            [
                said("192.0.2.43", ""),
                said("[2001:db8:cafe::17]", ""),
                said("unknown", "")
            ]
        );
        assert_eq!(
            read(&["for=\"a,b;c=\\\"d\";proto=https"]),
            [said("a,b;c=\"d", "https")]
        );
    }

    /// What a proxy appends to such a line is within the visitor's quotation.
    #[test]
    fn a_quotation_that_never_ends_says_nothing() {
        for line in [
            "for=198.51.100.1;proto=https;x=\", for=203.0.113.9;proto=http",
            "for=198.51.100.1;x=\"\\\", for=\"[2001:db8::9]\"",
            "\"",
        ] {
            assert_eq!(read(&[line]), [Element::unreadable()], "{line}");
        }
    }
}

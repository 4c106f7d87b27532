//! XML that is data, told from XML that a browser runs.

use super::{
    Activity,
    bytes::{Promise, is_html},
};
use crate::{
    head::Head,
    markup::{self, Prolog, Token},
    signatures::Fit,
};

/// Roots and document types that a browser runs.
const PAGES: &[&[u8]] = &[
    b"html",
    b"math",
    b"script",
    b"stylesheet",
    b"svg",
    b"transform",
];

/// What makes a part of a document run, or may hide that it does: the names of namespaces, style sheets, and
/// declarations that can put such a name together. In lower case.
const RUNS: &[&[u8]] = &[
    b"w3.org/1999/xhtml",
    b"w3.org/2000/svg",
    b"w3.org/1999/xsl/transform",
    b"xml-stylesheet",
    b"<!entity",
    b"<!attlist",
];

/// Tells whether a head is XML that is more than data.
///
/// Returns `None` if it is not XML, so it is judged like any file. Then it has another extension, does not begin with
/// `<?xml`, and either a table knows the extension or the first element is one of HTML.
/// Only a complete head is certain, since the name of a namespace may be anywhere in it.
pub(super) fn fit(head: &Head<'_>, promise: Promise, by_name: Option<Activity>) -> Option<Fit> {
    let prolog = Prolog::new(head.bytes);
    let mut is_xml = by_name == Some(Activity::Xml);
    let mut tokens = prolog.tokens();
    let mut root = None;
    for token in tokens.by_ref() {
        match token {
            Token::Xml => is_xml = true,
            Token::Comment | Token::Bogus => {}
            Token::Doctype(name) => root = Some(name),
            Token::Element(element) => {
                is_xml |= promise == Promise::Nothing && !is_html(element.name);
                root = Some(element.name);
            }
            Token::Text => return Some(Fit::No).filter(|_| is_xml),
        }
        if !is_xml {
            return None;
        }
    }
    if !head.is_complete() {
        // Too short to tell, or to be searched.
        return Some(Fit::Open).filter(|_| is_xml || prolog.bytes().first() == Some(&b'<'));
    }
    if !is_xml {
        return None;
    }
    let runs = match root {
        Some(root) => PAGES.contains(&root),
        // No root within the head: a way to push it out of sight.
        None => !head.is_whole,
    };
    Some(match runs || is_page(prolog.bytes()) {
        true => Fit::Yes,
        false => Fit::No,
    })
}

/// Tells whether a reader of XML would find anything but an error at the first character.
///
/// Blanks up to the end of what is looked at are a way to push a document out of sight.
pub(super) fn fit_document(head: &Head<'_>) -> Fit {
    match Prolog::new(head.bytes).bytes().first() {
        Some(b'<') => Fit::Yes,
        Some(_) => Fit::No,
        None if head.is_whole => Fit::No,
        None if head.is_complete() => Fit::Yes,
        None => Fit::Open,
    }
}

/// Returns whether bytes in lower case name what makes a document run, or may hide that they do.
pub(super) fn is_page(bytes: &[u8]) -> bool {
    let has = |part: &&[u8]| markup::after(bytes, part).is_some();
    RUNS.iter().any(has) || hides_namespace(bytes)
}

/// Finds `xmlns` with a value that is put together of character references.
fn hides_namespace(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(value) = markup::after(rest, b"xmlns") {
        let end = value.iter().position(|b| *b == b'>').unwrap_or(value.len());
        if value.get(..end).unwrap_or_default().contains(&b'&') {
            return true;
        }
        rest = value;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Activity, Promise, fit};
    use crate::{head::Head, signatures::Fit};

    fn ask(bytes: &[u8], by_name: Option<Activity>) -> Option<Fit> {
        let head = Head {
            bytes,
            is_whole: true,
        };
        fit(&head, Promise::Data, by_name)
    }

    #[test]
    fn tells_data_from_pages() {
        let data: &[&[u8]] = &[
            b"<?xml version='1.0'?><gpx xmlns='http://www.topografix.com/GPX/1/1'/>",
            b"<gpx/>",
            b"\xEF\xBB\xBF<?xml version='1.0'?>\n<!-- x --><kml><!-- y --></kml>",
            b"<?xml version='1.0'?><!DOCTYPE plist PUBLIC '-//Apple//DTD PLIST 1.0//EN' 'x.dtd'><plist/>",
            b"<table><tr/></table>",
            b"<rsm:CrossIndustryInvoice xmlns:rsm='urn:un'/>",
            b"<a><b x='&amp;'/></a>",
            b"words",
            b"",
        ];
        for bytes in data {
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(ask(bytes, Some(Activity::Xml)), Some(Fit::No), "{shown}");
        }
        let pages: &[&[u8]] = &[
            b"<html/>",
            b"<x:html>",
            b"<?xml version='1.0'?><svg/>",
            b"<?xml version='1.0'?><xsl:stylesheet version='1.0'/>",
            b"<?xml version='1.0'?><!DOCTYPE html><r/>",
            b"<?xml-stylesheet href='x.xsl'?><r/>",
            b"<?xml version='1.0'?><?xml-stylesheet href='x.xsl'?><r/>",
            b"<r><script xmlns='http://www.w3.org/1999/xhtml'>1</script></r>",
            b"<r><x:svg xmlns:x=\"http://www.w3.org/2000/svg\"/></r>",
            b"<r><script xmlns='http://www.w3.org/1999/xht&#109;l'>1</script></r>",
            b"<!DOCTYPE r [<!ENTITY x 'y'>]><r/>",
            b"<!DOCTYPE r [<!ATTLIST r xmlns CDATA #FIXED 'x'>]><r/>",
            b"<\0?\0x\0m\0l\0?\0>\0<\0s\0v\0g\0/\0>\0",
        ];
        for bytes in pages {
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(ask(bytes, Some(Activity::Xml)), Some(Fit::Yes), "{shown}");
        }
    }

    /// What a browser would not read as XML is judged as ever.
    #[test]
    fn leaves_what_is_no_xml_to_the_other_rules() {
        assert_eq!(ask(b"<table>", None), None);
        assert_eq!(ask(b"<!-- x --><r/>", None), None);
        assert_eq!(ask(b"words", None), None);
        assert_eq!(ask(b"<?xml version='1.0'?><r/>", None), Some(Fit::No));
        assert_eq!(ask(b"<?xml version='1.0'?><svg/>", None), Some(Fit::Yes));
    }
}

//! The signatures of file types: which bytes a file of a type begins with.

mod table;

use table::TABLE;

use crate::{
    markup::{Prolog, Token},
    sniff::Head,
};

/// Whether the bytes seen so far agree with something.
///
/// `Yes` and `No` are final: no further byte changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    No,
    /// More bytes decide; for a complete head this means they will not come.
    Open,
}

impl Fit {
    /// Joins two ways to fit: one is enough.
    pub(crate) fn or(self, other: Fit) -> Fit {
        match (self, other) {
            (Fit::Yes, _) | (_, Fit::Yes) => Fit::Yes,
            (Fit::Open, _) | (_, Fit::Open) => Fit::Open,
            (Fit::No, Fit::No) => Fit::No,
        }
    }
}

/// Bytes that stand at an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(pub(crate) usize, pub(crate) &'static [u8]);

impl At {
    /// Compares bytes from the start of a file with the expected ones.
    pub(crate) fn fit(&self, bytes: &[u8]) -> Fit {
        let At(offset, expected) = *self;
        let found = bytes.get(offset..).unwrap_or_default();
        if found.starts_with(expected) {
            Fit::Yes
        } else if expected.starts_with(found) {
            Fit::Open
        } else {
            Fit::No
        }
    }
}

/// How a file of some type begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signature {
    /// One of several forms, each of which asks for all its parts.
    Any(&'static [&'static [At]]),
    /// A form after a byte order mark or blanks.
    Indented(&'static [u8]),
    /// An `ftyp` box with a brand other than those of pictures, or one of the other forms.
    Film(&'static [&'static [At]]),
    /// The markup scanner finds an SVG document.
    Svg,
}

impl Signature {
    /// Compares a head with the signature.
    pub(crate) fn fit(&self, head: &Head<'_>) -> Fit {
        let bytes = head.bytes;
        match *self {
            Signature::Any(forms) => any(forms, bytes),
            Signature::Indented(form) => indented(form, bytes),
            Signature::Film(forms) => film(bytes).or(any(forms, bytes)),
            Signature::Svg => svg(head),
        }
    }
}

/// Finds the signature of a type's essence; `None` if this table has none.
pub(crate) fn for_type(essence: &str) -> Option<Signature> {
    let row = TABLE.iter().find(|(types, _)| types.contains(&essence));
    row.map(|(_, signature)| *signature)
}

fn any(forms: &[&[At]], bytes: &[u8]) -> Fit {
    forms.iter().fold(Fit::No, |best, form| {
        let mut fit = Fit::Yes;
        for at in *form {
            match at.fit(bytes) {
                Fit::No => return best,
                Fit::Open => fit = Fit::Open,
                Fit::Yes => {}
            }
        }
        best.or(fit)
    })
}

fn indented(form: &[u8], bytes: &[u8]) -> Fit {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    if bytes.len() < MARK.len() && MARK.starts_with(bytes) {
        return Fit::Open;
    }
    let bytes = bytes.strip_prefix(MARK).unwrap_or(bytes).trim_ascii_start();
    if bytes.starts_with(form) {
        Fit::Yes
    } else if form.starts_with(bytes) {
        Fit::Open
    } else {
        Fit::No
    }
}

/// ISO base media: `ftyp` at 4, the major brand at 8.
fn film(bytes: &[u8]) -> Fit {
    const PICTURES: &[&[u8; 4]] = &[
        b"avif", b"avis", b"heic", b"heim", b"heis", b"heix", b"hevc", b"hevx", b"jp2 ", b"jpm ",
        b"jpx ", b"jxl ", b"mif1", b"msf1", b"crx ",
    ];
    match (At(4, b"ftyp").fit(bytes), bytes.get(8..12)) {
        (Fit::Yes, Some(brand)) if PICTURES.iter().any(|picture| *picture == brand) => Fit::No,
        (Fit::Yes, Some(_)) => Fit::Yes,
        (Fit::Yes, None) => Fit::Open,
        (fit, _) => fit,
    }
}

/// `<svg` as the root or in the doctype; where the root is out of sight, an XML declaration is enough.
fn svg(head: &Head<'_>) -> Fit {
    let mut is_xml = false;
    for token in Prolog::new(head.bytes).tokens() {
        match token {
            Token::Comment => {}
            Token::Xml => is_xml = true,
            Token::Doctype(b"svg") | Token::Element(b"svg") => return Fit::Yes,
            Token::Doctype(_) | Token::Element(_) | Token::Text => return Fit::No,
        }
    }
    if is_xml && head.is_complete() {
        Fit::Yes
    } else {
        Fit::Open
    }
}

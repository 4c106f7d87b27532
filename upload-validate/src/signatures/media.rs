//! Pictures, sounds and films whose beginning is more than fixed bytes.

use super::{At, Fit, any, behind};
use crate::{
    head::Head,
    markup::{Element, Prolog, Token},
};

/// ISO base media: `ftyp` with a brand that is no picture's, or one of the boxes that older writers begin with.
///
/// ISO 14496-12 has a film without `ftyp` read as one of the brand `mp41`.
pub(super) fn iso_media(head: &Head<'_>) -> Fit {
    const PICTURES: &[&[u8; 4]] = &[
        b"avif", b"avis", b"heic", b"heim", b"heis", b"heix", b"hevc", b"hevx", b"jp2 ", b"jpm ",
        b"jpx ", b"jxl ", b"mif1", b"mif2", b"msf1", b"crx ",
    ];
    const BOXES: &[&[At]] = &[
        &[At(4, b"styp")],
        &[At(4, b"moov")],
        &[At(4, b"moof")],
        &[At(4, b"mdat")],
        &[At(4, b"wide")],
        &[At(4, b"free")],
        &[At(4, b"skip")],
        &[At(4, b"sidx")],
        &[At(4, b"uuid")],
        &[At(4, b"udta")],
        &[At(4, b"junk")],
        &[At(4, b"pnot")],
    ];
    let bytes = head.bytes;
    match (At(4, b"ftyp").fit(bytes), bytes.get(8..12)) {
        (Fit::Yes, Some(brand)) if PICTURES.iter().any(|picture| *picture == brand) => Fit::No,
        (Fit::Yes, Some(_)) => Fit::Yes,
        (Fit::Yes, None) => Fit::Open,
        (fit, _) => fit.or(any(BOXES, bytes)),
    }
}

/// A tag, or the header of a layer II or III frame: eleven bits of sync, then version and layer.
///
/// Players skip zeros and line breaks before it, which some encoders write, and read frames in a RIFF file.
pub(super) fn mpeg_audio(head: &Head<'_>) -> Fit {
    const FRAMES: &[u8] = b"\xFB\xFA\xF3\xF2\xE3\xE2\xFD\xFC\xF5\xF4";
    const TAGS: &[&[At]] = &[
        &[At(0, b"ID3")],
        &[At(0, b"APETAGEX")],
        &[At(0, b"RIFF"), At(8, b"WAVE")],
    ];
    let Some(bytes) = behind(head.bytes, |b| matches!(b, 0 | b'\r' | b'\n')) else {
        return Fit::Open;
    };
    let frame = match (bytes.first(), bytes.get(1)) {
        (Some(0xFF), None) => Fit::Open,
        (Some(0xFF), Some(second)) if FRAMES.contains(second) => Fit::Yes,
        _ => Fit::No,
    };
    frame.or(any(TAGS, bytes))
}

/// Program and elementary streams, and transport streams: a sync byte every 188 bytes, or every 192.
pub(super) fn mpeg_video(head: &Head<'_>) -> Fit {
    const FORMS: &[&[At]] = &[
        &[At(0, b"\0\0\x01\xBA")],
        &[At(0, b"\0\0\x01\xB3")],
        &[At(0, b"G"), At(188, b"G")],
        &[At(4, b"G"), At(196, b"G")],
    ];
    any(FORMS, head.bytes)
}

/// `BM`, and at 14 the length of a header that Windows or OS/2 knows.
pub(super) fn bitmap(head: &Head<'_>) -> Fit {
    const HEADERS: &[u8] = &[12, 16, 40, 52, 56, 64, 108, 124];
    match (At(0, b"BM").fit(head.bytes), head.bytes.get(14..18)) {
        (Fit::Yes, Some([length, 0, 0, 0])) if HEADERS.contains(length) => Fit::Yes,
        (Fit::Yes, Some(_)) | (Fit::No, _) => Fit::No,
        _ => Fit::Open,
    }
}

/// `<svg` as the root or in the doctype; where the root is out of sight, an XML declaration is enough.
pub(super) fn svg(head: &Head<'_>) -> Fit {
    let mut is_xml = false;
    for token in Prolog::new(head.bytes).tokens() {
        match token {
            Token::Comment => {}
            Token::Xml => is_xml = true,
            Token::Doctype(b"svg") | Token::Element(Element { name: b"svg", .. }) => {
                return Fit::Yes;
            }
            Token::Doctype(_) | Token::Element(_) | Token::Bogus | Token::Text => return Fit::No,
        }
    }
    if is_xml && head.is_complete() {
        Fit::Yes
    } else {
        Fit::Open
    }
}

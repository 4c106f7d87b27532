//! Documents whose readers look further than the first byte, and those of the office.

use super::{At, Fit, any, behind};
use crate::head::Head;

/// Bytes within which readers of PDF and PostScript look for its beginning.
const WINDOW: usize = 1024;

/// The beginning of the job control language that printers are sent.
const PRINTER: &[u8] = b"\x1B%-12345X";

/// `%PDF` within the first 1,024 bytes (ISO 32000, annex H), but not in a program, an archive, a picture or a page.
pub(super) fn pdf(head: &Head<'_>) -> Fit {
    const OTHERS: &[&[At]] = &[
        &[At(0, b"MZ")],
        &[At(0, b"\x7FELF")],
        &[At(0, b"\xCA\xFE\xBA\xBE")],
        &[At(0, b"\xCF\xFA\xED\xFE")],
        &[At(0, b"#!")],
        &[At(0, b"PK")],
        &[At(0, b"Rar!")],
        &[At(0, b"7z\xBC\xAF")],
        &[At(0, b"\x1F\x8B")],
        &[At(0, b"\0asm")],
        &[At(0, b"\x89PNG")],
        &[At(0, b"\xFF\xD8\xFF")],
        &[At(0, b"GIF8")],
        &[At(0, b"RIFF")],
    ];
    let bytes = head.bytes.get(..WINDOW).unwrap_or(head.bytes);
    let (before, is_there) = match bytes.windows(4).position(|window| window == b"%PDF") {
        Some(start) => (bytes.get(..start).unwrap_or_default(), true),
        None => (bytes, false),
    };
    let is_markup = |pair: &[u8]| match pair {
        [b'<', next] => next.is_ascii_alphabetic() || matches!(next, b'!' | b'?' | b'/'),
        _ => false,
    };
    if any(OTHERS, before) == Fit::Yes || before.windows(2).any(is_markup) {
        Fit::No
    } else if is_there {
        Fit::Yes
    } else if bytes.len() == WINDOW {
        Fit::No
    } else {
        Fit::Open
    }
}

/// `%!PS`, `%!Font` or `%!` and a line's end, at the beginning or behind what printers are sent before it; or the
/// header of an EPS file with a preview.
pub(super) fn postscript(head: &Head<'_>) -> Fit {
    const FORMS: &[&[At]] = &[
        &[At(0, b"%!PS")],
        &[At(0, b"%!Font")],
        &[At(0, b"%!\n")],
        &[At(0, b"%!\r")],
    ];
    let preview = At(0, b"\xC5\xD0\xD3\xC6").fit(head.bytes);
    let Some(bytes) = behind(head.bytes, |b| matches!(b, 4 | b'\r' | b'\n')) else {
        return Fit::Open;
    };
    let plain = preview.or(any(FORMS, bytes));
    match At(0, PRINTER).fit(bytes) {
        Fit::Yes => {
            let bytes = bytes.get(..WINDOW).unwrap_or(bytes);
            let start = bytes.windows(2).position(|window| window == b"%!");
            match start.and_then(|start| bytes.get(start..)) {
                Some(rest) => any(FORMS, rest),
                None if bytes.len() == WINDOW => Fit::No,
                None => Fit::Open,
            }
        }
        fit => plain.or(fit),
    }
}

/// Illustrator: a PDF since its version 9, PostScript before.
pub(super) fn illustrator(head: &Head<'_>) -> Fit {
    pdf(head).or(postscript(head))
}

/// `{\rtf`, behind a byte order mark or blanks.
pub(super) fn rich_text(head: &Head<'_>) -> Fit {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    if head.bytes.len() < MARK.len() && MARK.starts_with(head.bytes) {
        return Fit::Open;
    }
    let bytes = head.bytes.strip_prefix(MARK).unwrap_or(head.bytes);
    behind(bytes, |b| b.is_ascii_whitespace())
        .map_or(Fit::Open, |bytes| At(0, b"{\\rtf").fit(bytes))
}

/// The container of the old office formats.
pub(super) const OLE: At = At(0, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1");

/// A ZIP archive: a file, none, or the mark of one that was split.
pub(super) const ZIP: &[&[At]] = &[
    &[At(0, b"PK\x03\x04")],
    &[At(0, b"PK\x05\x06")],
    &[At(0, b"PK\x07\x08")],
    &[At(0, b"PK00PK\x03\x04")],
];

/// Word before 2007: its container, RTF, the versions before it, or a package that was renamed.
pub(super) fn word(head: &Head<'_>) -> Fit {
    const FORMS: &[&[At]] = &[
        &[OLE],
        &[At(0, b"\xDB\xA5\x2D\0")],
        &[At(0, b"\x31\xBE\0\0")],
        &[At(0, b"\xFE7\0")],
    ];
    any(FORMS, head.bytes).or(rich_text(head)).or(package(head))
}

/// Excel and PowerPoint before 2007: the container, a bare workbook of the versions before it (a BOF record), or a
/// package that was renamed.
pub(super) fn workbook(head: &Head<'_>) -> Fit {
    const FORMS: &[&[At]] = &[
        &[OLE],
        &[At(0, b"\x09\0\x04\0")],
        &[At(0, b"\x09\x02\x06\0")],
        &[At(0, b"\x09\x04\x06\0")],
        &[At(0, b"\x09\x08\x08\0")],
        &[At(0, b"\x09\x08\x10\0")],
    ];
    any(FORMS, head.bytes).or(package(head))
}

/// A package of the office since 2007, or with a password the old container around it.
pub(super) fn office(head: &Head<'_>) -> Fit {
    At(0, OLE.1).fit(head.bytes).or(package(head))
}

/// A ZIP archive whose first entry is none that a program has.
fn package(head: &Head<'_>) -> Fit {
    const PROGRAMS: &[&[u8]] = &[b"META-INF/", b"AndroidManifest.xml", b"classes.dex"];
    const NAME: usize = 30;
    let bytes = head.bytes;
    match any(ZIP, bytes) {
        Fit::Yes if bytes.starts_with(b"PK\x03\x04") => {
            let name = bytes.get(NAME..).unwrap_or_default();
            if PROGRAMS.iter().any(|program| name.starts_with(program)) {
                return Fit::No;
            }
            let may_be = bytes.len() < NAME || PROGRAMS.iter().any(|p| p.starts_with(name));
            match may_be && !head.is_complete() {
                true => Fit::Open,
                false => Fit::Yes,
            }
        }
        fit => fit,
    }
}

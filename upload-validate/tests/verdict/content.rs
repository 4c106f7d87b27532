//! Bytes against declared type and extension: the rows of the reference, and its mistakes.

use upload_validate::{Accept, FileFacts, Head, Refusal, Rules, Verdict};

fn inspect(rules: &Rules, name: &str, media_type: &str, bytes: &[u8]) -> Verdict {
    let facts = FileFacts {
        name,
        media_type,
        size: bytes.len() as u64,
    };
    rules.inspect(
        &facts,
        &Head {
            bytes,
            is_whole: true,
        },
    )
}

fn rules() -> Rules {
    Rules::new(Accept::default())
}

const PASS: Verdict = Verdict::Accept;
const MISMATCH: Verdict = Verdict::Refuse(Refusal::ContentMismatch);
const PNG: &[u8] = b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR";
const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\0\0\0\0\0";
const MZ: &[u8] = b"MZ\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const ELF: &[u8] = b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3E\0\x01\0\0\0";

/// MB-1 to MB-11: bytes against type and extension.
#[test]
fn compares_bytes_with_type_and_extension() {
    let table: &[(&str, &str, &str, &[u8], Verdict)] = &[
        (
            "MB-1",
            "a.jpg",
            "image/jpeg",
            b"\xFF\xD8\xFF\xE0\0\0\0\0\0\0\0\0\0\0\0\0",
            PASS,
        ),
        ("MB-2", "a.jpg", "image/jpeg", PNG, MISMATCH),
        ("MB-2", "a.png", "image/png", JPEG, MISMATCH),
        ("MB-2", "a.jpg", "image/jpeg", MZ, MISMATCH),
        (
            "MB-3",
            "a.webp",
            "image/webp",
            b"RIFF\0\0\0\0XXXXVP8 ",
            MISMATCH,
        ),
        (
            "MB-3",
            "a.webp",
            "image/webp",
            b"RIFF\0\0\0\0WEBPVP8 ",
            PASS,
        ),
        (
            "MB-4",
            "a.pdf",
            "application/pdf",
            b"%PDF-1.4\n%abcdefghijk",
            PASS,
        ),
        ("MB-4", "a.pdf", "application/pdf", b"MZ %PDF-1.4", MISMATCH),
        // COMPLETE-5: a file may be empty, and then contradicts nothing.
        ("MB-5", "a.jpg", "image/jpeg", b"", PASS),
        ("MB-5", "a.jpg", "image/jpeg", b"\xFF", MISMATCH),
        ("MB-5", "a.jpg", "image/jpeg", b"\xFF\xD8", MISMATCH),
        ("MB-6", "a.txt", "text/plain", PNG, PASS),
        ("MB-6", "a", "text/plain", MZ, PASS),
        ("MB-6", "a.bin", "application/octet-stream", MZ, PASS),
        ("MB-8", "a.png", "", MZ, MISMATCH),
        ("MB-8", "a.png", "", PNG, PASS),
        (
            "MB-9",
            "a.png",
            "image/png",
            b"\x89PNG\r\n\x1A\n\0\0\0\0\0\0\0",
            PASS,
        ),
        (
            "MB-9",
            "a.gif",
            "image/gif",
            b"GIF89a\x01\0\x01\0\0\0\0\0",
            PASS,
        ),
        ("MB-10", "a.png", "IMAGE/PNG", MZ, MISMATCH),
        ("MB-10", "a.png", "image/png; q=1", MZ, MISMATCH),
        ("MB-10", "a.png", "application/octet-stream", MZ, MISMATCH),
        ("MB-10", "a.png", "text/plain", MZ, MISMATCH),
        ("MB-10", "a", "image/png", ELF, MISMATCH),
        ("MB-10", "a.png ", "", MZ, MISMATCH),
        ("MB-10", "a", "image/jpg", PNG, MISMATCH),
        ("MB-10", "a.png", "nonsense", MZ, MISMATCH),
        ("MB-10", "a.jpg", "image/png", PNG, MISMATCH),
        ("MB-10", "a.exe", "image/png", PNG, MISMATCH),
        ("MB-11", "a.txt", "text/plain", b"", PASS),
        ("MB-11", "a.txt", "", b"", PASS),
        ("MB-11", "a", "", b"", PASS),
    ];
    for (row, name, media_type, bytes, expected) in table {
        assert_eq!(
            inspect(&rules(), name, media_type, bytes),
            *expected,
            "{row}: {name:?} as {media_type:?}"
        );
    }
}

/// MB-7: SVG, where active content is allowed.
#[test]
fn tells_svg_from_other_markup() {
    let open = rules().allow_active_content(true);
    let table: &[(&[u8], Verdict)] = &[
        (b"<?xml version='1.0'?><svg>", PASS),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", PASS),
        (b"\xEF\xBB\xBF<!-- made by hand -->\n<svg>", PASS),
        (
            b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN'>",
            PASS,
        ),
        (b"<?xml version='1.0'?><!-- ", PASS),
        (b"<!DOCTYPE html>", MISMATCH),
        (b"<?xml version='1.0'?><html>", MISMATCH),
        (b"plain", MISMATCH),
        (b" ", MISMATCH),
    ];
    for (bytes, expected) in table {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(
            inspect(&open, "a.svg", "image/svg+xml", bytes),
            *expected,
            "MB-7: {shown}"
        );
    }
}

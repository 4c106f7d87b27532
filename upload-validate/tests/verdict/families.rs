//! Formats that share containers, and the names they go by.

use upload_validate::{Accept, FileFacts, Head, Refusal, Rules, Verdict};

fn inspect(name: &str, media_type: &str, bytes: &[u8]) -> Verdict {
    let facts = FileFacts {
        name,
        media_type,
        size: bytes.len() as u64,
    };
    Rules::new(Accept::default()).inspect(
        &facts,
        &Head {
            bytes,
            is_whole: true,
        },
    )
}

fn check(table: &[(&str, &str, &[u8], bool)]) {
    for &(name, media_type, bytes, fits) in table {
        let expected = match fits {
            true => Verdict::Accept,
            false => Verdict::Refuse(Refusal::ContentMismatch),
        };
        assert_eq!(
            inspect(name, media_type, bytes),
            expected,
            "{name} as {media_type:?}"
        );
    }
}

const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0";
const JAR: &[u8] =
    b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x14\0\0\0META-INF/MANIFEST.MF";
const APK: &[u8] =
    b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0B\0\0\0classes.dex";
const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0";
const EBML: &[u8] = b"\x1A\x45\xDF\xA3\x01\0\0\0";
const MP4: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom";
const QT: &[u8] = b"\0\0\0\x14ftypqt  \0\0\0\0qt  ";
const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
const AVIF: &[u8] = b"\0\0\0\x18ftypavif\0\0\0\0mif1avif";

#[test]
fn documents_and_programs_that_are_zip_archives() {
    check(&[
        ("a.zip", "application/zip", ZIP, true),
        ("a.zip", "application/x-zip-compressed", ZIP, true),
        (
            "a.zip",
            "",
            b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            true,
        ),
        (
            "a.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ZIP,
            true,
        ),
        ("a.docx", "", OLE, true),
        ("a.xlsx", "application/zip", ZIP, true),
        ("a.pptx", "", ZIP, true),
        (
            "a.odt",
            "application/vnd.oasis.opendocument.text",
            ZIP,
            true,
        ),
        ("a.jar", "application/java-archive", ZIP, true),
        ("a.epub", "application/epub+zip", ZIP, true),
        (
            "a.apk",
            "application/vnd.android.package-archive",
            ZIP,
            true,
        ),
        ("a.docx", "", b"MZ\x90\0\x03\0\0\0", false),
        ("a.zip", "", b"PK", false),
        ("a.doc", "application/msword", OLE, true),
        ("a.doc", "", b"{\\rtf1\\ansi", true),
        ("a.xls", "application/vnd.ms-excel", ZIP, true),
        ("a.docx", "", JAR, false),
        ("a.docx", "", APK, false),
        ("a.doc", "", JAR, false),
        ("a.jar", "", JAR, true),
        ("a.csv", "application/vnd.ms-excel", b"a;b\n1;2\n", true),
    ]);
}

#[test]
fn films() {
    check(&[
        ("a.mp4", "video/mp4", MP4, true),
        ("a.mp4", "audio/mp4", MP4, true),
        ("a.m4v", "video/x-m4v", b"\0\0\0\x18ftypM4V \0\0\0\0", true),
        ("a.m4v", "video/mp4", b"\0\0\0\x18ftypM4V \0\0\0\0", true),
        ("a.mov", "video/quicktime", QT, true),
        (
            "a.mov",
            "video/quicktime",
            b"\0\0\0\x08wide\0\0\0\0mdat",
            true,
        ),
        ("a.mov", "video/mp4", QT, true),
        ("a.mp4", "video/quicktime", QT, true),
        ("a.m4a", "audio/x-m4a", b"\0\0\0\x18ftypM4A \0\0\0\0", true),
        ("a.mp4", "video/mp4", HEIC, false),
        ("a.mp4", "video/mp4", b"\0\0\0\x18free\0\0\0\0", true),
        ("a.mp4", "video/mp4", b"\0\0\0\x18xxxx\0\0\0\0", false),
        ("a.mp4", "video/mp4", b"\0\0\0\x18ftyp", false),
        ("a.webm", "video/webm", EBML, true),
        ("a.webm", "audio/webm", EBML, true),
        ("a.mkv", "video/x-matroska", EBML, true),
        ("a.mkv", "video/matroska", EBML, true),
        ("a.webm", "video/webm", MP4, false),
        ("a.avi", "video/avi", b"RIFF\0\0\0\0AVI LIST", true),
        ("a.avi", "video/x-msvideo", b"RIFF\0\0\0\0WAVEfmt ", false),
    ]);
}

#[test]
fn sounds() {
    check(&[
        ("a.mp3", "audio/mpeg", b"ID3\x04\0\0", true),
        ("a.mp3", "audio/mp3", b"\xFF\xFB\x90\x64", true),
        ("a.mp3", "", b"\xFF\xFA\x90\x64", true),
        ("a.mp3", "", b"\xFF\xF3\x90\x64", true),
        ("a.mp3", "", b"\xFF\xF2\x90\x64", true),
        ("a.mp3", "", b"\xFF\xD8\xFF\xE0", false),
        ("a.mp3", "", b"\xFF\xFEh\0i\0", false),
        ("a.wav", "audio/x-wav", b"RIFF\0\0\0\0WAVEfmt ", true),
        ("a.ogg", "audio/ogg", b"OggS\0\x02", true),
        ("a.flac", "audio/flac", b"fLaC\0\0\0\x22", true),
    ]);
}

#[test]
fn pictures() {
    check(&[
        ("a.heic", "image/heic", HEIC, true),
        (
            "a.heic",
            "image/heif",
            b"\0\0\0\x18ftypmif1\0\0\0\0heic",
            true,
        ),
        ("a.avif", "image/avif", AVIF, true),
        ("a.avif", "image/avif", MP4, false),
        ("a.heic", "", AVIF, false),
        ("a.jpg", "image/jpg", b"\xFF\xD8\xFF\xDB", true),
        ("a.ico", "image/x-icon", b"\x89PNG\r\n\x1A\n", true),
        ("a.tiff", "image/tiff", b"MM\0*\0\0\0\x08", true),
        (
            "a.bmp",
            "image/x-ms-bmp",
            b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
            true,
        ),
        ("a.bmp", "", b"BM<script>alert(1)</script>", false),
    ]);
}

#[test]
fn formats_only_infer_knows_and_formats_nobody_knows() {
    let mut dicom = vec![0; 128];
    dicom.extend_from_slice(b"DICM\x02\0\0\0");
    let mut elf = b"\x7FELF\x02\x01\x01".to_vec();
    elf.resize(64, 0);
    check(&[
        ("a.dcm", "application/dicom", &dicom, true),
        ("a.dcm", "application/dicom", b"anything", false),
        ("a.raw9", "image/x-raw9", b"anything", true),
        ("a.raw9", "image/x-raw9", b"", true),
        ("a.raw9", "image/x-raw9", b"MZ\x90\0\x03\0\0\0", false),
        ("a.raw9", "video/x-raw9", &elf, false),
        ("a.raw9", "application/x-raw9", &elf, true),
    ]);
}

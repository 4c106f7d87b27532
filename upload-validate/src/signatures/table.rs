//! Which signature files of a type have.

use super::{
    At, Signature,
    archives::{bzip2, tape, zstandard},
    documents::{OLE, ZIP, illustrator, office, pdf, postscript, rich_text, word, workbook},
    media::{bitmap, iso_media, mpeg_audio, mpeg_video, svg},
};

/// Types by their canonical names, and how their files begin.
pub(super) type Row = (&'static [&'static str], Signature);

/// One row per family of types that nothing in their first bytes distinguishes.
pub(super) const TABLE: &[Row] = &[
    (
        &["image/jpeg"],
        Signature::Any(&[&[At(0, b"\xFF\xD8\xFF")]]),
    ),
    (
        &["image/png", "image/apng"],
        Signature::Any(&[&[At(0, b"\x89PNG\r\n\x1A\n")]]),
    ),
    (
        &["image/gif"],
        Signature::Any(&[&[At(0, b"GIF87a")], &[At(0, b"GIF89a")]]),
    ),
    (
        &["image/webp"],
        Signature::Any(&[&[At(0, b"RIFF"), At(8, b"WEBP")]]),
    ),
    (&["image/bmp"], Signature::Read(bitmap)),
    (
        &["image/tiff"],
        Signature::Any(&[
            &[At(0, b"II*\0")],
            &[At(0, b"MM\0*")],
            &[At(0, b"II+\0")],
            &[At(0, b"MM\0+")],
        ]),
    ),
    (
        // Many a favicon is a PNG under that name, and every browser takes it.
        &["image/vnd.microsoft.icon"],
        Signature::Any(&[
            &[At(0, b"\0\0\x01\0")],
            &[At(0, b"\0\0\x02\0")],
            &[At(0, b"\x89PNG\r\n\x1A\n")],
        ]),
    ),
    (
        &[
            "image/heic",
            "image/heif",
            "image/heic-sequence",
            "image/heif-sequence",
        ],
        Signature::Any(&[
            &[At(4, b"ftyphe")],
            &[At(4, b"ftypmif1")],
            &[At(4, b"ftypmif2")],
            &[At(4, b"ftypmsf1")],
            &[At(4, b"ftypmiaf")],
        ]),
    ),
    (
        &["image/avif", "image/avif-sequence"],
        Signature::Any(&[
            &[At(4, b"ftypavif")],
            &[At(4, b"ftypavis")],
            &[At(4, b"ftypmif1")],
            &[At(4, b"ftypmif2")],
            &[At(4, b"ftypmsf1")],
            &[At(4, b"ftypmiaf")],
        ]),
    ),
    (
        &["image/jxl"],
        Signature::Any(&[&[At(0, b"\xFF\x0A")], &[At(4, b"JXL \r\n\x87\n")]]),
    ),
    (
        &["image/jp2", "image/jpx", "image/jpm"],
        Signature::Any(&[&[At(4, b"jP  \r\n\x87\n")], &[At(0, b"\xFF\x4F\xFF\x51")]]),
    ),
    (
        &["image/vnd.adobe.photoshop"],
        Signature::Any(&[&[At(0, b"8BPS")]]),
    ),
    (&["image/svg+xml"], Signature::Read(svg)),
    (
        &[
            "video/mp4",
            "video/quicktime",
            "video/x-m4v",
            "video/3gpp",
            "video/3gpp2",
            "audio/mp4",
            "audio/3gpp",
            "audio/3gpp2",
            "application/mp4",
        ],
        Signature::Read(iso_media),
    ),
    (
        &[
            "video/webm",
            "audio/webm",
            "video/x-matroska",
            "audio/x-matroska",
        ],
        Signature::Any(&[&[At(0, b"\x1A\x45\xDF\xA3")]]),
    ),
    (
        &["video/x-msvideo"],
        Signature::Any(&[&[At(0, b"RIFF"), At(8, b"AVI ")]]),
    ),
    (&["video/x-flv"], Signature::Any(&[&[At(0, b"FLV\x01")]])),
    (
        &["video/x-ms-wmv", "video/x-ms-asf", "audio/x-ms-wma"],
        Signature::Any(&[&[At(0, b"\x30\x26\xB2\x75\x8E\x66\xCF\x11")]]),
    ),
    (&["video/mpeg"], Signature::Read(mpeg_video)),
    (&["audio/mpeg"], Signature::Read(mpeg_audio)),
    (
        &["audio/aac"],
        Signature::Any(&[
            &[At(0, b"\xFF\xF1")],
            &[At(0, b"\xFF\xF0")],
            &[At(0, b"\xFF\xF9")],
            &[At(0, b"\xFF\xF8")],
            &[At(0, b"ADIF")],
            &[At(0, b"ID3")],
            // In the container of films.
            &[At(4, b"ftyp")],
        ]),
    ),
    (
        &["audio/wav"],
        Signature::Any(&[
            &[At(0, b"RIFF"), At(8, b"WAVE")],
            &[At(0, b"RF64"), At(8, b"WAVE")],
            &[At(0, b"BW64"), At(8, b"WAVE")],
        ]),
    ),
    (
        &["audio/aiff"],
        Signature::Any(&[
            &[At(0, b"FORM"), At(8, b"AIFF")],
            &[At(0, b"FORM"), At(8, b"AIFC")],
        ]),
    ),
    (
        &["audio/ogg", "video/ogg", "application/ogg", "audio/opus"],
        Signature::Any(&[&[At(0, b"OggS")]]),
    ),
    (
        &["audio/flac"],
        Signature::Any(&[&[At(0, b"fLaC")], &[At(0, b"ID3")]]),
    ),
    (
        &["audio/midi"],
        Signature::Any(&[&[At(0, b"MThd")], &[At(0, b"RIFF"), At(8, b"RMID")]]),
    ),
    (&["application/pdf"], Signature::Read(pdf)),
    (&["application/postscript"], Signature::Read(postscript)),
    (
        &["application/vnd.adobe.illustrator"],
        Signature::Read(illustrator),
    ),
    (&["application/rtf"], Signature::Read(rich_text)),
    (
        &[
            "application/zip",
            "application/epub+zip",
            "application/java-archive",
            "application/vnd.android.package-archive",
            "application/vnd.google-earth.kmz",
            "application/vnd.oasis.opendocument.graphics",
            "application/vnd.oasis.opendocument.presentation",
            "application/vnd.oasis.opendocument.spreadsheet",
            "application/vnd.oasis.opendocument.text",
            "application/vnd.ms-xpsdocument",
            "model/3mf",
        ],
        Signature::Any(ZIP),
    ),
    (
        // With a password they are wrapped in the old container.
        &[
            "application/vnd.ms-excel.sheet.macroenabled.12",
            "application/vnd.ms-powerpoint.presentation.macroenabled.12",
            "application/vnd.ms-word.document.macroenabled.12",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ],
        Signature::Read(office),
    ),
    (&["application/msword"], Signature::Read(word)),
    (
        &["application/vnd.ms-excel", "application/vnd.ms-powerpoint"],
        Signature::Read(workbook),
    ),
    (
        &[
            "application/vnd.ms-outlook",
            "application/vnd.ms-project",
            "application/x-ole-storage",
            "application/x-msi",
        ],
        Signature::Any(&[&[OLE]]),
    ),
    (
        &["application/gzip"],
        Signature::Any(&[&[At(0, b"\x1F\x8B\x08")]]),
    ),
    (&["application/x-bzip2"], Signature::Read(bzip2)),
    (
        &["application/x-xz"],
        Signature::Any(&[&[At(0, b"\xFD7zXZ\0")]]),
    ),
    (&["application/zstd"], Signature::Read(zstandard)),
    (
        &["application/x-7z-compressed"],
        Signature::Any(&[&[At(0, b"7z\xBC\xAF\x27\x1C")]]),
    ),
    (
        &["application/vnd.rar"],
        Signature::Any(&[&[At(0, b"Rar!\x1A\x07")]]),
    ),
    (&["application/x-tar"], Signature::Read(tape)),
    (
        &["application/vnd.sqlite3"],
        Signature::Any(&[&[At(0, b"SQLite format 3\0")]]),
    ),
    (&["application/wasm"], Signature::Any(&[&[At(0, b"\0asm")]])),
    (
        &["application/x-shockwave-flash"],
        Signature::Any(&[&[At(0, b"FWS")], &[At(0, b"CWS")], &[At(0, b"ZWS")]]),
    ),
    (
        &["application/vnd.microsoft.portable-executable"],
        Signature::Any(&[&[At(0, b"MZ")]]),
    ),
    (
        &["application/x-executable"],
        Signature::Any(&[&[At(0, b"\x7FELF")]]),
    ),
    (&["font/woff"], Signature::Any(&[&[At(0, b"wOFF")]])),
    (&["font/woff2"], Signature::Any(&[&[At(0, b"wOF2")]])),
    (
        &["font/ttf", "font/otf", "font/collection"],
        Signature::Any(&[
            &[At(0, b"\0\x01\0\0")],
            &[At(0, b"OTTO")],
            &[At(0, b"true")],
            &[At(0, b"ttcf")],
        ]),
    ),
];

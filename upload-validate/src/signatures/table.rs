//! Which signature files of a type have.

use super::{At, Signature};

/// Types by their canonical names, and how their files begin.
pub(super) type Row = (&'static [&'static str], Signature);

const ZIP: &[&[At]] = &[
    &[At(0, b"PK\x03\x04")],
    &[At(0, b"PK\x05\x06")],
    &[At(0, b"PK\x07\x08")],
];
const OLE: At = At(0, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1");

/// One row per family of types that are told apart by nothing in their first bytes.
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
    (&["image/bmp"], Signature::Any(&[&[At(0, b"BM")]])),
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
    (&["image/svg+xml"], Signature::Svg),
    (
        &[
            "video/mp4",
            "video/x-m4v",
            "video/3gpp",
            "video/3gpp2",
            "audio/mp4",
            "audio/3gpp",
            "audio/3gpp2",
            "application/mp4",
        ],
        Signature::Film(&[]),
    ),
    (
        // QuickTime is older than `ftyp`: such a film begins with any of its atoms.
        &["video/quicktime"],
        Signature::Film(&[
            &[At(4, b"moov")],
            &[At(4, b"mdat")],
            &[At(4, b"wide")],
            &[At(4, b"free")],
            &[At(4, b"skip")],
            &[At(4, b"pnot")],
        ]),
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
    (
        // Program and elementary streams; a transport stream begins with the sync byte G.
        &["video/mpeg"],
        Signature::Any(&[
            &[At(0, b"\0\0\x01\xBA")],
            &[At(0, b"\0\0\x01\xB3")],
            &[At(0, b"G")],
        ]),
    ),
    (
        // A tag, or the header of a layer II or III frame: eleven bits of sync, then version and layer.
        &["audio/mpeg"],
        Signature::Any(&[
            &[At(0, b"ID3")],
            &[At(0, b"\xFF\xFB")],
            &[At(0, b"\xFF\xFA")],
            &[At(0, b"\xFF\xF3")],
            &[At(0, b"\xFF\xF2")],
            &[At(0, b"\xFF\xE3")],
            &[At(0, b"\xFF\xE2")],
            &[At(0, b"\xFF\xFD")],
            &[At(0, b"\xFF\xFC")],
            &[At(0, b"\xFF\xF5")],
            &[At(0, b"\xFF\xF4")],
        ]),
    ),
    (
        &["audio/aac"],
        Signature::Any(&[
            &[At(0, b"\xFF\xF1")],
            &[At(0, b"\xFF\xF0")],
            &[At(0, b"\xFF\xF9")],
            &[At(0, b"\xFF\xF8")],
            &[At(0, b"ADIF")],
            &[At(0, b"ID3")],
        ]),
    ),
    (
        &["audio/wav"],
        Signature::Any(&[
            &[At(0, b"RIFF"), At(8, b"WAVE")],
            &[At(0, b"RF64"), At(8, b"WAVE")],
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
    (&["application/pdf"], Signature::Indented(b"%PDF")),
    (
        &["application/postscript"],
        Signature::Any(&[&[At(0, b"%!")], &[At(0, b"\xC5\xD0\xD3\xC6")]]),
    ),
    (&["application/rtf"], Signature::Indented(b"{\\rtf")),
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
        Signature::Any(&[
            &[At(0, b"PK\x03\x04")],
            &[At(0, b"PK\x05\x06")],
            &[At(0, b"PK\x07\x08")],
            &[OLE],
        ]),
    ),
    (
        &["application/msword"],
        Signature::Any(&[&[OLE], &[At(0, b"{\\rtf")]]),
    ),
    (
        &[
            "application/vnd.ms-excel",
            "application/vnd.ms-outlook",
            "application/vnd.ms-powerpoint",
            "application/x-ole-storage",
            "application/x-msi",
        ],
        Signature::Any(&[&[OLE]]),
    ),
    (
        &["application/gzip"],
        Signature::Any(&[&[At(0, b"\x1F\x8B")]]),
    ),
    (
        &["application/x-bzip2"],
        Signature::Any(&[&[At(0, b"BZh")]]),
    ),
    (
        &["application/x-xz"],
        Signature::Any(&[&[At(0, b"\xFD7zXZ\0")]]),
    ),
    (
        &["application/zstd"],
        Signature::Any(&[&[At(0, b"\x28\xB5\x2F\xFD")]]),
    ),
    (
        &["application/x-7z-compressed"],
        Signature::Any(&[&[At(0, b"7z\xBC\xAF\x27\x1C")]]),
    ),
    (
        &["application/vnd.rar"],
        Signature::Any(&[&[At(0, b"Rar!\x1A\x07")]]),
    ),
    (
        &["application/x-tar"],
        Signature::Any(&[&[At(257, b"ustar")]]),
    ),
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

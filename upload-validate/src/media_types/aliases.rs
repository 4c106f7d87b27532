//! The names that media types go by.

/// Names that mean the same; the first is the one the tables use.
pub(super) const ALIASES: &[(&str, &[&str])] = &[
    (
        "application/gzip",
        &[
            "application/x-gzip",
            "application/gzip-compressed",
            "application/x-gunzip",
        ],
    ),
    (
        "application/java-archive",
        &["application/x-java-archive", "application/x-jar"],
    ),
    (
        "application/json",
        &["application/x-json", "text/json", "text/x-json"],
    ),
    (
        "application/msword",
        &[
            "application/vnd.ms-word",
            "application/x-msword",
            "application/doc",
        ],
    ),
    ("application/ogg", &["application/x-ogg"]),
    (
        "application/pdf",
        &["application/x-pdf", "application/acrobat", "text/pdf"],
    ),
    (
        "application/rtf",
        &["text/rtf", "application/x-rtf", "text/richtext"],
    ),
    (
        "application/vnd.ms-excel",
        &[
            "application/msexcel",
            "application/x-excel",
            "application/x-msexcel",
        ],
    ),
    (
        "application/vnd.ms-powerpoint",
        &["application/mspowerpoint", "application/powerpoint"],
    ),
    (
        "application/vnd.microsoft.portable-executable",
        &[
            "application/x-msdownload",
            "application/x-dosexec",
            "application/x-ms-dos-executable",
            "application/exe",
        ],
    ),
    (
        "application/vnd.rar",
        &[
            "application/x-rar-compressed",
            "application/x-rar",
            "application/rar",
        ],
    ),
    ("application/vnd.sqlite3", &["application/x-sqlite3"]),
    (
        "application/x-7z-compressed",
        &["application/7z", "application/x-7zip"],
    ),
    (
        "application/x-bzip2",
        &["application/x-bzip", "application/bzip2"],
    ),
    (
        "application/x-executable",
        &[
            "application/x-elf",
            "application/x-sharedlib",
            "application/x-pie-executable",
        ],
    ),
    (
        "application/x-httpd-php",
        &["application/x-php", "text/x-php", "text/php"],
    ),
    (
        "application/x-sh",
        &[
            "application/x-shellscript",
            "text/x-sh",
            "text/x-shellscript",
        ],
    ),
    (
        "application/x-tar",
        &["application/tar", "application/x-gtar"],
    ),
    ("application/xml", &["text/xml"]),
    (
        "application/yaml",
        &["text/yaml", "application/x-yaml", "text/x-yaml"],
    ),
    (
        "application/zip",
        &[
            "application/x-zip-compressed",
            "application/x-zip",
            "application/zip-compressed",
            "multipart/x-zip",
        ],
    ),
    ("application/zstd", &["application/x-zstd"]),
    (
        "audio/aac",
        &[
            "audio/x-aac",
            "audio/aacp",
            "audio/vnd.dlna.adts",
            "audio/x-hx-aac-adts",
        ],
    ),
    ("audio/aiff", &["audio/x-aiff"]),
    ("audio/flac", &["audio/x-flac"]),
    ("audio/midi", &["audio/x-midi", "audio/mid", "audio/x-mid"]),
    (
        "audio/mp4",
        &["audio/m4a", "audio/x-m4a", "audio/mp4a-latm"],
    ),
    (
        "audio/mpeg",
        &[
            "audio/mp3",
            "audio/x-mp3",
            "audio/mpeg3",
            "audio/x-mpeg",
            "audio/x-mpeg-3",
            "audio/mpg",
        ],
    ),
    (
        "audio/wav",
        &[
            "audio/x-wav",
            "audio/wave",
            "audio/vnd.wave",
            "audio/x-pn-wav",
        ],
    ),
    (
        "font/otf",
        &[
            "application/x-font-otf",
            "application/x-font-opentype",
            "application/vnd.ms-opentype",
        ],
    ),
    (
        "font/ttf",
        &[
            "application/x-font-ttf",
            "application/font-sfnt",
            "application/x-font-truetype",
        ],
    ),
    (
        "font/woff",
        &["application/font-woff", "application/x-font-woff"],
    ),
    ("font/woff2", &["application/font-woff2"]),
    (
        "image/bmp",
        &["image/x-bmp", "image/x-ms-bmp", "image/x-windows-bmp"],
    ),
    (
        "image/jpeg",
        &[
            "image/jpg",
            "image/pjpeg",
            "image/jpe",
            "image/x-jpeg",
            "image/x-citrix-jpeg",
        ],
    ),
    (
        "image/jp2",
        &["image/jpeg2000", "image/x-jp2", "image/jpeg2000-image"],
    ),
    ("image/png", &["image/x-png", "image/x-citrix-png"]),
    ("image/svg+xml", &["image/svg"]),
    ("image/tiff", &["image/tif", "image/x-tiff", "image/x-tif"]),
    (
        "image/vnd.adobe.photoshop",
        &[
            "image/x-photoshop",
            "image/psd",
            "application/photoshop",
            "application/x-photoshop",
        ],
    ),
    (
        "image/vnd.microsoft.icon",
        &[
            "image/x-icon",
            "image/ico",
            "image/icon",
            "image/x-win-bitmap",
        ],
    ),
    (
        "text/javascript",
        &[
            "application/javascript",
            "application/x-javascript",
            "text/ecmascript",
            "application/ecmascript",
        ],
    ),
    ("text/markdown", &["text/x-markdown"]),
    ("video/mp4", &["video/x-mp4"]),
    ("video/mpeg", &["video/x-mpeg", "video/mpg"]),
    ("video/quicktime", &["video/x-quicktime"]),
    ("video/x-flv", &["video/flv"]),
    ("video/x-m4v", &["video/m4v"]),
    (
        "video/x-matroska",
        &["video/matroska", "video/mkv", "video/x-mkv"],
    ),
    (
        "video/x-msvideo",
        &["video/avi", "video/msvideo", "video/vnd.avi"],
    ),
];

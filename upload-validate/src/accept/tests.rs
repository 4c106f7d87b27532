//! Accept lists against names and declared types.

use super::Accept;

/// Row, accept list, name, declared type, expected answer.
type Row = (&'static str, &'static str, &'static str, &'static str, bool);

fn check(table: &[Row]) {
    for &(row, list, name, media_type, expected) in table {
        let accept = Accept::parse(list).expect("the list is well formed");
        assert_eq!(
            accept.permits(name, media_type),
            expected,
            "{row}: {name:?} as {media_type:?} into {list:?}"
        );
    }
}

/// RV-1 to RV-11: what the reference takes and refuses.
#[test]
fn answers_as_the_reference() {
    check(&[
        ("RV-1", ".jpg,.png", "photo.jpg", "image/jpeg", true),
        ("RV-2", ".jpg", "photo.png", "image/png", false),
        ("RV-2", ".jpg", "photo.gif", "", false),
        ("RV-3", ".jpg", "photo.jpg.exe", "image/jpeg", false),
        ("RV-3", ".jpg", "a.tar.jpg", "image/jpeg", true),
        ("RV-4", ".jpg,.png", "PHOTO.JPG", "image/jpeg", true),
        ("RV-4", ".jpg,.png", "image.PNG", "IMAGE/PNG", true),
        (
            "RV-4",
            ".jpg, .PNG ,image/*",
            "image.png",
            "image/png",
            true,
        ),
        (
            "RV-4",
            ".jpg, .PNG ,image/*",
            "image.webp",
            "image/webp",
            true,
        ),
        ("RV-5", ".jpg", "a", "", false),
        ("RV-5", ".jpg", ".jpg", "", false),
        ("RV-5", ".jpg", "a.jpg ", "", false),
        ("RV-5", ".jpg", "a.jpg.", "", false),
        ("RV-5", ".jpg", "a.jpg\0", "", false),
        ("RV-6", ".jpg,.png", "script.exe", "", false),
        ("RV-6", ".jpg,.png", "shell.sh", "", false),
        ("RV-6", ".jpg,.png", "page.html", "", false),
        ("RV-7", "", "anything.exe", "application/x-msdownload", true),
        ("RV-7", "", "anything.xyz", "", true),
        (
            "RV-8",
            "image/jpeg,image/png",
            "doc.pdf",
            "application/pdf",
            false,
        ),
        ("RV-8", "image/jpeg,image/png", "a.png", "image/png", true),
        ("RV-9", "image/*", "a.jpg", "image/jpeg", true),
        ("RV-9", "image/*", "a.png", "image/png", true),
        ("RV-9", "image/*", "a.pdf", "application/pdf", false),
        ("RV-10", ".jpg,.png", "a.jpg", "image/gif", false),
        ("RV-10", ".jpg,.png", "a.jpg", "image/png", true),
        ("RV-11", ".jpg", "a.jpg", "", true),
    ]);
}

#[test]
fn decides_by_the_extension_where_nothing_is_declared() {
    check(&[
        ("empty", "image/*", "a.png", "", true),
        ("empty", "image/png", "a.PNG", " ", true),
        ("empty", "image/*", "a.pdf", "", false),
        ("empty", "image/*", "a", "", false),
        ("empty", "image/*", "a.unheardof", "", false),
        ("empty", "image/*", "a.png\u{200B}", "", false),
        (
            "generic",
            "image/*",
            "a.png",
            "application/octet-stream",
            true,
        ),
        ("generic", ".jpg", "a.jpg", "application/octet-stream", true),
        ("generic", ".jpg", "a.jpg", "Binary/Octet-Stream; x=y", true),
        (
            "generic",
            "image/*",
            "a.exe",
            "application/octet-stream",
            false,
        ),
        (
            "listed",
            "application/octet-stream",
            "a.bin",
            "application/octet-stream",
            true,
        ),
        (
            "listed",
            "application/octet-stream",
            "a.exe",
            "application/octet-stream",
            false,
        ),
        ("unknown", ".xyz", "a.xyz", "application/anything", true),
    ]);
}

#[test]
fn takes_the_union_of_a_mixed_list() {
    check(&[
        ("mixed", ".pdf,image/*", "a.pdf", "application/pdf", true),
        ("mixed", ".pdf,image/*", "a.webp", "image/webp", true),
        ("mixed", ".pdf,image/*", "a.webp", "", true),
        ("mixed", ".pdf,image/*", "a.txt", "text/plain", false),
        ("mixed", ".pdf,image/*", "a.pdf", "text/plain", false),
        ("disagreement", "image/*", "shell.php", "image/png", false),
        ("disagreement", ".pdf,image/*", "a.exe", "image/png", false),
        ("disagreement", "image/*", "shell.php ", "image/png", false),
        (
            "disagreement",
            "image/*",
            "shell.php\u{200B}",
            "image/png",
            false,
        ),
        (
            "disagreement",
            "image/*",
            "shell.ｐｈｐ",
            "image/png",
            false,
        ),
        ("disagreement", "image/*", "shell.php/", "image/png", false),
        ("disagreement", "image/*", "a.png", "image/jpeg", true),
        ("unknown", "image/*", "camera.raw9", "image/x-raw9", false),
        ("unknown", "image/*", "blob", "image/x-raw9", false),
        ("unknown", "image/x-raw9", "blob", "image/x-raw9", true),
        ("unknown", "image/*", "camera.raw9", "image/png", false),
        ("unknown", "image/*", "blob", "image/png", true),
        ("any", "image/*, */*", "a.exe", "", true),
        ("any", "*", "a.exe", "nonsense", true),
    ]);
}

#[test]
fn knows_other_names_of_a_type() {
    check(&[
        ("alias", "image/jpeg", "a.jpg", "image/jpg", true),
        ("alias", "image/jpg", "a.jpg", "image/jpeg", true),
        ("alias", ".mp3", "a.mp3", "audio/mp3", true),
        (
            "alias",
            ".zip",
            "a.zip",
            "application/x-zip-compressed",
            true,
        ),
        ("alias", ".csv", "a.csv", "application/vnd.ms-excel", true),
        ("alias", ".csv,.md,.json", "a.md", "text/plain", true),
        ("alias", ".mov", "a.mov", "video/mp4", true),
        ("alias", ".docx", "a.docx", "application/zip", true),
        ("alias", "text/plain", "notes.md", "text/plain", false),
        ("alias", "text/*", "notes.md", "text/plain", true),
        ("alias", ".csv", "a.csv", "image/png", false),
    ]);
}

#[test]
fn looks_at_the_ending_of_the_name_as_sent_and_as_stored() {
    check(&[
        ("compound", ".tar.gz", "a.tar.gz", "application/gzip", true),
        ("compound", ".tar.gz", "a.gz", "application/gzip", false),
        ("compound", ".tar.gz", ".tar.gz", "", false),
        ("path", ".jpg", "folder/a.jpg", "", true),
        ("path", ".jpg", "folder/.jpg", "", false),
        ("path", ".jpg", "a.jpg/", "", false),
        ("path", ".jpg", "a\u{2215}.jpg", "", false),
        ("path", ".jpg", "C:.jpg", "", true),
        ("path", ".jpg", "C:/.jpg", "", false),
        ("stream", ".txt", "a.exe:b.txt", "", true),
        ("stream", ".txt", "a.txt:b", "", false),
        ("full width", ".jpg", "a.ｊｐｇ", "", false),
    ]);
}

#[test]
fn refuses_a_type_that_breaks_the_grammar() {
    check(&[
        ("grammar", "image/*", "a.png", "image", false),
        ("grammar", "image/*", "a.png", "image/png,image/gif", false),
        ("grammar", ".png", "a.png", "; q=1", false),
        ("parameters", "image/*", "a.png", " IMAGE/PNG ; q=1", true),
        ("parameters", "image/png; q=0.5", "a.png", "image/png", true),
    ]);
}

/// What systems declare for files whose extension is on the list: each row is a report, or a table of a system.
#[test]
fn takes_what_systems_declare() {
    check(&[
        // Android (jshttp/mime-db#199).
        ("6", ".csv", "a.csv", "text/comma-separated-values", true),
        (
            "6",
            "text/csv",
            "a.csv",
            "text/comma-separated-values",
            true,
        ),
        // Windows with Excel.
        ("6", ".csv", "a.csv", "application/vnd.ms-excel", true),
        ("6", "text/csv", "a.csv", "application/vnd.ms-excel", true),
        // WPS (langgenius/dify#9992), Hancom (digital-idea/OpenPipelineIO#1812), shared-mime-info.
        ("6", ".docx", "a.docx", "application/wps-office.docx", true),
        ("6", ".docx", "a.docx", "application/kswps", true),
        ("6", ".xlsx", "a.xlsx", "application/haansoftxlsx", true),
        ("6", ".doc", "a.doc", "application/vnd.ms-office", true),
        // Firefox (bug 1240259).
        ("4", "audio/*", "a.ogg", "video/ogg", true),
        ("4", "audio/*", "a.ogg", "application/ogg", true),
        ("4", "audio/*", "a.ogg", "audio/x-vorbis+ogg", true),
        // Chromium on Linux, which asks shared-mime-info.
        ("6", ".log", "a.log", "text/x-log", true),
        ("6", ".ts", "a.ts", "text/vnd.trolltech.linguist", true),
        (
            "6",
            ".otf",
            "a.otf",
            "application/vnd.oasis.opendocument.formula-template",
            true,
        ),
        ("6", ".7z", "a.7z", "application/x-compressed", true),
        ("6", ".tgz", "a.tgz", "application/x-gtar-compressed", true),
        ("6", ".aac", "a.aac", "audio/aac-adts", true),
        ("6", ".psd", "a.psd", "image/x-psd", true),
        // Windows.
        ("4", ".ts", "a.ts", "video/vnd.dlna.mpeg-tts", true),
        // MediaRecorder of browsers.
        ("4", "audio/*", "voice.webm", "audio/webm;codecs=opus", true),
        // No system declares a type for camera raws, or nearly none.
        ("12", "image/*", "IMG_1.CR3", "", true),
        ("12", "image/*", "IMG_1.nef", "", true),
        ("12", "image/*", "IMG_1.HIF", "", true),
        ("12", "image/*", "IMG_1.dng", "image/x-adobe-dng", true),
        ("12", "audio/*", "memo.amr", "", true),
        ("12", "video/*", "00001.m2ts", "", true),
        ("12", "video/*", "VTS_01.VOB", "", true),
        // What bytes cannot tell apart, and what is known to be something else.
        ("family", ".zip", "a.zip", "application/java-archive", true),
        ("family", ".log", "a.log", "text/csv", true),
        ("family", ".csv", "a.csv", "image/png", false),
        ("family", ".docx", "a.docx", "application/pdf", false),
        ("family", "video/*", "a.mp4", "audio/mpeg", false),
    ]);
}

/// A type lets in the extensions that have it, whatever a client declares.
#[test]
fn a_type_lets_in_its_own_extensions_only() {
    for ext in [
        "phtml",
        "php",
        "php5",
        "phar",
        "pht",
        "jsp",
        "asp",
        "cgi",
        "pl",
        "py",
        "rb",
        "cfm",
        "lnk",
        "url",
        "scf",
        "desktop",
        "bat",
        "cmd",
        "ps1",
        "scr",
        "com",
        "library-ms",
        "png.en",
        "PHP",
    ] {
        let name = format!("shell.{ext}");
        for (list, declared) in [
            ("image/*", "image/png"),
            ("image/*", "image/foo"),
            ("image/*", ""),
            ("image/png", "image/png"),
            ("application/pdf", "application/pdf"),
            ("video/*", "video/mp4"),
            ("text/plain", "text/plain"),
            ("text/*", "text/x-foo"),
            ("text/*", "text/plain"),
        ] {
            check(&[("S2", list, name.clone().leak(), declared, false)]);
        }
    }
    check(&[
        ("S2", "text/x-python", "a.py", "", true),
        ("S2", ".py", "a.py", "text/x-python", true),
        ("S2", "text/*", "a.css", "text/css", true),
    ]);
}

//! Every extension that mime-db, Debian, mime_guess and Python know, against lists of types.

use std::{collections::BTreeMap, fs, path::Path};

use upload_validate::{Accept, FileFacts, Head, Rules, Verdict, is_active};

/// The types that the lists give to each extension, with the name of the list.
fn types_by_extension() -> BTreeMap<String, Vec<(&'static str, String)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/media-types");
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for list in ["mime-db", "debian", "mime-guess", "python"] {
        let path = folder.join(format!("{list}.txt"));
        let text = fs::read_to_string(&path).expect("the list is part of the workspace");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let media_type = words.next().expect("a type").to_ascii_lowercase();
            // The list of mime-db says where it has a type from.
            for ext in words.skip(usize::from(list == "mime-db")) {
                let types = found.entry(ext.to_ascii_lowercase()).or_default();
                types.push((list, media_type.clone()));
            }
        }
    }
    assert!(found.len() > 1_800, "only {} extensions", found.len());
    found
}

/// What programs and pages are called that no list knows.
const UNLISTED: &[&str] = &[
    "phtml",
    "php3",
    "php5",
    "php7",
    "phar",
    "pht",
    "phps",
    "jsp",
    "jspx",
    "asp",
    "cgi",
    "cfm",
    "cfc",
    "url",
    "lnk",
    "scf",
    "desktop",
    "ps1",
    "psm1",
    "htaccess",
    "unheardof",
    "7",
    "html.en",
    "svg.en",
    "svg.bak",
    "php.xyzzy",
];

/// Extensions that a slot of this type takes although none of the lists says so, and the format they are.
const OURS: &[(&str, &[&str])] = &[
    (
        "image/*",
        &[
            // Camera raws, and other names of JPEG, HEIF and cursors.
            "3fr", "arw", "cr3", "dcr", "fff", "iiq", "k25", "kdc", "mef", "mos", "mrw", "nrw",
            "pef", "pjp", "pjpeg", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f", "cur",
            "eps", "hif",
        ],
    ),
    // Containers of films that are also used for sound, and the other way round.
    ("video/*", &["ogg", "mxf"]),
];

fn is_covered(list: &str, media_type: &str) -> bool {
    match list.strip_suffix("/*") {
        Some(kind) => media_type.split('/').next() == Some(kind),
        None => list == media_type,
    }
}

/// Lists of types let in the extensions that some list gives such a type, and no other, whatever is declared.
#[test]
fn a_list_of_types_takes_no_extension_outside_its_own() {
    let known = types_by_extension();
    let unlisted = UNLISTED.iter().map(|ext| ((*ext).to_owned(), Vec::new()));
    let all: BTreeMap<_, _> = known.into_iter().chain(unlisted).collect();
    let mut wrong = Vec::new();
    for (list, declared) in [
        ("image/*", &["", "image/png", "image/foo", "text/plain"][..]),
        ("image/png", &["", "image/png", "image/foo"]),
        (
            "application/pdf",
            &["", "application/pdf", "application/foo"],
        ),
        ("video/*", &["", "video/mp4", "video/foo"]),
        ("text/plain", &["", "text/plain", "text/foo"]),
    ] {
        let accept = Accept::parse(list).expect("well formed");
        let rules = Rules::new(accept).allow_active_content(true);
        let ours = OURS.iter().find(|(of, _)| *of == list);
        let mut taken = 0;
        for (ext, types) in &all {
            let is_own = types
                .iter()
                .any(|(_, media_type)| is_covered(list, media_type))
                || ours.is_some_and(|(_, exts)| exts.contains(&ext.as_str()));
            let name = format!("shell.{ext}");
            for media_type in declared {
                let is_taken = rules.screen(&name, media_type).is_ok();
                taken += u32::from(is_taken);
                if is_taken && !is_own {
                    wrong.push(format!("{name} as {media_type:?} into {list}: {types:?}"));
                }
            }
        }
        assert!(taken > 0, "{list} takes nothing at all");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a browser that is sent a file as this type runs what is in it.
fn runs(media_type: &str) -> bool {
    let (_, subtype) = media_type.split_once('/').unwrap_or_default();
    subtype == "html"
        || subtype == "xml"
        || subtype.ends_with("+xml")
        || subtype.ends_with("javascript")
        || subtype.ends_with("ecmascript")
        || matches!(subtype, "jscript" | "livescript" | "vbscript" | "hta")
}

/// Extensions of sources and programs that lists give to XML as well: their bytes are looked at.
///
/// Sent as XML, what does not begin with markup is an error in a browser's window, and nothing in it runs.
const ALSO_XML: &[&str] = &[
    "ac", "cl", "cml", "dist", "distz", "gsheet", "mod", "mpp", "pkg", "rs", "sml", "svc",
];

/// What one of the lists calls HTML, XML or a script is kept out by its name, or its bytes cannot be a page's.
#[test]
fn nothing_that_a_list_calls_a_page_passes() {
    let documents: &[&[u8]] = &[
        b"<r><script xmlns='http://www.w3.org/1999/xhtml'>alert(1)</script></r>",
        b"<html><script>alert(1)</script>",
        b"\xEF\xBB\xBF\n<r xmlns='x'/>",
        b"<\0r\0>\0<\0/\0r\0>\0",
        b"\xFE\xFF\0<\0r\0>",
        b"<!-- x --><r/>",
        b"<?pi x?><r/>",
        b"<!DOCTYPE r><r/>",
        b"<\xC3\xA9 xmlns='x'/>",
        b" <_/>",
    ];
    let fragments: &[&[u8]] = &[b"x<script>alert(1)</script>", b"alert(1)"];
    let pages: Vec<&[u8]> = documents.iter().chain(fragments).copied().collect();
    let mut wrong = Vec::new();
    let mut by_name = 0;
    for (ext, types) in types_by_extension() {
        let running: Vec<_> = types.iter().filter(|(_, it)| runs(it)).collect();
        if running.is_empty() {
            continue;
        }
        for name in [format!("x.{ext}"), format!("x.{ext}.en")] {
            if is_active(&name, "") {
                by_name += 1;
                continue;
            }
            let pages = match ALSO_XML.contains(&&*ext) {
                true => documents,
                false => &*pages,
            };
            for (list, media_type) in [("", ""), ("", "text/plain"), ("image/*", "image/foo")] {
                let rules = Rules::new(Accept::parse(list).expect("well formed"));
                for bytes in pages {
                    let facts = FileFacts {
                        name: &name,
                        media_type,
                        size: bytes.len() as u64,
                    };
                    let head = Head {
                        bytes,
                        is_whole: true,
                    };
                    if rules.inspect(&facts, &head) == Verdict::Accept {
                        wrong.push(format!("{name} as {media_type:?}: {running:?}"));
                    }
                }
            }
        }
    }
    assert!(by_name > 450, "only {by_name} by their names");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same lists against every kind of page that is called a picture.
#[test]
fn a_picture_that_is_a_page_is_refused() {
    let rules = Rules::new(Accept::parse("image/*").expect("well formed"));
    for ext in types_by_extension().keys() {
        let bytes = b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>";
        let name = format!("x.{ext}");
        let facts = FileFacts {
            name: &name,
            media_type: "image/png",
            size: bytes.len() as u64,
        };
        let head = Head {
            bytes,
            is_whole: true,
        };
        let verdict = rules.inspect(&facts, &head);
        assert!(matches!(verdict, Verdict::Refuse(_)), "{name}: {verdict:?}");
    }
}

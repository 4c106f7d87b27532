//! What a slot may choose: XML that is data, any picture; and entries of a list that no file fits.

use upload_validate::{Accept, ActiveContent, FileFacts, Head, Refusal, Rules, Verdict};

const PASS: Verdict = Verdict::Accept;
const ACTIVE: Verdict = Verdict::Refuse(Refusal::ActiveContent);

const GPX: &[u8] = b"<?xml version='1.0'?><gpx xmlns='http://www.topografix.com/GPX/1/1'/>";

/// XML that is data has its choice; nothing else gets in with it.
#[test]
fn xml_that_is_data_is_a_choice() {
    let ask = |choice: ActiveContent, list: &str, name: &str, media_type: &str, bytes: &[u8]| {
        let rules = Rules::new(Accept::parse(list).expect("well formed")).active_content(choice);
        let facts = FileFacts {
            name,
            media_type,
            size: bytes.len() as u64,
        };
        let is_whole = true;
        rules.inspect(&facts, &Head { bytes, is_whole })
    };
    let plist =
        b"<?xml version='1.0'?><!DOCTYPE plist PUBLIC '-//Apple//DTD PLIST 1.0//EN' 'x'><plist/>";
    let data: &[(&str, &str, &str, &[u8])] = &[
        (".gpx", "ride.gpx", "application/gpx+xml", GPX),
        ("", "ride.gpx", "", GPX),
        ("application/gpx+xml", "ride.gpx", "", GPX),
        ("", "IMG_1.AAE", "", plist),
        (".xml", "invoice.xml", "text/xml", b"<Invoice/>"),
        (".drawio", "a.drawio", "", b"<mxfile><diagram/></mxfile>"),
        (".txt", "a.txt", "", GPX),
    ];
    for (list, name, media_type, bytes) in data {
        let verdict = ask(ActiveContent::Xml, list, name, media_type, bytes);
        assert_eq!(verdict, PASS, "{name} into {list:?}");
        let verdict = ask(ActiveContent::None, list, name, media_type, bytes);
        assert_eq!(verdict, ACTIVE, "{name} into {list:?}");
    }
    let pages: &[(&str, &str, &[u8])] = &[
        ("a.html", "", GPX),
        ("a.svg", "", GPX),
        ("a.xsl", "", GPX),
        ("a.xml.gz", "", b"\x1F\x8B\x08\0"),
        ("a.xml", "text/html", GPX),
        ("a.xml", "image/svg+xml", GPX),
        ("a.js", "", b"1"),
        ("a.gpx", "", b"<?xml version='1.0'?><svg/>"),
        (
            "a.gpx",
            "",
            b"<?xml version='1.0'?><?xml-stylesheet href='x'?><gpx/>",
        ),
        (
            "a.gpx",
            "",
            b"<gpx><script xmlns='http://www.w3.org/1999/xhtml'/></gpx>",
        ),
        ("a", "", b"<table><tr>"),
        ("a.unheardof", "", b"<b>words"),
        ("a.bin", "", b"<!-- x --><script>"),
    ];
    for (name, media_type, bytes) in pages {
        let verdict = ask(ActiveContent::Xml, "", name, media_type, bytes);
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(verdict, ACTIVE, "{name} as {media_type:?}: {shown}");
        let verdict = ask(ActiveContent::All, "", name, media_type, bytes);
        assert_ne!(verdict, ACTIVE, "{name} as {media_type:?}: {shown}");
    }
}

/// A list, a name, a declared type, bytes, and the name it is stored under or why it is refused.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [u8],
    Result<&'static str, Refusal>,
);

/// canvas-lms#1206, seafile-iOS#358: phones name pictures wrongly.
#[test]
fn any_picture_is_stored_as_what_it_is() {
    const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0\0\x10JFIF";
    const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    const WEBP: &[u8] = b"RIFF\x20\0\0\0WEBPVP8 ";
    const TIFF: &[u8] = b"II*\0\x08\0\0\0";
    let table: &[Row] = &[
        ("image/*", "IMG_1.HEIC", "image/heic", JPEG, Ok("IMG_1.jpg")),
        ("image/*", "IMG_1.jpg", "image/jpeg", HEIC, Ok("IMG_1.heic")),
        ("image/*", "shot.png", "", JPEG, Ok("shot.jpg")),
        ("image/*", "web.jpg", "image/jpeg", WEBP, Ok("web.webp")),
        ("image/*", "a.b.png", "image/jpeg", JPEG, Ok("a.b.jpg")),
        ("", "shot.png", "image/png", JPEG, Ok("shot.jpg")),
        (".jpg,.png", "shot.png", "image/png", JPEG, Ok("shot.jpg")),
        (".jpg,.png", "shot.png", "image/heic", JPEG, Ok("shot.jpg")),
        // What it says it is stays.
        ("image/*", "a.jpeg", "image/png", JPEG, Ok("a.jpeg")),
        ("image/*", "IMG_1.NEF", "", TIFF, Ok("IMG_1.NEF")),
        ("image/*", "blob", "image/png", JPEG, Ok("blob")),
        ("", "a.pdf", "application/pdf", b"%PDF-1.4", Ok("a.pdf")),
        // What it is has to be on the list.
        (
            ".jpg,.png",
            "shot.png",
            "",
            WEBP,
            Err(Refusal::ContentMismatch),
        ),
        (
            "image/png",
            "shot.png",
            "",
            JPEG,
            Err(Refusal::ContentMismatch),
        ),
        (
            ".jpg",
            "IMG_1.HEIC",
            "",
            JPEG,
            Err(Refusal::TypeNotAccepted),
        ),
        // Nothing else gets in as a picture.
        (
            "image/*",
            "a.png",
            "",
            b"MZ\x90\0",
            Err(Refusal::ContentMismatch),
        ),
        ("", "a.png", "", b"<html>", Err(Refusal::ContentMismatch)),
        ("", "a.pdf", "", JPEG, Err(Refusal::ContentMismatch)),
        ("", "a.svg", "", JPEG, Err(Refusal::ActiveContent)),
    ];
    for (list, name, media_type, bytes, expected) in table {
        let rules = Rules::new(Accept::parse(list).expect("well formed")).any_picture(true);
        let facts = FileFacts {
            name,
            media_type,
            size: bytes.len() as u64,
        };
        // The name is certain with the first verdict, however the file was cut.
        let heads = (0..=bytes.len()).map(|length| Head {
            bytes: &bytes[..length],
            is_whole: length == bytes.len(),
        });
        let decided = heads
            .map(|head| (rules.inspect(&facts, &head), head))
            .find(|(verdict, _)| *verdict != Verdict::NeedMore);
        let (verdict, head) = decided.expect("a whole file is decided");
        match expected {
            Ok(stored) => {
                assert_eq!(verdict, PASS, "{name} into {list:?}");
                assert_eq!(&*rules.stored_name(&facts, &head), *stored, "{name}");
            }
            Err(refusal) => {
                assert_eq!(
                    verdict,
                    Verdict::Refuse(refusal.clone()),
                    "{name} into {list:?}"
                );
            }
        }
    }
}

/// An entry that lets nothing in is a mistake in a configuration.
#[test]
fn entries_that_let_nothing_in_are_known() {
    for (list, choice, expected) in [
        ("", ActiveContent::None, &[][..]),
        (".jpg,image/*", ActiveContent::None, &[]),
        (".svg", ActiveContent::None, &[".svg"]),
        (".html,.jpg", ActiveContent::None, &[".html"]),
        (".svg", ActiveContent::Xml, &[".svg"]),
        (".gpx,text/html", ActiveContent::Xml, &["text/html"]),
        (".gpx", ActiveContent::None, &[".gpx"]),
        (".svg,text/html", ActiveContent::All, &[]),
        ("image/svg+xml", ActiveContent::None, &["image/svg+xml"]),
        (
            "application/x-ours",
            ActiveContent::None,
            &["application/x-ours"],
        ),
        ("chemistry/*,.cdx", ActiveContent::None, &["chemistry/*"]),
        (".unheardof", ActiveContent::None, &[]),
    ] {
        let accept = Accept::parse(list).expect("well formed");
        let rules = Rules::new(accept).active_content(choice);
        assert_eq!(rules.idle_entries(), expected, "{list:?} with {choice:?}");
    }
}

//! Verdicts and names over arbitrary input: properties, and tables of real formats.

mod choices;
mod content;
mod families;
mod lists;
mod random;
mod reports;
mod samples;

use proptest::{prelude::*, sample::select};
use upload_validate::{
    Accept, ActiveContent, FileFacts, HEAD_BYTES, Head, NAME_BYTES_MAX, Rules, Verdict, essence,
    extension, is_active, safe_name,
};

/// Beginnings that lead the checks far into their rules.
const BEGINNINGS: &[&[u8]] = &[
    b"",
    b"\x89PNG\r\n\x1A\n",
    b"\xFF\xD8\xFF",
    b"GIF89a",
    b"RIFF\x10\0\0\0WEBP",
    b"\0\0\0\x18ftypmp42",
    b"\0\0\0\x18ftypheic",
    b"\0\0\0\x1Cftypavif",
    b"PK\x03\x04",
    b"%PDF-1.7",
    b"\xEF\xBB\xBF%PDF",
    b"MZ",
    b"\x7FELF",
    b"ID3\x04",
    b"\0asm",
    b"CWS\x0A\0\0\0\0",
    b"CWS\nand more words",
    b"<?xml version='1.0'?><html>",
    b"\x28\xB5\x2F\xFD",
    b"\x50\x2A\x4D\x18\x04\0\0\0",
    b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
    b"\xEF\xBB\xBF <!-- c --> <html>",
    b"\xFF\xFE<\0s\0v\0g\0>\0",
    b"<?xml version='1.0'?><!-- c --><svg>",
    b"<!DOCTYPE html>",
    b"<!--",
    b"<!-- a --><!-- b -->\n# text",
    b"   \n",
    b"plain words",
    b"<r xmlns='http://www.w3.org/1999/xhtml'>",
    b"<?pi ?><r>",
    b"<b>\x01",
    b"\0\0\r\n\xFF\xFB\x90",
    b"\x1B%-12345X@PJL\r\n%!PS",
    b"\0\x05\x16\x07\0\x02",
    b"\0\0\0\x08free",
    b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0META-INF/",
];

const NAMES: &[&str] = &[
    "a",
    "a.txt",
    "a.png",
    "a.jpg",
    "a.webp",
    "a.svg",
    "a.mp4",
    "a.mov",
    "a.mp3",
    "a.pdf",
    "a.zip",
    "a.docx",
    "a.tar",
    "a.gpx",
    "a.xls",
    "a.ai",
    "a.ps",
    "a.mpg",
    "a.bmp",
    "a.zst",
    "a.kml.en",
    "a.unheardof",
    "._a.jpg",
    "~$a.docx",
    "a.heic",
    "a.dcm",
    "a.raw9",
    "a.html",
    "a.csv",
    "a.png ",
    "../a.gif",
];

const TYPES: &[&str] = &[
    "",
    "text/plain",
    "image/png",
    "IMAGE/JPEG; q=1",
    "image/svg+xml",
    "image/x-unheardof",
    "video/mp4",
    "video/quicktime",
    "audio/mpeg",
    "application/pdf",
    "application/zip",
    "application/x-tar",
    "application/octet-stream",
    "application/dicom",
    "application/x-mobipocket-ebook",
    "image/x-canon-cr2",
    "nonsense",
];

fn file() -> impl Strategy<Value = Vec<u8>> {
    let filler = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..600),
        // Around the length of a head, where a verdict must come.
        (
            select(&[b' ', b'x', 0, b'<', b'-'][..]),
            HEAD_BYTES - 40..HEAD_BYTES + 40
        )
            .prop_map(|(byte, length)| vec![byte; length]),
    ];
    (select(BEGINNINGS), filler, select(BEGINNINGS))
        .prop_map(|(beginning, filler, more)| [beginning, &filler, more].concat())
}

const CHOICES: &[ActiveContent] = &[ActiveContent::None, ActiveContent::Xml, ActiveContent::All];

fn rules() -> impl Strategy<Value = Rules> {
    let list = select(
        &[
            "",
            "",
            "image/*",
            ".gpx,.jpg,.xls,text/plain",
            "application/*,.heic",
        ][..],
    );
    (list, select(CHOICES), any::<bool>()).prop_map(|(list, choice, any_picture)| {
        let accept = Accept::parse(list).expect("well formed");
        Rules::new(accept)
            .active_content(choice)
            .any_picture(any_picture)
    })
}

/// Names made of what name rules care about.
fn odd_name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        select(
            &[
                ".",
                "..",
                "/",
                "\\",
                ":",
                " ",
                "C:",
                "-",
                "~",
                "CON",
                "nul",
                "COM1",
                ".svg",
                ".jpg",
                "a",
                "é",
                "e\u{200D}\u{0301}",
                "\u{0301}",
                "\u{034F}",
                "\u{1100}\u{1160}\u{1161}",
                "\u{3164}",
                "½",
                "／",
                "\u{2215}",
                "\u{FE0F}",
                "\u{1680}",
                "\u{FDFA}",
                "\0",
                "\u{202E}",
                "：",
            ][..]
        )
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        (select(&["x", "é", " ", ".", "漢"][..]), 1..300usize)
            .prop_map(|(text, times)| text.repeat(times)),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A verdict that came early is not taken back for any longer head.
#[test]
fn verdict_is_final() {
    for choice in CHOICES {
        let rules = Rules::new(Accept::default())
            .active_content(*choice)
            .any_picture(*choice == ActiveContent::Xml);
        for name in NAMES {
            for media_type in TYPES {
                for file in BEGINNINGS {
                    assert_final(&rules, name, media_type, file);
                }
            }
        }
    }
}

fn assert_final(rules: &Rules, name: &str, media_type: &str, file: &[u8]) {
    let facts = FileFacts {
        name,
        media_type,
        size: file.len() as u64,
    };
    let mut settled = Verdict::NeedMore;
    for length in 0..=file.len() {
        let head = Head {
            bytes: &file[..length],
            is_whole: length == file.len(),
        };
        let verdict = rules.inspect(&facts, &head);
        if settled == Verdict::NeedMore {
            settled.clone_from(&verdict);
        }
        assert_eq!(
            verdict, settled,
            "{name:?} as {media_type:?} after {length} of {file:?}"
        );
    }
    assert_ne!(settled, Verdict::NeedMore);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The first verdict of any way to cut a file into chunks is the verdict on the whole head.
    #[test]
    fn verdict_does_not_depend_on_chunks(
        rules in rules(),
        name in select(NAMES),
        media_type in select(TYPES),
        file in file(),
        mut cuts in prop::collection::vec(0..HEAD_BYTES + 100, 0..12),
        near in prop::collection::vec(0..64usize, 0..12),
    ) {
        let facts = FileFacts { name, media_type, size: file.len() as u64 };
        let ask = |length: usize| {
            let bytes = &file[..length.min(file.len())];
            rules.inspect(&facts, &Head { bytes, is_whole: bytes.len() == file.len() })
        };
        let expected = ask(file.len());
        prop_assert_ne!(&expected, &Verdict::NeedMore);

        cuts.extend(near);
        cuts.push(file.len());
        cuts.sort_unstable();
        let first = cuts.iter().map(|cut| ask(*cut)).find(|verdict| *verdict != Verdict::NeedMore);
        prop_assert_eq!(first, Some(expected));
    }

    /// A slot that takes more active content takes what a stricter one takes.
    #[test]
    fn a_wider_choice_takes_more(
        name in select(NAMES),
        media_type in select(TYPES),
        file in file(),
    ) {
        let facts = FileFacts { name, media_type, size: file.len() as u64 };
        let head = Head { bytes: &file, is_whole: true };
        let taken = CHOICES.iter().map(|choice| {
            Rules::default().active_content(*choice).inspect(&facts, &head) == Verdict::Accept
        });
        prop_assert!(taken.is_sorted());
    }

    /// An ending that no table knows hides no extension of active content.
    #[test]
    fn an_unknown_ending_hides_nothing(raw in odd_name(), ending in select(&["en", "bak", "xyzzy"][..])) {
        let safe = safe_name(&raw);
        let longer = format!("{safe}.{ending}");
        prop_assume!(longer.len() <= NAME_BYTES_MAX);
        prop_assert!(!is_active(&safe, "") || is_active(&longer, ""), "{}", longer);
    }

    /// A type that no table knows says as little as none.
    #[test]
    fn an_unknown_type_contradicts_nothing(
        list in select(&[".jpg,.png", "image/*", ".tar.gz,application/pdf", ".csv", "text/*"][..]),
        stem in "[a-z]{1,3}",
        ending in select(&[".jpg", ".png", ".gif", ".pdf", ".tar.gz", ".gz", ".csv", ".sh", ".nef"][..]),
        subtype in "x-[a-z]{12}",
        kind in select(&["image", "application", "text", "ours"][..]),
    ) {
        let accept = Accept::parse(list).expect("well formed");
        let name = stem + ending;
        let unknown = accept.permits(&name, &format!("{kind}/{subtype}"));
        prop_assert_eq!(unknown, accept.permits(&name, ""), "{} into {}", name, list);
    }

    /// A head that is complete is always decided, whatever is in it and whatever was said about it.
    #[test]
    fn anything_is_decided(
        name in any::<String>(),
        media_type in prop_oneof![any::<String>(), select(TYPES).prop_map(str::to_owned)],
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let facts = FileFacts { name: &name, media_type: &media_type, size: bytes.len() as u64 };
        let verdict = Rules::default().inspect(&facts, &Head { bytes: &bytes, is_whole: true });
        prop_assert_ne!(verdict, Verdict::NeedMore);
    }

    #[test]
    fn a_safe_name_is_one_harmless_component(raw in prop_oneof![odd_name(), any::<String>()]) {
        let name = safe_name(&raw);
        prop_assert!(!name.is_empty());
        prop_assert!(name.len() <= NAME_BYTES_MAX);
        let is_harmless = |c: char| !c.is_control() && !"/\\:<>\"|?*".contains(c);
        prop_assert!(name.chars().all(is_harmless), "{:?}", name);
        prop_assert!(!name.starts_with(['.', ' ', '-', '~']), "{:?}", name);
        prop_assert!(!name.ends_with(['.', ' ']), "{:?}", name);
    }

    #[test]
    fn a_safe_name_is_its_own_safe_name(raw in prop_oneof![odd_name(), any::<String>()]) {
        let name = safe_name(&raw);
        prop_assert_eq!(safe_name(&name), name);
    }

    /// AC-9: what is asked about the raw name is asked about the name that will be stored.
    #[test]
    fn the_gate_looks_at_the_stored_name(raw in odd_name()) {
        prop_assert_eq!(is_active(&raw, ""), is_active(&safe_name(&raw), ""));
    }

    /// RV-4: case never matters, neither in the list nor in the name nor in the type.
    #[test]
    fn permits_is_case_insensitive(
        list in select(&[".jpg,.png", "image/*", ".tar.gz,application/pdf", ".csv", "image/jpeg"][..]),
        stem in "[a-z]{0,3}",
        ending in select(&["", ".jpg", ".png", ".gif", ".pdf", ".tar.gz", ".gz", ".csv", ".jpg "][..]),
        media_type in select(TYPES),
    ) {
        let lower = Accept::parse(list).expect("well formed");
        let upper = Accept::parse(&list.to_ascii_uppercase()).expect("well formed");
        prop_assert_eq!(&lower, &upper);
        let name = stem + ending;
        let answer = lower.permits(&name, media_type);
        prop_assert_eq!(answer, lower.permits(&name.to_ascii_uppercase(), media_type));
        prop_assert_eq!(answer, lower.permits(&name, &media_type.to_ascii_uppercase()));
    }

    #[test]
    fn parsers_take_anything(text in any::<String>(), other in any::<String>()) {
        if let Ok(accept) = Accept::parse(&text) {
            let again = Accept::parse(accept.as_str());
            prop_assert_eq!(again.as_ref(), Ok(&accept));
            accept.permits(&other, &text);
        }
        extension(&text);
        if let Some(essence_of) = essence(&text) {
            let again = essence(&essence_of);
            prop_assert_eq!(again.as_ref(), Some(&essence_of));
        }
    }
}

//! The first bytes of files, as much of them as happens to be there.

use upload_validate::{
    Accept, ActiveContent, FileFacts, HEAD_BYTES, Head, Refusal, Rules, Verdict, safe_name,
};

use crate::cursor::Cursor;

/// What slots take: everything, pictures, and XML among others.
const LISTS: [&str; 4] = [
    "",
    "image/*",
    ".gpx,.xml,.jpg,text/plain",
    ".doc,.xls,.pdf,.mp3",
];

/// A byte of choices, a name and a type, a line each, and the file.
pub(super) fn run(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let choices = cursor.byte();
    let (name, media_type) = (cursor.line(), cursor.line());
    let file = cursor.rest();
    let facts = FileFacts {
        name,
        media_type,
        size: file.len() as u64,
    };
    let list = LISTS[usize::from(choices >> 4 & 3)];
    let any_picture = choices & 8 != 0;
    let rules = |choice| {
        let accept = Accept::parse(list).expect("well formed");
        Rules::new(accept)
            .active_content(choice)
            .any_picture(any_picture)
    };
    let inspect = |rules: &Rules, length: usize| {
        let bytes = file.get(..length).unwrap_or(file);
        let is_whole = bytes.len() == file.len();
        rules.inspect(&facts, &Head { bytes, is_whole })
    };
    let last = |choice| inspect(&rules(choice), file.len());
    let (none, xml, all) = (
        last(ActiveContent::None),
        last(ActiveContent::Xml),
        last(ActiveContent::All),
    );
    assert_ne!(all, Verdict::Refuse(Refusal::ActiveContent));
    // What a strict slot takes, a less strict one takes too.
    assert!(none != Verdict::Accept || xml == Verdict::Accept);
    assert!(xml != Verdict::Accept || all == Verdict::Accept);
    let (rules, last) = match choices & 3 {
        0 => (rules(ActiveContent::None), none),
        1 => (rules(ActiveContent::All), all),
        _ => (rules(ActiveContent::Xml), xml),
    };
    assert_ne!(last, Verdict::NeedMore, "a whole file is decided");
    // However it is cut: once decided, decided for good, and so is the name.
    let mut length = 0;
    let mut stored = None;
    while length < file.len().min(HEAD_BYTES) {
        let verdict = inspect(&rules, length);
        assert!(
            verdict == Verdict::NeedMore || verdict == last,
            "{length}: {verdict:?}, {last:?}"
        );
        if verdict == Verdict::Accept {
            let bytes = file.get(..length).unwrap_or(file);
            let is_whole = bytes.len() == file.len();
            let name = rules.stored_name(&facts, &Head { bytes, is_whole });
            assert_eq!(*stored.get_or_insert_with(|| name.clone()), name);
        }
        length = length * 2 + 1;
    }
    let Some(stored) = stored else {
        return;
    };
    assert_eq!(safe_name(&stored), stored, "a name that is safe");
    assert!(any_picture || stored == safe_name(name));
    if !any_picture {
        return;
    }
    // What it is stored as is what it is: asked again under that name, it is taken and not renamed.
    let again = FileFacts {
        name: &stored,
        media_type: "",
        ..facts
    };
    let head = Head {
        bytes: file,
        is_whole: true,
    };
    if stored != safe_name(name) {
        assert_eq!(rules.inspect(&again, &head), Verdict::Accept, "{stored}");
        assert_eq!(rules.stored_name(&again, &head), stored);
    }
}

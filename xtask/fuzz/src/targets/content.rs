//! The first bytes of files, as much of them as happens to be there.

use upload_validate::{Accept, FileFacts, HEAD_BYTES, Head, Refusal, Rules, Verdict};

use crate::cursor::Cursor;

/// A name and a type, a line each, and the file.
pub(super) fn run(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let allow = cursor.byte() & 1 == 1;
    let (name, media_type) = (cursor.line(), cursor.line());
    let file = cursor.rest();
    let facts = FileFacts {
        name,
        media_type,
        size: file.len() as u64,
    };
    let rules = Rules::new(Accept::default()).allow_active_content(allow);
    let inspect = |length: usize| {
        let bytes = file.get(..length).unwrap_or(file);
        let is_whole = bytes.len() == file.len();
        rules.inspect(&facts, &Head { bytes, is_whole })
    };
    let last = inspect(file.len());
    assert_ne!(last, Verdict::NeedMore, "a whole file is decided");
    if allow {
        assert_ne!(last, Verdict::Refuse(Refusal::ActiveContent));
    }
    // However it is cut: once decided, decided for good.
    let mut length = 0;
    while length < file.len().min(HEAD_BYTES) {
        let verdict = inspect(length);
        assert!(
            verdict == Verdict::NeedMore || verdict == last,
            "{length}: {verdict:?}, {last:?}"
        );
        length = length * 2 + 1;
    }
}

//! Keys of objects: what precedes them, and what a name becomes in them.

use upload_writers::testing;

use super::checkpoints::facts;
use crate::cursor::Cursor;

/// A prefix, a name and a type, a line each.
pub(super) fn run(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let (prefix, name, media_type) = (cursor.line(), cursor.line(), cursor.line());
    if !testing::is_prefix(prefix) {
        return;
    }
    // A name that was not made safe: the key may not depend on that.
    let object = testing::object(prefix, &facts("any", name, media_type));
    assert!(object.key.len() <= 1024, "{:?}", object.key);
    let tail = object.key.strip_prefix(prefix).expect("the prefix");
    let (scope, file) = tail.split_once('/').expect("a scope");
    assert_eq!(scope.len(), 16);
    assert!(!file.contains(['/', '\\']) && file.len() > 37, "{file:?}");
    assert!(
        !object.key.chars().any(char::is_control),
        "{:?}",
        object.key
    );
    for header in [&object.content_type, &object.disposition] {
        let is_sound = header.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        assert!(is_sound && !header.is_empty(), "{header:?}");
    }
    assert_eq!(
        object.disposition.matches('"').count(),
        2,
        "{:?}",
        object.disposition
    );
}

//! Accept lists, and names and types that are held against them.

use upload_validate::{ACCEPT_BYTES_MAX, Accept, essence, media_type_for_extension};

use crate::cursor::Cursor;

/// A list, a name and a type, a line each.
pub(super) fn run(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let (list, name, media_type) = (cursor.line(), cursor.line(), cursor.line());
    if let Some(essence) = essence(media_type) {
        assert!(
            essence.contains('/') && !essence.contains(';'),
            "{essence:?}"
        );
    }
    let Ok(accept) = Accept::parse(list) else {
        return;
    };
    assert!(list.len() <= ACCEPT_BYTES_MAX);
    let again = Accept::parse(accept.as_str()).expect("what clients are told is a list");
    assert_eq!(again.as_str(), accept.as_str());
    let permits = accept.permits(name, media_type);
    assert_eq!(again.permits(name, media_type), permits, "{list:?}");
    assert!(permits || !accept.is_any());
    // Case makes no difference.
    let lower = Accept::parse(&list.to_ascii_lowercase()).expect("the same list");
    assert_eq!(lower.permits(name, media_type), permits, "{list:?}");
    if let Some(known) = media_type_for_extension(name) {
        assert!(known.contains('/'));
    }
}

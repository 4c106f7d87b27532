//! Accept lists, and names and types that are held against them.

use upload_validate::{
    ACCEPT_BYTES_MAX, Accept, Rules, essence, extension, media_type_for_extension, safe_name,
};

use crate::cursor::Cursor;

/// A type that no table knows.
const UNKNOWN: &str = "application/x-unheardof-by-all";

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
    let again = Accept::parse(accept.as_str()).expect("what clients receive is a list");
    assert_eq!(again.as_str(), accept.as_str());
    let permits = accept.permits(name, media_type);
    assert_eq!(again.permits(name, media_type), permits, "{list:?}");
    assert!(permits || !accept.is_any());
    // Case makes no difference.
    let lower = Accept::parse(&list.to_ascii_lowercase()).expect("the same list");
    assert_eq!(lower.permits(name, media_type), permits, "{list:?}");
    // The stored extension has a type where only types are listed.
    let safe = safe_name(name);
    let has_extensions = accept
        .as_str()
        .split(',')
        .any(|entry| entry.starts_with('.'));
    if permits && !accept.is_any() && !has_extensions {
        let ext = extension(&safe);
        assert!(
            ext.is_none_or(|ext| media_type_for_extension(ext).is_some()),
            "{name:?}"
        );
    }
    // A type that no table knows says as little as none.
    if extension(&safe).is_some() {
        let unknown = accept.permits(name, UNKNOWN);
        assert_eq!(unknown, accept.permits(name, ""), "{name:?} into {list:?}");
    }
    for entry in Rules::new(accept.clone()).idle_entries() {
        assert!(accept.as_str().split(',').any(|listed| listed == entry));
    }
    if let Some(known) = media_type_for_extension(name) {
        assert!(known.contains('/'));
    }
}

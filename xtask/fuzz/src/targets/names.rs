//! File names.

use upload_validate::{NAME_BYTES_MAX, extension, is_active, safe_name};

pub(super) fn run(input: &[u8]) {
    let Ok(raw) = std::str::from_utf8(input) else {
        return;
    };
    let safe = safe_name(raw);
    assert!(!safe.is_empty() && safe.len() <= NAME_BYTES_MAX, "{safe:?}");
    assert!(
        !safe.contains(['/', '\\', ':', '<', '>', '"', '|', '?', '*']),
        "{safe:?}"
    );
    assert!(!safe.chars().any(char::is_control), "{safe:?}");
    assert!(!safe.starts_with(['.', ' ', '-', '~']), "{safe:?}");
    assert!(!safe.ends_with(['.', ' ']), "{safe:?}");
    assert_eq!(safe_name(&safe), safe, "the same when asked again");
    assert_eq!(
        is_active(raw, ""),
        is_active(&safe, ""),
        "judged as it is stored"
    );
    if let Some(ending) = extension(&safe) {
        assert!(safe.ends_with(ending) && !ending.contains('.'));
    }
}

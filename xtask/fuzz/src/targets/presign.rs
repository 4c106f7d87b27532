//! Bodies that ask for a signature, and what is signed.

use upload_server::testing;

pub(super) fn run(input: &[u8]) {
    let Ok((key, fields)) = testing::presign(input) else {
        return;
    };
    let tail = key.strip_prefix("uploads/").expect("the prefix");
    let (id, name) = tail.split_once('/').expect("an id");
    assert_eq!(id.len(), 36);
    assert!(!name.is_empty() && !name.contains(['/', '\\']), "{name:?}");
    assert!(!name.chars().any(char::is_control), "{name:?}");
    for value in fields.values() {
        let is_sound = value.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
        assert!(is_sound && !value.is_empty(), "{value:?}");
    }
}

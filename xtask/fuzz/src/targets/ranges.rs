//! `Range` of finished files.

use http::HeaderValue;
use upload_server::testing::{self, RangeAsked};

use crate::cursor::Cursor;

/// The length of the file, and behind a line feed the field.
pub(super) fn run(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let Ok(length) = cursor.line().parse::<u64>() else {
        return;
    };
    let Ok(wanted) = HeaderValue::from_bytes(cursor.rest()) else {
        return;
    };
    match testing::range(&wanted, length) {
        RangeAsked::Part(first, bytes) => {
            assert!(bytes > 0);
            let end = first.checked_add(bytes).expect("within the file");
            assert!(end <= length, "{first} and {bytes} of {length}");
            let plain = format!("bytes={first}-{}", end - 1);
            let plain = HeaderValue::from_str(&plain).expect("text");
            let again = testing::range(&plain, length);
            assert_eq!(again, RangeAsked::Part(first, bytes));
        }
        RangeAsked::Nothing | RangeAsked::Whole => {}
    }
}

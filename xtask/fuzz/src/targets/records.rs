//! What a store gives back (PROTOCOL RESUME-1).

use upload_core::{RECORD_BYTES_MAX, Record};

pub(super) fn run(input: &[u8]) {
    let Ok(record) = Record::decode(input) else {
        return;
    };
    assert!(input.len() <= RECORD_BYTES_MAX);
    assert!(record.offset <= record.length.max(), "RESUME-2");
    let _ = record.next_index();
    // Numbers may be longer in the form we write.
    let Ok(bytes) = record.encode() else {
        return;
    };
    let again = Record::decode(&bytes).expect("what was read is written and read");
    assert_eq!(again.offset, record.offset);
    assert_eq!(again.epoch, record.epoch);
    assert_eq!(again.lease, record.lease);
    assert_eq!(again.client_name, record.client_name);
}

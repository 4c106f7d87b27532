//! What is read and what is refused.

use super::*;

pub(crate) fn sample() -> Record {
    Record {
        layout: 1,
        slot: "video".into(),
        client_name: "a.mp4".into(),
        stored_name: None,
        folder: None,
        client_type: "video/mp4".into(),
        length: Length::Known(100),
        ends_by_word: false,
        relative_path: None,
        last_modified: None,
        meta: Map::new(),
        chunk_size: 10,
        phase: RecordPhase::Receiving,
        offset: 25,
        head: Bytes::new(),
        crc32c: Some(7),
        file_crc32c: None,
        opened: true,
        checkpoint: Some(Value::from("t")),
        epoch: 1,
        lease: None,
        result: Value::Null,
        unclaimed: None,
        birth: "here.1.1".into(),
        created_unix_ms: 0,
        updated_unix_ms: 0,
    }
}

/// RESUME-1: what is written is what is read.
#[test]
fn round_trip() {
    let record = sample();
    let bytes = record.encode().expect("small record");
    assert_eq!(Record::decode(&bytes).expect("own record"), record);
    assert_eq!(record.next_index(), 2);
}

/// RESUME-1: what only newer versions write is left out where it says nothing, and may be missing.
#[test]
fn ending_by_word_is_optional() {
    let mut record = sample();
    let text = |record: &Record| {
        let bytes = record.encode().expect("small record");
        assert_eq!(Record::decode(&bytes).expect("own record"), *record);
        String::from_utf8(bytes).expect("JSON")
    };
    assert!(!text(&record).contains("ends_by_word"));
    record.ends_by_word = true;
    assert!(text(&record).contains(r#""ends_by_word":true"#));
    assert_eq!(record.layout, 1, "versions before continue it");
}

/// RESUME-2: the first bytes are as many as the offset says, and nothing but they need no writer.
#[test]
fn a_head_is_what_the_offset_says() {
    let mut record = sample();
    record.layout = Record::layout(record.phase, record.length, b"abc");
    assert_eq!(record.layout, 2);
    (record.opened, record.head, record.offset) = (false, Bytes::from_static(b"abc"), 3);
    let bytes = record.encode().expect("small record");
    assert_eq!(Record::decode(&bytes).expect("own record"), record);
    record.offset = 4;
    let bytes = record.encode().expect("small record");
    assert!(Record::decode(&bytes).is_err());
}

/// RESUME-1: past 16 KiB there is no record.
#[test]
fn a_record_is_bounded() {
    let mut record = sample();
    record.checkpoint = Some(Value::from("x".repeat(RECORD_BYTES_MAX)));
    assert!(matches!(record.encode(), Err(RecordError::TooLarge(_))));
}

#[test]
fn nonsense_is_refused() {
    let spoil: [fn(&mut Record); 3] = [
        |r| r.offset = 101,
        |r| r.chunk_size = 0,
        |r| r.opened = false,
    ];
    for spoil in spoil {
        let mut record = sample();
        spoil(&mut record);
        let bytes = record.encode().expect("small record");
        assert!(matches!(
            Record::decode(&bytes),
            Err(RecordError::Inconsistent)
        ));
    }
    let mut record = sample();
    record.layout = 9;
    let bytes = record.encode().expect("small record");
    assert!(matches!(
        Record::decode(&bytes),
        Err(RecordError::Layout(9))
    ));
    assert!(matches!(
        Record::decode(b"{"),
        Err(RecordError::Malformed(_))
    ));
}

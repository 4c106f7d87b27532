//! RESUME-1: records that earlier versions wrote.
//!
//! `records/layout-1` holds the bytes that the first version wrote at each stage of an upload. Every
//! later version must continue from them. Set `UPDATE_RECORDS=1` to write them anew, and only where
//! the layout changed on purpose.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use upload_core::{CheckpointChange, DisconnectReason, Door, WriterEvent};

use crate::rig::{File, Mood, Rig, up};

const WHOLE: &str = "abcdefghijkl";

/// What the records of a socket have in addition since then: its uploads end by word. The vectors are without it, and
/// versions that do not know it ignore it.
const ADDED: &str = r#""ends_by_word":true,"#;

/// Returns where a record lies.
fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/protocol/records/layout-1")
        .join(format!("{name}.json"))
}

/// Registers an upload that uses every field of a registration.
fn registered() -> Rig {
    let mut rig = Rig::new();
    rig.room.borrow_mut().clock_ms = 5_000;
    rig.register_as(
        1,
        json!({
            "upload_name": "keep", "client_size": WHOLE.len(), "client_name": "f\u{fc}r Anna.txt",
            "client_id": "tab", "last_modified": 1_600_000_000_123_u64,
            "relative_path": "letters/2026/f\u{fc}r Anna.txt", "meta": {"album": [1, {"b": null}]},
        }),
    );
    rig
}

/// Registers the largest upload that still keeps a record.
fn largest() -> Rig {
    let mut rig = Rig::new();
    rig.register_as(
        1,
        json!({
            "upload_name": "keep", "client_size": WHOLE.len(), "client_name": "n".repeat(4096),
            "client_type": format!("text/{}", "t".repeat(100)), "client_id": "i".repeat(128),
            "relative_path": "p".repeat(4096), "meta": {"m": "m".repeat(4_000)},
        }),
    );
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh");
    let entry = rig.session.entries().next().expect("it is held").id;
    let now = rig.now();
    let wrote = WriterEvent::Wrote {
        received: 8,
        durable: 8,
        buffered: 0,
        checkpoint: CheckpointChange::New(json!({"file": 0, "pad": "x".repeat(3_300)})),
    };
    rig.session.handle_writer(entry, wrote, now);
    rig.pass(200);
    rig
}

/// Returns the bytes that the store holds at each stage.
fn stages() -> Vec<(&'static str, Vec<u8>)> {
    let mut rigs = Vec::new();
    rigs.push(("registered", registered()));
    for (name, step) in [("receiving-at-4", 4), ("receiving-at-10", 5)] {
        let mut rig = registered();
        rig.room.borrow_mut().durable_step = step;
        rig.chunk(1, 0, "abcd").pass(200);
        if step == 5 {
            rig.chunk(1, 1, "e").chunk(1, 2, "fghi").chunk(1, 3, "j");
            rig.pass(200);
        }
        rigs.push((name, rig));
    }
    let mut rig = registered();
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh");
    rig.disconnect(DisconnectReason::Lost);
    rigs.push(("detached-at-8", rig));
    let mut rig = Rig::with(|config| config.checksum = false);
    rig.register_as(
        1,
        json!({"upload_name": "keep", "client_size": WHOLE.len()}),
    );
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").pass(200);
    rigs.push(("without-checksum-at-8", rig));
    let all = |rig: &mut Rig| {
        rig.chunk(1, 0, "abcd")
            .chunk(1, 1, "efgh")
            .chunk(1, 2, "ijkl");
        rig.complete(1);
    };
    let mut rig = registered();
    rig.room.borrow_mut().close_mood = Mood::Silent;
    all(&mut rig);
    rigs.push(("completing", rig));
    let mut rig = registered();
    rig.room.borrow_mut().result = json!({"path": "keep/1.txt", "size": 12});
    all(&mut rig);
    rigs.push(("complete", rig));
    rigs.push(("largest", largest()));
    rigs.into_iter()
        .map(|(name, rig)| {
            let bytes = rig.room.borrow().store[&up(1)].0.clone();
            (name, bytes)
        })
        .collect()
}

/// RESUME-1: what is written today is what the vectors of its layout hold, and what was added since.
#[test]
fn records_are_written_as_their_layout_says() {
    for (name, bytes) in stages() {
        let path = path(name);
        let written = String::from_utf8(bytes).expect("JSON");
        // How a complete file came to its end is no matter any more.
        assert_eq!(written.contains(ADDED), name != "complete", "{name}");
        let written = written.replace(ADDED, "");
        if std::env::var_os("UPDATE_RECORDS").is_some() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
            fs::write(&path, &written).expect("it can be written");
        }
        let kept = fs::read(&path).expect("the vector is committed");
        assert_eq!(written, String::from_utf8(kept).expect("JSON"), "{name}");
    }
}

/// RESUME-1, RESUME-3: an upload continues from the record that an earlier version wrote, and stores
/// exactly its file.
#[test]
fn a_record_of_an_earlier_version_is_resumed() {
    for (name, durable, expected) in [
        ("registered", 0, "1:resumed 0@0"),
        ("receiving-at-4", 4, "1:resumed 4@1"),
        ("receiving-at-10", 10, "1:resumed 10@2"),
        ("detached-at-8", 8, "1:resumed 8@2"),
        ("without-checksum-at-8", 8, "1:resumed 8@2"),
        ("completing", 12, "1:resumed 12@3"),
        ("largest", 8, "1:resumed 8@2"),
    ] {
        let mut rig = Rig::with(|config| {
            config.holder.boot = "later".into();
            config.checksum = name != "without-checksum-at-8";
        });
        let record = fs::read(path(name)).expect("the vector is committed");
        {
            let mut room = rig.room.borrow_mut();
            room.clock_ms = 100_000;
            room.store.insert(up(1), (record, 1));
            if durable > 0 {
                room.files.push(File {
                    bytes: WHOLE.as_bytes()[..durable].to_vec(),
                    ..File::default()
                });
            }
        }
        assert_eq!(rig.resume(1, None).sent(), [expected], "{name}");
        let next = u32::try_from(durable / 4).expect("small");
        for (index, data) in (next..).zip(WHOLE.as_bytes()[durable..].chunks(4)) {
            rig.chunk(1, index, std::str::from_utf8(data).expect("text"));
        }
        rig.complete_with(1, Some(crc32c::crc32c(WHOLE.as_bytes())));
        let ending = rig.sent().pop().expect("an ending");
        assert!(ending.starts_with("1:complete 12@"), "{name}: {ending}");
        assert_eq!(rig.kept(), WHOLE, "{name}");
        assert_eq!(rig.published(), 1, "{name}");
    }
}

/// COMPLETE-4: the receipt that an earlier version wrote is answered.
#[test]
fn a_receipt_of_an_earlier_version_is_answered() {
    let mut rig = Rig::new();
    let record = fs::read(path("complete")).expect("the vector is committed");
    rig.room.borrow_mut().store.insert(up(1), (record, 1));
    let snapshot = rig.complete(1).snapshot();
    assert_eq!(
        snapshot.result,
        Some(json!({"path": "keep/1.txt", "size": 12}))
    );
    let crc = format!("{:08x}", crc32c::crc32c(WHOLE.as_bytes()));
    assert_eq!(snapshot.crc32c, Some(crc));
    let value: Value = json!({"stored": true});
    assert_ne!(
        snapshot.result,
        Some(value),
        "not what the rig's writers return"
    );
}

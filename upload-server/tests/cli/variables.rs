//! Variables that are about slots.

use std::fs;

use crate::{dir, run, text};

/// The slot of the file is meant whose name differs in capitals and hyphens alone; another slot, which would take
/// anything, is not made.
#[test]
fn a_variable_is_about_a_slot_of_the_file() {
    let dir = dir();
    let file = "[slots.my-video]\nmax_entries = 2\n[slots.Docs]\nmax_entries = 3\n";
    fs::write(dir.path().join("uploads.toml"), file).expect("written");
    let words = ["check-config", "-c", "uploads.toml"];
    let check = |env: &[(&str, &str)]| run(dir.path(), &words, env);
    let good = check(&[
        ("UPLOAD_SLOTS__MY_VIDEO__MAX_FILE_SIZE", "1MiB"),
        ("UPLOAD_SLOTS__DOCS__MAX_FILE_SIZE", "2MiB"),
    ]);
    let out = text(&good.stdout);
    assert!(good.status.success(), "{out}{}", text(&good.stderr));
    for part in ["2 x 1048576 bytes", "3 x 2097152 bytes"] {
        assert!(out.contains(part), "{out}");
    }
    assert!(!out.contains("my_video"), "{out}");
    let bad = check(&[("UPLOAD_SLOTS__MY_VIDOE__MAX_FILE_SIZE", "1MiB")]);
    let err = text(&bad.stderr);
    assert!(!bad.status.success(), "{}", text(&bad.stdout));
    for part in [
        "slots.my_vidoe: ",
        "UPLOAD_SLOTS__MY_VIDOE__MAX_FILE_SIZE",
        "Docs, my-video",
    ] {
        assert!(err.contains(part), "{err}");
    }
}

/// Without slots of a file, variables make them.
#[test]
fn variables_make_slots_where_no_file_does() {
    let dir = dir();
    let env = [("UPLOAD_SLOTS__NEW_ONE__MAX_ENTRIES", "4")];
    let checked = run(dir.path(), &["check-config"], &env);
    let out = text(&checked.stdout);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(out.contains("new_one"), "{out}");
}

//! Options that make no slot, and what slots ask.

use upload_writers::DiscardWriterFactory;

use upload_proto::Code;

use super::*;

fn defaults() -> SlotDefaults {
    SlotDefaults {
        writers: Arc::new(DiscardWriterFactory),
        data_dir: "files".into(),
        authorize: None,
        on_upload_complete: None,
        shared_store: false,
    }
}

fn slot(options: SlotOptions) -> Slot {
    options
        .into_slot("avatar", &defaults())
        .expect("good options")
}

#[test]
fn names_that_would_leave_a_directory_are_refused() {
    let name = |name: &str| SlotOptions::new().into_slot(name, &defaults()).map(|_| ());
    assert!(name("photo-album_2").is_ok());
    for bad in ["", "..", "a/b", "a.b", "a b", "ä", &"x".repeat(65)] {
        assert!(matches!(name(bad), Err(SlotError::Name)), "{bad}");
    }
}

#[test]
fn bounds_are_checked() {
    let build = |options: SlotOptions| options.into_slot("s", &defaults()).map(|_| ());
    let options = SlotOptions::new;
    assert!(matches!(
        build(options().max_entries(0)),
        Err(SlotError::MaxEntries)
    ));
    assert!(matches!(
        build(options().chunk_size(0)),
        Err(SlotError::ChunkSize)
    ));
    let over = options().chunk_size(CHUNK_BYTES_MAX + 1);
    assert!(matches!(build(over), Err(SlotError::ChunkSize)));
    let over = options().max_file_size(limits::SIZE_MAX + 1);
    assert!(matches!(build(over), Err(SlotError::MaxFileSize)));
    assert!(build(options().max_file_size(limits::SIZE_MAX)).is_ok());
}

/// MSG-1a: active content is refused before the type is looked at.
#[test]
fn msg_1a_the_screen_asks_the_rules() {
    let screen = slot(SlotOptions::new().accept(".png")).rules.screen.clone();
    assert_eq!(screen.screen("a.png", "image/png"), Ok(()));
    assert_eq!(
        screen.screen("a.gif", "image/gif"),
        Err(Code::TypeNotAccepted)
    );
    assert_eq!(screen.screen("a.svg", ""), Err(Code::ActiveContent));
}

/// CTRL-3: completion consumes where the slot has a handler of it.
#[test]
fn ctrl_3_a_completion_handler_consumes() {
    assert!(!slot(SlotOptions::new()).rules.consume_on_complete);
    let handled = SlotOptions::new().on_complete(|_| async {});
    assert!(slot(handled.clone()).rules.consume_on_complete);
    assert!(
        !slot(handled.consume_on_complete(false))
            .rules
            .consume_on_complete
    );
}

#[test]
fn only_files_below_data_dir_can_be_read_back() {
    assert_eq!(slot(SlotOptions::new()).files, Some("files".into()));
    let own = SlotOptions::new().writer(DiscardWriterFactory);
    assert_eq!(slot(own).files, None);
}

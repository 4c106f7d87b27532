//! What a factory finds out before it makes a writer.

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink},
};

use bytes::Bytes;
use upload_writers::{
    AbortReason, BoxWriter, FileSetupError, FileWriterConfig, FileWriterFactory, WriteErrorKind,
    WriterFactory,
};

use super::{Place, facts, write};

/// A user who is neither root nor the one the tests run as.
const STRANGER: u32 = 61_234;

#[test]
fn makes_its_directories_and_leaves_no_probe() {
    let dir = tempfile::tempdir().expect("temp dir");
    let data_dir = dir.path().join("a/b");
    let factory = FileWriterFactory::new(FileWriterConfig::new(&data_dir)).expect("sets up");
    assert!(factory.config().data_dir.is_absolute());
    let names: Vec<_> = fs::read_dir(&data_dir).expect("lists").collect();
    assert_eq!(names.len(), 1, "only the directory of files under way");
    let names: Vec<_> = fs::read_dir(data_dir.join(".tmp"))
        .expect("lists")
        .collect();
    assert_eq!(names.len(), 0);
}

#[test]
fn a_file_in_the_way_is_named() {
    let dir = tempfile::tempdir().expect("temp dir");
    let data_dir = dir.path().join("taken");
    fs::write(&data_dir, "x").expect("writes");
    let error = FileWriterFactory::new(FileWriterConfig::new(&data_dir)).expect_err("no directory");
    assert!(matches!(error, FileSetupError::Directory { .. }), "{error}");
    assert!(error.to_string().contains("taken"), "{error}");
}

/// Files cannot be published by a rename from one file system to another.
#[cfg(target_os = "linux")]
#[test]
fn directories_on_two_file_systems_are_refused() {
    let memory = tempfile::tempdir_in("/dev/shm").expect("Linux has /dev/shm");
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temp dir");
    let mut config = FileWriterConfig::new(disk.path());
    config.temp_dir = memory.path().to_owned();
    let error = FileWriterFactory::new(config).expect_err("no rename between them");
    assert!(matches!(error, FileSetupError::Apart { .. }), "{error}");
    let left = fs::read_dir(memory.path()).expect("lists").count();
    assert_eq!(left, 0, "the probe is removed");
}

/// A slot whose directory is on another disk is refused before the first byte, not after the last one.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_slot_on_another_file_system_is_refused_at_once() {
    let memory = tempfile::tempdir_in("/dev/shm").expect("Linux has /dev/shm");
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temp dir");
    let factory = FileWriterFactory::new(FileWriterConfig::new(disk.path())).expect("sets up");
    symlink(memory.path(), disk.path().join("docs")).expect("links");
    let refused = factory.create(&facts(5, true)).await.err();
    let refused = refused.expect("no rename between them");
    let why = std::error::Error::source(&refused).expect("the log has it");
    assert!(why.to_string().contains("another file system"), "{why}");
    for dir in [memory.path(), factory.config().temp_dir.as_path()] {
        assert_eq!(fs::read_dir(dir).expect("lists").count(), 0);
    }
}

/// A link to a directory of the same file system, made by the operator, is used.
#[tokio::test]
async fn a_slot_may_be_a_link() {
    let place = Place::new(|_| {});
    fs::create_dir(place.dir.path().join("elsewhere")).expect("makes");
    symlink("elsewhere", place.dir.path().join("docs")).expect("links");
    let mut writer = place.opened(&facts(5, true)).await;
    write(&mut writer, "hello").await;
    let result = writer.close().await.expect("closes");
    assert_eq!(place.read(&result), b"hello");
}

/// One that another user made may lead anywhere. The test needs the right to change owners, so root.
#[tokio::test]
async fn a_link_of_another_user_is_not_followed() {
    let place = Place::new(|_| {});
    fs::create_dir(place.dir.path().join("elsewhere")).expect("makes");
    let link = place.dir.path().join("docs");
    symlink("elsewhere", &link).expect("links");
    lchown(&link, Some(STRANGER), None).expect("needs CAP_CHOWN: run it as root");
    let refused = place.factory.create(&facts(5, true)).await.err();
    refused.expect("is not followed");
    assert_eq!(place.names("elsewhere"), [""; 0]);
}

/// A user who can write to the directory of unfinished files can have any file published in another's place.
#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut config = FileWriterConfig::new(dir.path());
    config.temp_dir = dir.path().join("open");
    fs::create_dir(&config.temp_dir).expect("makes");
    let set = |mode| fs::set_permissions(&config.temp_dir, fs::Permissions::from_mode(mode));
    set(0o777).expect("sets");
    let refused = FileWriterFactory::new(config.clone()).expect_err("all may write to it");
    assert!(matches!(refused, FileSetupError::Open { .. }), "{refused}");
    set(0o770).expect("sets");
    FileWriterFactory::new(config.clone()).expect("the operator gave it to a group");
    lchown(&config.temp_dir, Some(STRANGER), None).expect("needs CAP_CHOWN: run it as root");
    let refused = FileWriterFactory::new(config).expect_err("it is another user's");
    assert!(matches!(refused, FileSetupError::Open { .. }), "{refused}");
}

/// Names of private files are not for everybody to list.
#[tokio::test]
async fn others_cannot_list_a_slot() {
    let place = Place::new(|_| {});
    let writer = place.opened(&facts(5, true)).await;
    let mode = fs::metadata(place.dir.path().join("docs"))
        .expect("is there")
        .mode();
    assert_eq!(mode & 0o066, 0, "{mode:o}");
    writer.abort(&AbortReason::Cancelled).await;
}

/// COMPLETE-3: a file, or a link, that was put in the place of the one under way is not the upload.
#[tokio::test]
async fn another_file_is_not_published() {
    let place = Place::new(|_| {});
    let mut writer = place.opened(&facts(5, true)).await;
    write(&mut writer, "hello").await;
    let temp = place.temp();
    fs::remove_file(&temp).expect("removes");
    symlink("/etc/hostname", &temp).expect("links");
    writer.close().await.expect_err("it is another file");
}

/// What is free is for files that have begun.
#[tokio::test]
async fn no_file_begins_where_too_little_is_free() {
    let place = Place::new(|_| {});
    let mut begun = place.opened(&facts(3, true)).await;
    let full = Place::new(|config| config.min_free = u64::MAX);
    let refused = full.factory.create(&facts(3, true)).await.map(|_| ());
    let error = refused.expect_err("full");
    assert_eq!(error.kind, WriteErrorKind::Full);
    assert!(error.is_temporary(), "it passes");
    // A file system without room refuses by itself; this one is above the floor.
    let roomy = Place::new(|config| config.min_free = 1);
    roomy.opened(&facts(3, true)).await;
    write(&mut begun, "abc").await;
    begun.close().await.expect("what has begun is stored");
}

/// Files under way share so much room, those that were left included, and leftovers that nobody can continue
/// give way.
#[tokio::test]
async fn unfinished_files_have_so_much_room_together() {
    const MIB: usize = 1 << 20;
    let place = Place::new(|config| {
        config.max_unfinished_bytes = Some(8 * MIB as u64);
        config.preallocate = false;
    });
    let facts = |upload: u8| {
        let mut facts = facts(16 * MIB as u64, true);
        facts.upload_id = format!("00000000-0000-4000-8000-0000000000{upload:02}");
        facts
    };
    let mib = async |writer: &mut BoxWriter| {
        let mut piece = VecDeque::from([Bytes::from(vec![7; MIB])]);
        writer.write_chunks(&mut piece).await.map(|_| ())
    };
    let mut one = place.opened(&facts(1)).await;
    for _ in 0..7 {
        mib(&mut one).await.expect("there is room");
    }
    let mut two = place.opened(&facts(2)).await;
    mib(&mut two).await.expect("there is room");
    let full = mib(&mut two).await.expect_err("no room is left");
    assert_eq!(full.kind, WriteErrorKind::Full);
    assert!(full.is_temporary(), "it passes");
    let full = place.factory.create(&facts(3)).await.map(|_| ());
    assert_eq!(full.expect_err("no room").kind, WriteErrorKind::Full);
    // What was left by a server that was killed counts; what was thrown away does not any more.
    let temp_dir = place.factory.config().temp_dir.clone();
    let orphan = "00000000-0000-4000-8000-000000000009.1.once.part";
    fs::write(temp_dir.join(orphan), vec![7; 7 * MIB]).expect("written");
    mib(&mut two).await.expect_err("no room is left");
    one.abort(&AbortReason::Cancelled).await;
    mib(&mut two).await.expect_err("the leftover has the room");
    place.opened(&facts(4)).await;
    assert!(!temp_dir.join(orphan).exists(), "it gave way");
    mib(&mut two).await.expect("there is room again");
}

//! What a factory finds out before it makes a writer.

use std::fs;

use upload_writers::{FileSetupError, FileWriterConfig, FileWriterFactory};

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

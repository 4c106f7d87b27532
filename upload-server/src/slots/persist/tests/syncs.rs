//! What is made durable, when, and what a folder changes that cannot be synced.

use super::*;

#[test]
fn bytes_are_synced_before_the_name_and_folders_after_it() {
    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let from = dir.path().join("from");
    for (root, drafts) in [(dir.path(), 0), (far.path(), 1)] {
        fs::write(&from, b"bytes").expect("written");
        let folder = root.join("a/b");
        SYNCED.take();
        moved(&from, &folder.join("to"), Existing::Keep).expect("moved");
        let synced = SYNCED.take();
        let made = [folder_of(root), root, &root.join("a")];
        assert_eq!(synced[..3], made, "above those that were there or made");
        assert_eq!(synced[3], from);
        let (copies, last) = synced[4..].split_at(drafts);
        assert!(copies.iter().all(|draft| draft.parent() == Some(&folder)));
        let mut expected = vec![folder.clone(), dir.path().to_owned()];
        // The name of the draft goes last.
        expected.extend((drafts > 0).then_some(folder));
        assert_eq!(last, expected);
    }
}

/// A folder that is there may be one that a process made and did not sync before it died.
#[test]
fn the_name_of_a_folder_that_was_there_is_synced_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, folder) = (dir.path().join("from"), dir.path().join("a/b"));
    fs::create_dir_all(&folder).expect("made");
    for is_first in [true, false] {
        fs::write(&from, b"bytes").expect("written");
        SYNCED.take();
        moved(&from, &folder.join("to"), Existing::Replace).expect("moved");
        let is_synced = SYNCED.take()[0] == dir.path().join("a");
        assert_eq!(is_synced, is_first, "once, and before its file");
    }
}

/// A file system that cannot sync folders is no reason to fail once the file has moved; a disk that failed is.
#[cfg(unix)]
#[test]
fn folders_that_cannot_be_synced_are_left() {
    use rustix::io::Errno;

    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let from = dir.path().join("from");
    for folder in [dir.path(), far.path()] {
        let to = folder.join("to");
        for (error, is_left) in [
            (Errno::INVAL, true),
            (Errno::NOSYS, true),
            (Errno::OPNOTSUPP, true),
            (Errno::IO, false),
        ] {
            fs::write(&from, b"bytes").expect("written");
            REFUSED.set(Some((folder.to_owned(), error.raw_os_error())));
            let moved = moved(&from, &to, Existing::Replace);
            let again = sync_moved(&to, &from, &[]);
            REFUSED.take();
            assert_eq!(moved.is_ok(), is_left, "{error}");
            assert_eq!(again.is_ok(), is_left, "{error}");
            assert_eq!(fs::read(&to).expect("moved"), b"bytes");
        }
        sync_moved(&to, &from, &[]).expect("the disk is well again");
    }
}

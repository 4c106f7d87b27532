//! Moves on one file system and to another one, whole and interrupted ones.

use std::{cell::RefCell, io::Write, thread};

use super::*;

mod syncs;

thread_local! {
    /// What this thread made durable, in its order.
    pub(in crate::slots) static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    /// What this thread cannot sync, and the number of the error.
    static REFUSED: RefCell<Option<(PathBuf, i32)>> = const { RefCell::new(None) };
}

/// Notes that this thread syncs something, and fails where it is to.
pub(super) fn syncs(path: &Path) -> io::Result<()> {
    SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
    REFUSED.with_borrow(|refused| match refused {
        Some((folder, error)) if folder == path => Err(io::Error::from_raw_os_error(*error)),
        Some(_) | None => Ok(()),
    })
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.into_string().expect("text"))
        .collect()
}

/// Moves as the first attempt, which removes what one before it left.
fn moved(from: &Path, to: &Path, existing: Existing) -> io::Result<()> {
    let drafts = Drafts::of(from, 1);
    drafts.clear_near(to);
    move_file(from, to, existing, &drafts)
}

/// A folder on another file system than the one of temporary files.
fn elsewhere() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("/dev/shm is another file system")
}

#[test]
fn folders_are_made_and_nothing_is_replaced_unless_told() {
    let dir = tempfile::tempdir().expect("a directory");
    for far in [None, Some(elsewhere())] {
        let root = far.as_ref().unwrap_or(&dir).path();
        let (from, to) = (dir.path().join("from"), root.join("a/b/to"));
        fs::write(&from, b"first").expect("written");
        moved(&from, &to, Existing::Keep).expect("moved");
        assert_eq!(fs::read(&to).expect("there"), b"first");
        assert!(!from.exists());

        fs::write(&from, b"second").expect("written");
        let kept = moved(&from, &to, Existing::Keep).expect_err("kept");
        assert_eq!(kept.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).expect("there"), b"first");
        assert_eq!(fs::read(&from).expect("still there"), b"second");

        moved(&from, &to, Existing::Replace).expect("moved");
        assert_eq!(fs::read(&to).expect("there"), b"second");
        assert_eq!(names(&root.join("a/b")), ["to"], "no draft is left");
        assert!(!from.exists());
    }
}

/// What a process leaves that dies between the new name and the removal of the old one.
#[test]
fn a_move_that_was_stopped_half_way_is_finished() {
    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let from = dir.path().join("from");
    for root in [dir.path(), far.path()] {
        let to = root.join("a/to");
        fs::create_dir_all(folder_of(&to)).expect("made");
        let left = Drafts::of(&from, 0).create(folder_of(&to));
        let (_, mut left) = left.expect("a draft that is left");
        left.write_all(b"half").expect("written");
        for (there, is_same) in [("bytes", true), ("bytea", false), ("byte", false)] {
            fs::write(&from, "bytes").expect("written");
            fs::write(&to, there).expect("written");
            let moved = moved(&from, &to, Existing::KeepUnlessSame);
            assert_eq!(moved.is_ok(), is_same, "{there}");
            assert_eq!(from.exists(), !is_same);
            assert_eq!(fs::read(&to).expect("there"), there.as_bytes());
        }
        fs::remove_file(&to).expect("removed");
        moved(&from, &to, Existing::KeepUnlessSame).expect("nothing was there");
        assert!(!from.exists());
        assert_eq!(names(folder_of(&to)), ["to"], "no draft is left");
    }
}

#[cfg(unix)]
#[test]
fn a_copy_has_the_rights_of_the_file() {
    use std::os::unix::fs::PermissionsExt;

    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let (from, to) = (dir.path().join("from"), far.path().join("to"));
    fs::write(&from, b"bytes").expect("written");
    fs::set_permissions(&from, fs::Permissions::from_mode(0o640)).expect("changed");
    moved(&from, &to, Existing::Keep).expect("moved");
    let mode = fs::metadata(&to).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn a_file_that_cannot_be_moved_stays() {
    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let from = dir.path().join("from");
    fs::write(&from, b"bytes").expect("written");
    let folder = far.path().join("taken");
    fs::create_dir(&folder).expect("made");
    for existing in [Existing::Keep, Existing::KeepUnlessSame, Existing::Replace] {
        moved(&from, &folder, existing).expect_err("a folder is there");
        assert_eq!(fs::read(&from).expect("still there"), b"bytes");
        assert_eq!(names(far.path()), ["taken"]);
    }
}

#[test]
fn the_folder_of_a_bare_name_is_here() {
    assert_eq!(folder_of(Path::new("name")), Path::new("."));
    assert_eq!(folder_of(Path::new("a/name")), Path::new("a"));
    assert_eq!(folder_of(Path::new("/name")), Path::new("/"));
}

/// A move by a second name that dies before it removes the first: the system leaves both as they are.
#[cfg(unix)]
#[test]
fn two_names_of_one_file_are_one_afterwards() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    for existing in [Existing::Replace, Existing::KeepUnlessSame] {
        fs::write(&from, b"bytes").expect("written");
        fs::hard_link(&from, &to).expect("linked");
        moved(&from, &to, existing).expect("moved");
        assert_eq!(names(dir.path()), ["to"], "{existing:?}");
        assert_eq!(fs::read(&to).expect("there"), b"bytes");
        fs::remove_file(&to).expect("removed");
    }
    fs::write(&from, b"bytes").expect("written");
    fs::hard_link(&from, &to).expect("linked");
    let kept = moved(&from, &to, Existing::Keep).expect_err("somebody linked it");
    assert_eq!(kept.kind(), ErrorKind::AlreadyExists);
    assert!(from.exists() && to.exists());
}

/// The only name of a file is no second one, however it is spelled.
#[cfg(unix)]
#[test]
fn a_file_that_is_moved_to_itself_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, link) = (dir.path().join("from"), dir.path().join("link"));
    std::os::unix::fs::symlink(dir.path(), &link).expect("linked");
    fs::write(&from, b"bytes").expect("written");
    fs::hard_link(&from, dir.path().join("of the application")).expect("linked");
    for to in [from.clone(), link.join("from"), link.join("./from")] {
        moved(&from, &to, Existing::Replace).expect("it is there");
        assert_eq!(
            fs::read(&from).expect("there"),
            b"bytes",
            "{}",
            to.display()
        );
    }
}

/// What is at the target may be no file of ours, and even one that is never read to its end.
#[cfg(target_os = "linux")]
#[test]
fn links_and_pipes_at_the_target_are_kept() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let from = dir.path().join("from");
    for root in [dir.path(), far.path()] {
        let (pipe, link, same) = (root.join("pipe"), root.join("link"), root.join("same"));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).expect("made");
        fs::write(&same, b"bytes").expect("written");
        std::os::unix::fs::symlink(&same, &link).expect("linked");
        fs::write(&from, b"bytes").expect("written");
        for to in [&pipe, &link] {
            for existing in [Existing::Keep, Existing::KeepUnlessSame] {
                let kept = moved(&from, to, existing).expect_err("it is kept");
                assert_eq!(kept.kind(), ErrorKind::AlreadyExists, "{}", to.display());
                assert!(from.exists());
            }
        }
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    }
}

/// Under the name of a draft there may be a link to what must not be written, or a folder.
#[cfg(unix)]
#[test]
fn a_draft_is_never_written_through_a_link() {
    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let (from, to) = (dir.path().join("from"), far.path().join("to"));
    let victim = dir.path().join("victim");
    fs::write(&victim, b"of others").expect("written");
    let draft = far.path().join(Drafts::of(&from, 1).name(1));
    for is_link in [true, false] {
        match is_link {
            true => std::os::unix::fs::symlink(&victim, &draft).expect("linked"),
            false => fs::create_dir(&draft).expect("made"),
        }
        fs::write(&from, b"bytes").expect("written");
        moved(&from, &to, Existing::Replace).expect("moved");
        assert_eq!(fs::read(&to).expect("there"), b"bytes");
        assert!(!fs::symlink_metadata(&to).expect("there").is_symlink());
        assert_eq!(fs::read(&victim).expect("there"), b"of others");
        assert_eq!(names(far.path()).len(), 2, "only what was there is left");
        match is_link {
            true => fs::remove_file(&draft).expect("removed"),
            false => fs::remove_dir(&draft).expect("removed"),
        }
    }
}

/// A process whose lease ended copies while the next attempt does: what it names is whole.
#[test]
fn attempts_that_copy_at_once_leave_one_whole_file() {
    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let (from, to) = (dir.path().join("from"), far.path().join("to"));
    let content = vec![7; 4 << 20];
    for round in 0..12 {
        fs::write(&from, &content).expect("written");
        let attempts = [1, 2, 3].map(|attempt| {
            let (from, to) = (from.clone(), to.clone());
            thread::spawn(move || {
                let drafts = Drafts::of(&from, attempt);
                drafts.clear_near(&to);
                move_file(&from, &to, Existing::Replace, &drafts)
            })
        });
        let mut moved = 0;
        for attempt in attempts {
            // At every moment of which one sees the name.
            if let Ok(there) = fs::read(&to) {
                assert!(there == content, "round {round}: half a file is named");
            }
            moved += u32::from(attempt.join().expect("no panic").is_ok());
        }
        assert!(
            moved > 0,
            "round {round}: the last attempt's draft is nobody else's"
        );
        assert!(fs::read(&to).expect("there") == content, "round {round}");
        assert!(!from.exists());
        Drafts::of(&from, 3).clear_near(&to);
        assert_eq!(names(far.path()), ["to"]);
        fs::remove_file(&to).expect("removed");
    }
}

/// A process that dies once its copy has a name, and before the file that it copied is gone: the next attempt
/// names another target.
#[cfg(unix)]
#[test]
fn a_copy_whose_attempt_died_is_removed_once_the_file_is_elsewhere() {
    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let from = dir.path().join("from");
    for (number, existing) in [Existing::Keep, Existing::Replace].into_iter().enumerate() {
        fs::write(&from, b"bytes").expect("written");
        let (first, second) = (
            far.path().join("first"),
            dir.path().join(number.to_string()),
        );
        let draft = copy(&from, far.path(), &Drafts::of(&from, 1)).expect("copied");
        name_copy(&draft, &first, existing).expect("named");

        let next = Drafts::of(&from, 2);
        next.clear_near(&first);
        assert!(first.exists(), "the file is not elsewhere yet");
        move_file(&from, &second, existing, &next).expect("moved");
        next.clear_at(&first, &second);
        assert_eq!(names(far.path()), [""; 0], "{existing:?}");
        assert_eq!(fs::read(&second).expect("there"), b"bytes");
    }
}

/// What the application has at an earlier target stays, whatever its bytes are; so does the file itself, however its
/// path is spelled.
#[cfg(unix)]
#[test]
fn only_a_copy_of_an_attempt_is_removed() {
    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let first = far.path().join("first");
    fs::write(&from, b"bytes").expect("written");
    fs::write(&first, b"bytes").expect("of the application");
    let next = Drafts::of(&from, 2);
    next.clear_near(&first);
    move_file(&from, &to, Existing::Keep, &next).expect("moved");
    next.clear_at(&first, &to);
    assert!(first.exists() && to.exists());

    let draft = copy(&to, far.path(), &Drafts::of(&from, 1)).expect("copied");
    name_copy(&draft, &first, Existing::Replace).expect("named");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(far.path(), &link).expect("linked");
    next.clear_at(&first, &link.join("first"));
    assert_eq!(fs::read(&first).expect("there"), b"bytes");
    assert_eq!(
        names(far.path()),
        ["first"],
        "its draft has no name any more"
    );
}

/// The draft of another attempt is not named, even if it is whole to all appearance.
#[test]
fn an_attempt_that_was_overtaken_names_nothing() {
    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    let (from, to) = (dir.path().join("from"), far.path().join("to"));
    fs::write(&from, b"bytes").expect("written");
    let old = Drafts::of(&from, 1);
    let (draft, _file) = old.create(far.path()).expect("it copies");
    let next = Drafts::of(&from, 2);
    next.clear_near(&to);
    let (newer, _half) = next.create(far.path()).expect("it copies");
    let named = rename(&draft, &to, Existing::Keep).expect_err("its copy is gone");
    assert_eq!(named.kind(), ErrorKind::NotFound);
    assert!(newer.exists() && !to.exists());
}

#[test]
fn of_uploads_that_go_to_one_target_one_has_it() {
    let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
    for root in [dir.path(), far.path()] {
        for (round, existing) in [Existing::Keep, Existing::Replace]
            .into_iter()
            .cycle()
            .take(40)
            .enumerate()
        {
            let to = root.join("a/to");
            let sources: Vec<PathBuf> = (0..4)
                .map(|number| {
                    let from = dir.path().join(format!("from-{number}"));
                    fs::write(&from, vec![number; 100_000]).expect("written");
                    from
                })
                .collect();
            let moves: Vec<_> = sources
                .iter()
                .map(|from| {
                    let (from, to) = (from.clone(), to.clone());
                    thread::spawn(move || moved(&from, &to, existing))
                })
                .collect();
            let moved = moves.into_iter().map(|it| it.join().expect("no panic"));
            let moved: Vec<bool> = moved.map(|it| it.is_ok()).collect();
            let wanted = match existing {
                Existing::Replace => 4,
                Existing::Keep | Existing::KeepUnlessSame => 1,
            };
            let won = moved.iter().filter(|it| **it).count();
            assert_eq!(won, wanted, "round {round}: {existing:?}");
            let there = fs::read(&to).expect("there");
            let winner = usize::from(there[0]);
            assert!(
                moved[winner] && there == vec![there[0]; 100_000],
                "round {round}"
            );
            for (number, (from, moved)) in sources.iter().zip(moved).enumerate() {
                assert_eq!(from.exists(), !moved, "round {round}: {number}");
            }
            assert_eq!(names(&root.join("a")), ["to"], "no draft is left");
            fs::remove_dir_all(root.join("a")).expect("removed");
        }
    }
}

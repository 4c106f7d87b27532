//! Moves a finished file to where the application wants it, and leaves it whole in one place at least.
//!
//! What returned has happened for good: the bytes, the new name and the removal of the old one are synced.
//! Readers of the new name never see half a file, on this file system or on another one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// What to do where there is a file of the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// Keep it and fail.
    Keep,
    /// Keep it and fail, unless it has the very same bytes.
    KeepUnlessSame,
    /// Replace it.
    Replace,
}

/// Moves `from` to `to`, making the directories that are missing; blocks.
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`] where there is a file that is to be kept, or the file cannot be moved; then it
/// is where it was.
pub(super) fn move_file(from: &Path, to: &Path, existing: Existing) -> io::Result<()> {
    let folder = folder_of(to);
    make_folders(folder)?;
    sync(from)?;
    let existing = match existing {
        Existing::KeepUnlessSame if has_same_bytes(from, to)? => Existing::Replace,
        Existing::KeepUnlessSame => Existing::Keep,
        other => other,
    };
    match rename(from, to, existing) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            let draft = copy(from, folder)?;
            if let Err(error) = rename(&draft, to, existing) {
                let _ = fs::remove_file(&draft);
                return Err(error);
            }
            sync(folder)?;
            fs::remove_file(from)?;
        }
        renamed => {
            renamed?;
            sync(folder)?;
        }
    }
    sync(folder_of(from))
}

/// Copies a file into a folder, under a draft name, and syncs it.
fn copy(from: &Path, folder: &Path) -> io::Result<PathBuf> {
    let draft = folder.join(draft_of(from));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        // Of a process that died while it copied this file.
        _ => {}
    }
    let copied = (|| {
        let mut source = File::open(from)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut target = options.open(&draft)?;
        io::copy(&mut source, &mut target)?;
        target.set_permissions(source.metadata()?.permissions())?;
        sync(&draft)
    })();
    match copied {
        Ok(()) => Ok(draft),
        Err(error) => {
            let _ = fs::remove_file(&draft);
            Err(error)
        }
    }
}

/// Returns the name of a file's draft, the same each time: what a process that dies leaves is found by the next.
fn draft_of(from: &Path) -> String {
    let digest = Sha256::digest(from.as_os_str().as_encoded_bytes());
    let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!(".upload-{}", digits.collect::<String>())
}

fn rename(from: &Path, to: &Path, existing: Existing) -> io::Result<()> {
    match existing {
        Existing::Replace => fs::rename(from, to),
        Existing::Keep | Existing::KeepUnlessSame => rename_beside(from, to),
    }
}

/// Renames a file where there is none of the new name.
fn rename_beside(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };

        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A file system or a system that does not know how.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            renamed => return renamed.map_err(io::Error::from),
        }
    }
    // A link is made where there is nothing, or not at all.
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

/// Returns whether there is a second file, with the bytes of the first.
fn has_same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let other = match File::open(other) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let one = File::open(one)?;
    let (first, second) = (one.metadata()?, other.metadata()?);
    if !second.is_file() || first.len() != second.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let length = left.len().min(right.len());
        if length == 0 {
            return Ok(left.len() == right.len());
        }
        if left.get(..length) != right.get(..length) {
            return Ok(false);
        }
        one.consume(length);
        other.consume(length);
    }
}

/// Makes a folder and those above it that are missing, each durable in the one above.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder_of(folder);
    make_folders(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => {
            made?;
            sync(above)
        }
    }
}

/// Makes the bytes of a file, or the names in a folder, durable.
fn sync(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    tests::SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
    File::open(path)?.sync_all()
}

/// Returns the folder of a name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// What this thread made durable, in its order.
        pub(super) static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("listed");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.into_string().expect("text"))
            .collect()
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
            move_file(&from, &to, Existing::Keep).expect("moved");
            assert_eq!(fs::read(&to).expect("there"), b"first");
            assert!(!from.exists());

            fs::write(&from, b"second").expect("written");
            let kept = move_file(&from, &to, Existing::Keep).expect_err("kept");
            assert_eq!(kept.kind(), ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&to).expect("there"), b"first");
            assert_eq!(fs::read(&from).expect("still there"), b"second");

            move_file(&from, &to, Existing::Replace).expect("moved");
            assert_eq!(fs::read(&to).expect("there"), b"second");
            assert_eq!(names(&root.join("a/b")), ["to"], "no draft is left");
            assert!(!from.exists());
        }
    }

    #[test]
    fn bytes_are_synced_before_the_name_and_folders_after_it() {
        let (dir, far) = (tempfile::tempdir().expect("a directory"), elsewhere());
        let from = dir.path().join("from");
        for (root, drafts) in [(dir.path(), 0), (far.path(), 1)] {
            fs::write(&from, b"bytes").expect("written");
            let folder = root.join("a/b");
            SYNCED.take();
            move_file(&from, &folder.join("to"), Existing::Keep).expect("moved");
            let synced = SYNCED.take();
            let made = [root.to_owned(), root.join("a")];
            assert_eq!(synced[..2], made, "the folders that were made");
            assert_eq!(synced[2], from);
            let (copies, last) = synced[3..].split_at(drafts);
            assert!(copies.iter().all(|draft| draft.parent() == Some(&folder)));
            assert_eq!(last, [folder, dir.path().to_owned()]);
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
            fs::write(root.join("a").join(draft_of(&from)), "half").expect("a draft that is left");
            for (there, is_same) in [("bytes", true), ("bytea", false), ("byte", false)] {
                fs::write(&from, "bytes").expect("written");
                fs::write(&to, there).expect("written");
                let moved = move_file(&from, &to, Existing::KeepUnlessSame);
                assert_eq!(moved.is_ok(), is_same, "{there}");
                assert_eq!(from.exists(), !is_same);
                assert_eq!(fs::read(&to).expect("there"), there.as_bytes());
            }
            fs::remove_file(&to).expect("removed");
            move_file(&from, &to, Existing::KeepUnlessSame).expect("nothing was there");
            assert!(!from.exists());
            if root == far.path() {
                assert_eq!(names(folder_of(&to)), ["to"], "no draft is left");
            }
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
        move_file(&from, &to, Existing::Keep).expect("moved");
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
            move_file(&from, &folder, existing).expect_err("a folder is there");
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
}

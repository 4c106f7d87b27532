//! Where a finished file goes, and how it gets there.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::name;

/// The longest file name Linux file systems take, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The place of a finished file, relative to the data directory: `<slot>/<uuid>-<safe name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    slot: String,
    file: String,
}

impl Place {
    /// Chooses the place; `None` if the slot cannot be the name of a directory.
    pub(super) fn new(slot: &str, uuid: Uuid, safe_name: &str) -> Option<Self> {
        // A leading dot would collide with the directories the server keeps beside the slots.
        let usable = is_component(slot) && !slot.starts_with('.');
        usable.then(|| Self {
            slot: slot.to_owned(),
            file: file_name(uuid, safe_name),
        })
    }

    /// Reads a place back, trusting nothing: it must belong to this slot and this uuid.
    pub(super) fn parse(relative: &str, slot: &str, uuid: Uuid) -> Option<Self> {
        let (text, file) = relative.split_once('/')?;
        let rest = file.strip_prefix(&format!("{uuid}-"))?;
        let place = Self::new(slot, uuid, rest)?;
        (text == slot && file == place.file).then_some(place)
    }

    /// The place as clients see it.
    pub(super) fn relative(&self) -> String {
        format!("{}/{}", self.slot, self.file)
    }

    /// The slot, which names the directory.
    pub(super) fn slot(&self) -> &str {
        &self.slot
    }

    /// The directory it is in.
    pub(super) fn dir(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(&self.slot)
    }

    /// The file itself.
    pub(super) fn path(&self, data_dir: &Path) -> PathBuf {
        self.dir(data_dir).join(&self.file)
    }

    /// Makes the directory if it is missing, durably.
    pub(super) fn make_dir(&self, data_dir: &Path) -> io::Result<()> {
        match fs::create_dir(self.dir(data_dir)) {
            Ok(()) => sync_dir(data_dir),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The size of the finished file, if it is there and a plain file.
    pub(super) fn size(&self, data_dir: &Path) -> io::Result<Option<u64>> {
        match fs::symlink_metadata(self.path(data_dir)) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Renames without ever replacing what is at `to`.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system knows the flag; a hard link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            done => return Ok(done?),
        }
    }
    match fs::hard_link(from, to) {
        // An earlier try came this far and died.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && same_file(from, to)? => {}
        done => done?,
    }
    fs::remove_file(from)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all().map_err(lost)
}

/// Makes the error of a sync one of no kind, above all not a full disk, which an upload waits out: what
/// the system could not write is lost, and it says so only once. The next sync would find all well.
pub(super) fn lost(error: io::Error) -> io::Error {
    io::Error::other(error)
}

fn same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Says whether `text` can be one component of a path and nothing else.
fn is_component(text: &str) -> bool {
    let plain = |c: char| c != '/' && c != '\\' && !c.is_control();
    !text.is_empty()
        && text != "."
        && text != ".."
        && text.len() <= NAME_BYTES_MAX
        && text.chars().all(plain)
}

/// Puts the uuid before the name, and cuts the name to fit.
fn file_name(uuid: Uuid, safe_name: &str) -> String {
    let mut file = format!("{uuid}-");
    let room = NAME_BYTES_MAX - file.len();
    file.push_str(&name::fitting(safe_name, room));
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{WriteError, WriteErrorKind};

    fn named(safe_name: &str) -> String {
        let uuid = Uuid::nil();
        let place = Place::new("docs", uuid, safe_name).expect("a good slot");
        let relative = place.relative();
        assert_eq!(Place::parse(&relative, "docs", uuid), Some(place));
        let prefix = format!("docs/{uuid}-");
        relative.strip_prefix(&prefix).expect("prefix").to_owned()
    }

    #[test]
    fn short_names_stay() {
        assert_eq!(named("résumé.pdf"), "résumé.pdf");
        assert_eq!(named(""), "upload");
        assert_eq!(named("../a\\b\0"), ".._a_b_");
    }

    #[test]
    fn long_names_keep_their_extension() {
        let name = named(&format!("{}.tar.gz", "é".repeat(300)));
        assert_eq!(
            name.len() + 37,
            255 - 1,
            "an é did not fit in the last byte"
        );
        assert!(name.ends_with("é.gz"));
        let name = named(&"x".repeat(600));
        assert_eq!(name.len() + 37, 255);
        let name = named(&format!("a.{}", "y".repeat(600)));
        assert!(name.starts_with("a_yyy") && name.len() + 37 == 255);
        let name = named(&format!(".{}", "y".repeat(20)));
        assert_eq!(name.len(), 21);
    }

    #[test]
    fn slots_are_one_component() {
        for slot in ["", ".", "..", ".tmp", "a/b", "a\\b", "a\0", "/", "a\n"] {
            assert_eq!(Place::new(slot, Uuid::nil(), "x"), None, "{slot:?}");
        }
        assert_eq!(Place::new(&"s".repeat(256), Uuid::nil(), "x"), None);
    }

    #[test]
    fn foreign_places_are_not_read() {
        let uuid = Uuid::nil();
        let other = Uuid::max();
        for text in [
            format!("other/{uuid}-x"),
            format!("docs/{other}-x"),
            format!("docs/{uuid}-"),
            format!("docs/{uuid}-../../etc"),
            format!("docs/{uuid}"),
            format!("/docs/{uuid}-x"),
            format!("docs/../docs/{uuid}-x"),
            format!("docs/{uuid}-{}", "x".repeat(300)),
            String::new(),
        ] {
            assert_eq!(Place::parse(&text, "docs", uuid), None, "{text}");
        }
    }

    /// COMPLETE-3: no sync that failed is followed by one that says that all is well.
    #[test]
    fn a_failed_sync_is_for_good() {
        use rustix::io::Errno;
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::IO] {
            let error = WriteError::from(lost(errno.into()));
            assert_eq!(error.kind, WriteErrorKind::Failed);
            let source = std::error::Error::source(&error).expect("the log has it");
            assert_eq!(source.to_string(), io::Error::from(errno).to_string());
        }
    }

    #[test]
    fn renaming_replaces_nothing() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "new").expect("writes");
        fs::write(&to, "old").expect("writes");
        let error = rename_new(&from, &to).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).expect("reads"), b"old");
        fs::remove_file(&to).expect("removes");
        rename_new(&from, &to).expect("renames");
        assert_eq!(fs::read(&to).expect("reads"), b"new");
        assert!(!from.exists());
    }
}

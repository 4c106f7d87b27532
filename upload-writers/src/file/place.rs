//! Where a finished file goes, and how it gets there.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use uuid::Uuid;

use super::fresh_dirs::FreshDirs;
use crate::{
    name::{self, NAME_BYTES_MAX, is_folder, is_usable},
    writer::is_coding,
};

/// On both sides of a coding in a name.
const CODED: char = '~';
/// The place of a finished file, relative to the data directory: `<slot>/<uuid>-<safe name>`, below the
/// folder that the application chose, if it did. A file in a coding is `<uuid>~<coding>~<safe name>`, so that whatever
/// gives it out knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `<slot>` or `<folder>/<slot>`.
    dir: String,
    file: String,
}

impl Place {
    /// Chooses the place of a file that is in no coding.
    #[cfg(test)]
    pub(super) fn new(
        folder: Option<&str>,
        slot: &str,
        uuid: Uuid,
        safe_name: &str,
    ) -> Option<Self> {
        Self::coded(folder, slot, uuid, None, safe_name)
    }

    /// Chooses the place of a file that is in this coding, if in one; `None` if folder or slot cannot name a directory.
    pub(super) fn coded(
        folder: Option<&str>,
        slot: &str,
        uuid: Uuid,
        coding: Option<&str>,
        safe_name: &str,
    ) -> Option<Self> {
        let coding_is_usable = coding.is_none_or(is_coding);
        let folder_is_usable = folder.is_none_or(is_folder);
        let dir = match folder {
            Some(folder) => format!("{folder}/{slot}"),
            None => slot.to_owned(),
        };
        (coding_is_usable && folder_is_usable && is_usable(slot)).then(|| Self {
            dir,
            file: file_name(uuid, coding, safe_name),
        })
    }

    /// Reads a place back, trusting nothing: it must belong to this slot and this uuid.
    pub(super) fn parse(relative: &str, slot: &str, uuid: Uuid) -> Option<Self> {
        let (dir, file) = relative.rsplit_once('/')?;
        let (folder, of_slot) = match dir.rsplit_once('/') {
            Some((folder, of_slot)) => (Some(folder), of_slot),
            None => (None, dir),
        };
        let rest = file.strip_prefix(&uuid.to_string())?;
        let (coding, name) = match rest.strip_prefix(CODED) {
            Some(rest) => rest
                .split_once(CODED)
                .map(|(coding, name)| (Some(coding), name))?,
            None => (None, rest.strip_prefix('-')?),
        };
        let place = Self::coded(folder, slot, uuid, coding, name)?;
        (of_slot == slot && file == place.file).then_some(place)
    }

    /// Reads a place back of which only the slot is known, trusting nothing: what it names has a name that
    /// this writer gives.
    pub(super) fn read(relative: &str, slot: &str) -> Option<Self> {
        let (_, file) = relative.rsplit_once('/')?;
        let uuid = file.get(..uuid::fmt::Hyphenated::LENGTH)?;
        Self::parse(relative, slot, Uuid::try_parse(uuid).ok()?)
    }

    /// The place as clients see it.
    pub(super) fn relative(&self) -> String {
        format!("{}/{}", self.dir, self.file)
    }

    /// The directory, relative to the data directory.
    pub(super) fn relative_dir(&self) -> &str {
        &self.dir
    }

    /// The directory it is in.
    pub(super) fn dir(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(&self.dir)
    }

    /// The file itself.
    pub(super) fn path(&self, data_dir: &Path) -> PathBuf {
        self.dir(data_dir).join(&self.file)
    }

    /// Makes the directory, and those above it, if they are missing, durably.
    pub(super) fn make_dir(&self, data_dir: &Path, fresh: &FreshDirs) -> io::Result<()> {
        let mut above = data_dir.to_owned();
        for name in self.dir.split('/') {
            let dir = above.join(name);
            fresh.make(&dir, &above, sync_dir)?;
            above = dir;
        }
        Ok(())
    }

    /// Finds out, once for a slot, whether files can be published in its directory.
    ///
    /// It may have been there before, or be a mount or a link, and an upload must not learn it after its last byte.
    pub(super) fn prove(&self, data_dir: &Path, temp_dir: &Path) -> io::Result<()> {
        let dir = self.dir(data_dir);
        let named = fs::symlink_metadata(&dir)?;
        if named.is_symlink() && !is_ours(&named) {
            return Err(unusable("it is a link that another user made"));
        }
        if !fs::metadata(&dir)?.is_dir() {
            return Err(unusable("it is no directory"));
        }
        // A process that was killed may have made it without syncing its name.
        for above in dir
            .ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(data_dir))
        {
            sync_dir(above)?;
        }
        let name = format!(".probe-{}", Uuid::new_v4());
        let (from, to) = (temp_dir.join(&name), dir.join(&name));
        let probe = File::create_new(&from)?;
        let moved = rename_new(&from, &to);
        drop(probe);
        // Whatever happened, both names are ours and neither may stay.
        let removed = [fs::remove_file(&from), fs::remove_file(&to)];
        match moved {
            Ok(()) => removed.into_iter().last().unwrap_or(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Err(unusable(
                "it is on another file system than the files under way",
            )),
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
        use rustix::fs::{CWD, RenameFlags, renameat_with};
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

/// Makes the names in a directory durable, where the file system has a way to.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        Err(error) if is_unknown(&error) => Ok(()),
        done => done.map_err(lost),
    }
}

/// Says whether a file system does not know the call, as some over FUSE or SMB for directories.
pub(super) fn is_unknown(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
    )
}

/// Says whether a file or link was made by the user the program runs as, or by root.
pub(super) fn is_ours(metadata: &Metadata) -> bool {
    [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid())
}

fn unusable(why: &str) -> io::Error {
    io::Error::other(format!("the directory of the slot cannot be used: {why}"))
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

/// Puts the uuid before the name, and cuts the name to fit.
fn file_name(uuid: Uuid, coding: Option<&str>, safe_name: &str) -> String {
    let mut file = match coding {
        Some(coding) => format!("{uuid}{CODED}{coding}{CODED}"),
        None => format!("{uuid}-"),
    };
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
        let place = Place::new(None, "docs", uuid, safe_name).expect("a good slot");
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
        assert_eq!(name.len() + 37, 254, "an é did not fit in the last byte");
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
            assert_eq!(Place::new(None, slot, Uuid::nil(), "x"), None, "{slot:?}");
        }
        assert_eq!(Place::new(None, &"s".repeat(256), Uuid::nil(), "x"), None);
    }

    #[test]
    fn a_folder_comes_before_the_slot() {
        let uuid = Uuid::nil();
        let place = Place::new(Some("users/ann"), "docs", uuid, "a.txt").expect("a good folder");
        assert_eq!(place.relative(), format!("users/ann/docs/{uuid}-a.txt"));
        assert_eq!(Place::parse(&place.relative(), "docs", uuid), Some(place));
        let long = "f".repeat(512 + 1);
        for folder in [
            "", "/", "/a", "a/", "a//b", "..", "a/../b", ".tmp", "a/.b", "a\\b", &long,
        ] {
            assert_eq!(
                Place::new(Some(folder), "docs", uuid, "x"),
                None,
                "{folder:?}"
            );
        }
    }

    #[test]
    fn a_coding_comes_before_the_name() {
        let uuid = Uuid::nil();
        let coded = |coding: &str| Place::coded(None, "docs", uuid, Some(coding), "a~b.txt");
        let place = coded("x-gzip").expect("a coding");
        assert_eq!(place.relative(), format!("docs/{uuid}~x-gzip~a~b.txt"));
        assert_eq!(Place::parse(&place.relative(), "docs", uuid), Some(place));
        let long = "z".repeat(65);
        for coding in ["", "gzip, br", "a/b", "a~b", "é", &long] {
            assert_eq!(coded(coding), None, "{coding}");
        }
        let name = file_name(uuid, Some(&long[1..]), &"x".repeat(300));
        assert_eq!(name.len(), NAME_BYTES_MAX);
    }

    #[test]
    fn folders_are_made_with_all_above_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let temp = dir.path().join(".tmp");
        fs::create_dir(&temp).expect("made");
        let place = Place::new(Some("users/ann"), "docs", Uuid::nil(), "x").expect("good");
        for _ in 0..2 {
            let made = place.make_dir(dir.path(), &FreshDirs::default());
            made.expect("made");
            place.prove(dir.path(), &temp).expect("it serves");
        }
        assert!(dir.path().join("users/ann/docs").is_dir());
    }

    #[test]
    fn foreign_places_are_not_read() {
        for path in ["a/../b", "../etc/passwd", "a/x", "a", "", "a/.tmp"] {
            assert_eq!(Place::read(path, "a"), None, "{path}");
        }
        for folder in [None, Some("users/7")] {
            let place = Place::new(folder, "a", Uuid::from_u128(7), "me.png");
            let relative = place.as_ref().expect("a slot").relative();
            assert_eq!(Place::read(&relative, "a"), place);
            assert_eq!(Place::read(&relative, "b"), None);
        }
        let uuid = Uuid::nil();
        let other = Uuid::max();
        for text in [
            format!("other/{uuid}-x"),
            format!("docs/{other}-x"),
            format!("docs/{uuid}-"),
            format!("docs/{uuid}~gzip"),
            format!("docs/{uuid}~~x"),
            format!("docs/{uuid}~gzip~../../etc"),
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
        use Errno as E;
        for errno in [E::NOSPC, E::DQUOT, E::MFILE, E::TIMEDOUT, E::STALE, E::IO] {
            let error = WriteError::from(lost(errno.into()));
            assert_eq!(error.kind, WriteErrorKind::Failed);
            let source = std::error::Error::source(&error).expect("the log has it");
            assert_eq!(source.to_string(), io::Error::from(errno).to_string());
        }
    }

    /// A file system that cannot sync directories is no reason to lose every file at its end.
    #[test]
    fn directories_that_cannot_be_synced_are_left() {
        for (errno, is_left) in [
            (Errno::INVAL, true),
            (Errno::OPNOTSUPP, true),
            (Errno::IO, false),
        ] {
            assert_eq!(is_unknown(&errno.into()), is_left);
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

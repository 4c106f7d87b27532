//! Moves a finished file to where the application wants it, and leaves it whole in one place at least.
//!
//! What returned has happened for good: the bytes, the new name and the removal of the old one are synced. A file
//! system that cannot sync folders is left to keep their names by itself.
//! Readers of the new name never see half a file, on this file system or on another one.

mod folders;
#[cfg(test)]
pub(super) mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use self::folders::{Folder, folder_of, make_folders, sync, sync_names, sync_open};

/// Drafts of so many attempts before are removed, at most.
const DRAFTS_CLEARED_MAX: u32 = 64;
/// How many other names a draft may have where somebody else has a file of its own.
const NAMES_MAX: u32 = 8;

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
/// is where it was. Where a folder could not be synced after the move, it is at `to`: [`sync_moved`] is still to come.
pub(super) fn move_file(
    from: &Path,
    to: &Path,
    existing: Existing,
    drafts: &Drafts,
) -> io::Result<()> {
    let folder = folder_of(to);
    make_folders(folder)?;
    sync(from)?;
    // Before anything moves: a folder that this user may not read could not be synced afterwards.
    let (new, old) = (Folder::open(folder)?, Folder::open(folder_of(from))?);
    let existing = match existing {
        Existing::KeepUnlessSame if has_same_bytes(from, to)? => Existing::Replace,
        Existing::KeepUnlessSame => Existing::Keep,
        other => other,
    };
    match rename(from, to, existing) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            // One folder that is mounted twice: removing the old name would remove the new one.
            if existing == Existing::Replace && is_same_file(from, to) {
                return new.sync();
            }
            let draft = copy(from, folder, drafts)?;
            if let Err(error) = name_copy(&draft, to, existing) {
                let _ = fs::remove_file(&draft);
                return Err(error);
            }
            new.sync()?;
            match fs::remove_file(from) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            old.sync()?;
            // Only now, since until then it tells the next attempt that the copy is ours.
            let _ = fs::remove_file(&draft);
            new.sync()
        }
        renamed => {
            renamed?;
            new.sync()?;
            old.sync()
        }
    }
}

/// Makes a move durable that is found done: its process may have died before that, or a sync failed; blocks.
///
/// # Errors
///
/// The folder of `to` or that of `stored` cannot be synced.
pub(super) fn sync_moved(to: &Path, stored: &Path, earlier: &[PathBuf]) -> io::Result<()> {
    sync_names(folder_of(to))?;
    for target in earlier {
        // Only a second copy could come back there. The folder may be gone by now, or never have been.
        let _ = sync_names(folder_of(target));
    }
    match sync_names(folder_of(stored)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        synced => synced,
    }
}

/// Gives a copy its name, and leaves the draft's beside it where the file system can have two names of one file.
fn name_copy(draft: &Path, to: &Path, existing: Existing) -> io::Result<()> {
    let second = second_name(draft);
    if fs::hard_link(draft, &second).is_err() {
        return rename(draft, to, existing);
    }
    rename(&second, to, existing).inspect_err(|_| {
        let _ = fs::remove_file(&second);
    })
}

/// Returns the name of a copy between its draft's and its own.
fn second_name(draft: &Path) -> PathBuf {
    draft.with_extension("named")
}

/// Copies a file into a folder, under a draft name, and syncs it.
fn copy(from: &Path, folder: &Path, drafts: &Drafts) -> io::Result<PathBuf> {
    let mut source = File::open(from)?;
    let (draft, mut target) = drafts.create(folder)?;
    let copied = (|| {
        io::copy(&mut source, &mut target)?;
        target.set_permissions(source.metadata()?.permissions())?;
        sync_open(&draft, &target)
    })();
    match copied {
        Ok(()) => Ok(draft),
        Err(error) => {
            let _ = fs::remove_file(&draft);
            Err(error)
        }
    }
}

/// The names under which one file is copied into another folder, before it has its own there.
///
/// Each attempt to take the upload has another name, since a process whose lease ended may still copy: it
/// never names what another attempt has written so far.
pub(super) struct Drafts {
    stem: String,
    attempt: u32,
}

impl Drafts {
    pub(super) fn of(stored: &Path, attempt: u32) -> Self {
        let digest = Sha256::digest(stored.as_os_str().as_encoded_bytes());
        let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
        let stem = format!(".upload-{}", digits.collect::<String>());
        Self { stem, attempt }
    }

    /// Removes what attempts that died left in the folder of `target`. One that lives has its copy removed, and fails.
    /// The draft of a copy that is named `target` stays: it tells that the copy is ours.
    pub(super) fn clear_near(&self, target: &Path) {
        for draft in self.near(target) {
            if !is_same_file(&draft, target) {
                remove_own(&draft);
            }
        }
    }

    /// Removes the copy that an attempt left at `target` when it died before it removed the file that it copied.
    /// Call it once the file is whole at `to`.
    ///
    /// Equal bytes would not tell whose file that is: the application may have another one there.
    pub(super) fn clear_at(&self, target: &Path, to: &Path) {
        for draft in self.near(target) {
            let is_ours = is_same_file(&draft, target);
            if is_ours
                && target != to
                && fs::exists(to).is_ok_and(|is| is)
                && !is_same_file(target, to)
            {
                let _ = fs::remove_file(target);
            }
            remove_own(&draft);
        }
    }

    /// Returns the names that drafts of this attempt and those before may have in the folder of `target`.
    fn near(&self, target: &Path) -> impl Iterator<Item = PathBuf> {
        let first = self.attempt.saturating_sub(DRAFTS_CLEARED_MAX);
        (first..=self.attempt).map(move |attempt| folder_of(target).join(self.name(attempt)))
    }

    /// Creates a draft, where there is nothing of its name.
    fn create(&self, folder: &Path) -> io::Result<(PathBuf, File)> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut number = 0_u32;
        loop {
            let mut draft = folder.join(self.name(self.attempt));
            if number > 0 {
                draft.set_extension(number.to_string());
            }
            match options.open(&draft) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < NAMES_MAX => {
                    number = number.saturating_add(1);
                }
                opened => return Ok((draft, opened?)),
            }
        }
    }

    fn name(&self, attempt: u32) -> String {
        format!("{}-{attempt}", self.stem)
    }
}

/// Removes a draft and the second name of its copy. A link or a folder of such a name is not ours.
fn remove_own(draft: &Path) {
    for name in [draft, &second_name(draft)] {
        if fs::symlink_metadata(name).is_ok_and(|it| it.is_file()) {
            let _ = fs::remove_file(name);
        }
    }
}

fn rename(from: &Path, to: &Path, existing: Existing) -> io::Result<()> {
    match existing {
        Existing::Replace => rename_over(from, to),
        Existing::Keep | Existing::KeepUnlessSame => rename_beside(from, to),
    }
}

/// Renames a file to a name that another one may have.
fn rename_over(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    // Two names of one file are left as they are by the system.
    if is_same_file(from, to) && are_two_names(from, to) {
        fs::remove_file(from)?;
    }
    Ok(())
}

/// Returns whether both names lead to one file.
#[cfg(unix)]
fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let of = |path| fs::symlink_metadata(path).map(|it| (it.is_file(), it.dev(), it.ino()));
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one.0 && one == other)
}

#[cfg(not(unix))]
fn is_same_file(_: &Path, _: &Path) -> bool {
    false
}

/// Returns whether two paths are not one name in one folder, where the file system may not tell cases apart.
fn are_two_names(one: &Path, other: &Path) -> bool {
    let of = |path| fs::canonicalize(path).map(|it| it.to_string_lossy().to_lowercase());
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one != other)
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
    let other = match fs::symlink_metadata(other) {
        // A link is not what was moved, and a pipe would not be read to its end.
        Ok(it) if !it.is_file() => return Ok(false),
        Ok(_) => File::open(other)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let one = File::open(one)?;
    let (first, second) = (one.metadata()?, other.metadata()?);
    if first.len() != second.len() {
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

//! Moves a finished file to where the application wants it, and leaves it whole in one place at least.
//!
//! What returned has happened for good: the bytes, the new name and the removal of the old one are synced.
//! Readers of the new name never see half a file, on this file system or on another one.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, ErrorKind},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

/// Drafts of so many attempts before are removed, at most.
const DRAFTS_CLEARED_MAX: u32 = 64;
/// How many other names a draft may have where somebody else has a file of its own.
const NAMES_MAX: u32 = 8;

/// Folders whose names are known to be durable, at most; beyond it they are synced once more.
const FOLDERS_KNOWN_MAX: usize = 1024;

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
pub(super) fn move_file(
    from: &Path,
    to: &Path,
    existing: Existing,
    drafts: &Drafts,
) -> io::Result<()> {
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
            // One folder that is mounted twice: removing the old name would remove the new one.
            if existing == Existing::Replace && is_same_file(from, to) {
                return Ok(());
            }
            let draft = copy(from, folder, drafts)?;
            if let Err(error) = name_copy(&draft, to, existing) {
                let _ = fs::remove_file(&draft);
                return Err(error);
            }
            sync(folder)?;
            match fs::remove_file(from) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            sync(folder_of(from))?;
            // Only now, since until then it tells the next attempt that the copy is ours.
            let _ = fs::remove_file(&draft);
            sync(folder)
        }
        renamed => {
            renamed?;
            sync(folder)?;
            sync(folder_of(from))
        }
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

/// Makes a folder and those above it that are missing, each durable in the one above.
///
/// A folder that is there may have been made a moment ago, by a thread that is about to sync its name or by a process
/// that died before it did. One below it is only made once it is durable, so the last one that is there is enough.
fn make_folders(folder: &Path) -> io::Result<()> {
    let above = folder_of(folder);
    if folder.is_dir() {
        return sync_once(folder, above);
    }
    make_folders(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {
            sync_once(folder, above)
        }
        made => {
            made?;
            sync(above)
        }
    }
}

/// Makes the name of a folder durable that was there, once in this process.
fn sync_once(folder: &Path, above: &Path) -> io::Result<()> {
    static DURABLE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

    // Whole after every step, so a panic elsewhere does not spoil it.
    let durable = || DURABLE.lock().unwrap_or_else(PoisonError::into_inner);
    if durable().contains(folder) {
        return Ok(());
    }
    match sync(above) {
        // What this user may not read, or the file system cannot sync, was not made by this process.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) => {}
        synced => synced?,
    }
    let mut durable = durable();
    if durable.len() >= FOLDERS_KNOWN_MAX {
        durable.clear();
    }
    durable.insert(folder.to_owned());
    Ok(())
}

/// Makes the bytes of a file, or the names in a folder, durable.
fn sync(path: &Path) -> io::Result<()> {
    sync_open(path, &File::open(path)?)
}

#[cfg_attr(
    not(test),
    expect(unused_variables, reason = "tests look at the order")
)]
fn sync_open(path: &Path, file: &File) -> io::Result<()> {
    #[cfg(test)]
    tests::SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
    file.sync_all()
}

/// Returns the folder of a name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

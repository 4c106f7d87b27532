//! Finds files under way that nobody holds any more (PROTOCOL RESUME-8).

use std::{
    fs::{self, DirEntry, Metadata},
    io,
    path::Path,
    time::Duration,
};

use super::temp::{self, TempName};
use crate::writer::{Orphan, SweepPolicy};

/// How many orphans one sweep takes; the next one finds the rest.
const ORPHANS_MAX: usize = 10_000;

/// Looks through the directory of files under way.
pub(super) fn sweep(temp_dir: &Path, policy: &SweepPolicy) -> io::Result<Vec<Orphan>> {
    let mut orphans = Vec::new();
    for entry in fs::read_dir(temp_dir)? {
        // One file that cannot be looked at or removed must not keep the others.
        if let Ok(Some(orphan)) = entry.and_then(|entry| sweep_one(&entry, policy)) {
            orphans.push(orphan);
            if orphans.len() >= ORPHANS_MAX {
                break;
            }
        }
    }
    Ok(orphans)
}

fn sweep_one(entry: &DirEntry, policy: &SweepPolicy) -> io::Result<Option<Orphan>> {
    let file_name = entry.file_name();
    let Some(name) = file_name.to_str().and_then(TempName::parse) else {
        return Ok(None);
    };
    let age_min = if name.resumable {
        policy.resumable_older_than
    } else {
        policy.others_older_than
    };
    // Asked before opening, so that most files are left alone, and again under the lock.
    let metadata = entry.metadata()?;
    if !metadata.is_file() || age(&metadata) < age_min {
        return Ok(None);
    }
    let path = entry.path();
    let Some(file) = temp::open(&path)? else {
        return Ok(None);
    };
    if !temp::try_lock(&file)? {
        return Ok(None);
    }
    let metadata = file.metadata()?;
    let age = age(&metadata);
    if age < age_min || !policy.dry_run && !temp::remove(&path)? {
        return Ok(None);
    }
    Ok(Some(Orphan {
        what: name.to_string(),
        bytes: metadata.len(),
        age,
        resumable: name.resumable,
    }))
}

/// How long a file has rested; none at all if the clock says it was written in the future.
fn age(metadata: &Metadata) -> Duration {
    let modified = metadata.modified().ok();
    modified
        .and_then(|modified| modified.elapsed().ok())
        .unwrap_or_default()
}

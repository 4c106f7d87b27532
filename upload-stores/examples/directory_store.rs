//! A store of your own, on a plain directory with a file per record, held to the conformance suite.
//!
//! ```sh
//! cargo run -p upload-stores --example directory_store --features testing
//! ```
//!
//! It shows what a store has to consider: names that are safe whatever the owner contains, expiry, and versions that
//! are never used twice.
//! The checks of the version and of the owner's limit are one step with their effect: here by a lock, in a database by
//! a condition in the statement.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use upload_stores::{
    Counts, CountsAs, Cursor, Expect, Facts, Listed, PAGE_RECORDS_MAX, Page, Put, PutError,
    RECORD_BYTES_MAX, StoreError, StoreErrorKind, TTL_MAX, UploadKey, UploadStateStore, Version,
    Versioned, conformance,
};

struct DirectoryStore {
    dir: PathBuf,
    /// The last version given out. Its holder is alone in the directory.
    last_version: Mutex<u64>,
}

/// What is in a file: version, expiry in milliseconds since 1970, facts, upload id, owner, record.
struct Stored {
    version: u64,
    expires: u64,
    facts: Facts,
    key: UploadKey,
    record: Vec<u8>,
}

impl DirectoryStore {
    fn open(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(trouble)?;
        Ok(Self {
            dir: dir.to_owned(),
            // Past whatever an earlier process gave out.
            last_version: Mutex::new(now_ms() << 20),
        })
    }

    /// A directory for the owner's first bytes and so on, since a file name is too short for all.
    fn path(&self, key: &UploadKey) -> PathBuf {
        let text = key.to_text();
        let (_, upload) = text.split_once('/').expect("owner and upload");
        self.dir_of(key.owner()).join(format!("u{upload}"))
    }

    fn dir_of(&self, owner: &str) -> PathBuf {
        let key = UploadKey::new(owner, [0; 16]);
        let text = key.map_or_else(|_| "none/".to_owned(), |key| key.to_text());
        let (owner, _) = text.split_once('/').expect("owner and upload");
        let mut path = self.dir.clone();
        for part in owner.as_bytes().chunks(200) {
            path.push(format!("o{}", String::from_utf8_lossy(part)));
        }
        path.join("records")
    }

    fn live(&self, path: &Path) -> Result<Option<Stored>, StoreError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(trouble(error)),
        };
        let stored = parse(&bytes).ok_or_else(|| {
            StoreError::new(StoreErrorKind::Corrupt, "a record's file is too short")
        })?;
        Ok(Some(stored).filter(|stored| now_ms() < stored.expires))
    }

    fn check(&self, path: &Path, expect: Expect) -> Result<Option<Stored>, PutError> {
        let current = self.live(path)?;
        let version = current.as_ref().map(|stored| Version(stored.version));
        if expect.holds(version) {
            Ok(current)
        } else {
            Err(PutError::Conflict)
        }
    }

    /// All live records below a directory, in the order of their names.
    fn all(&self, dir: &Path) -> Result<Vec<Stored>, StoreError> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(trouble(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(trouble)?.path();
            if path.is_dir() {
                found.extend(self.all(&path)?);
            } else if path.extension().is_none() {
                found.extend(self.live(&path)?);
            }
        }
        found.sort_by(|one, two| one.key.cmp(&two.key));
        Ok(found)
    }

    fn all_of(&self, owner: Option<&str>) -> Result<Vec<Stored>, StoreError> {
        self.all(&owner.map_or_else(|| self.dir.clone(), |owner| self.dir_of(owner)))
    }

    fn counts(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        let mut counts = Counts::default();
        for stored in self.all_of(owner)? {
            counts.add(stored.facts, stored.record.len() as u64);
        }
        Ok(counts)
    }
}

// Its calls block the thread for as long as the disk takes; a store for many users would have a
// separate thread.
#[async_trait]
impl UploadStateStore for DirectoryStore {
    async fn get(&self, key: &UploadKey) -> Result<Option<Versioned>, StoreError> {
        Ok(self.live(&self.path(key))?.map(|stored| Versioned {
            record: stored.record,
            version: Version(stored.version),
        }))
    }

    async fn put_with(&self, key: &UploadKey, put: Put<'_>) -> Result<Version, PutError> {
        if put.record.len() > RECORD_BYTES_MAX {
            return Err(PutError::TooLarge {
                bytes: put.record.len(),
                limit: RECORD_BYTES_MAX,
            });
        }
        let path = self.path(key);
        let mut last_version = self.last_version.lock().expect("nobody panics with it");
        let old = self.check(&path, put.expect)?;
        if let Some(limit) = put.limit {
            let old = old.map(|stored| stored.facts);
            if !limit.permits(&self.counts(Some(key.owner()))?, old, put.facts) {
                return Err(PutError::OverLimit);
            }
        }
        *last_version += 1;
        let ttl_ms = put.ttl.min(TTL_MAX).as_nanos().div_ceil(1_000_000).max(1) as u64;
        let counts_as = match put.facts.counts_as {
            CountsAs::Nothing => 0,
            CountsAs::Unfinished => 1,
            CountsAs::Waiting => 2,
        };
        let mut bytes = last_version.to_be_bytes().to_vec();
        bytes.extend((now_ms() + ttl_ms).to_be_bytes());
        bytes.push(counts_as);
        bytes.extend(put.facts.bytes().to_be_bytes());
        bytes.extend(key.upload());
        bytes.push(key.owner().len() as u8);
        bytes.extend(key.owner().as_bytes());
        bytes.extend(put.record);
        fs::create_dir_all(path.parent().expect("it is in our directory")).map_err(trouble)?;
        // A rename replaces all of the old record or nothing of it.
        let fresh = path.with_extension("new");
        fs::write(&fresh, bytes).map_err(trouble)?;
        fs::rename(&fresh, &path).map_err(trouble)?;
        Ok(Version(*last_version))
    }

    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError> {
        let path = self.path(key);
        let _alone = self.last_version.lock().expect("nobody panics with it");
        self.check(&path, expect)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(trouble(error).into()),
            _ => Ok(()),
        }
    }

    /// Reads everything for each page; a store for many records continues from the cursor.
    async fn list(
        &self,
        owner: Option<&str>,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let most = most.clamp(1, PAGE_RECORDS_MAX);
        let after = after.map(|after| String::from_utf8_lossy(after.as_bytes()).into_owned());
        let mut found = self.all_of(owner)?;
        found.sort_by_key(|stored| stored.key.to_text());
        found.retain(|stored| {
            after
                .as_ref()
                .is_none_or(|after| stored.key.to_text() > *after)
        });
        let is_last = found.len() <= most;
        found.truncate(most);
        let last = found.last().map(|stored| stored.key.to_text());
        let next = last.filter(|_| !is_last);
        Ok(Page {
            records: found.into_iter().map(Stored::listed).collect(),
            next: next.map(|last| Cursor::new(last.into_bytes())),
        })
    }

    async fn count(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        self.counts(owner)
    }

    /// Another process would not see our lock.
    fn is_shared(&self) -> bool {
        false
    }
}

impl Stored {
    fn listed(self) -> Listed {
        Listed {
            key: self.key,
            stored: Versioned {
                record: self.record,
                version: Version(self.version),
            },
            facts: self.facts,
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Stored> {
    let (version, rest) = bytes.split_first_chunk()?;
    let (expires, rest) = rest.split_first_chunk()?;
    let (counts_as, rest) = rest.split_first()?;
    let (declared, rest) = rest.split_first_chunk()?;
    let (upload, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first()?;
    let (owner, record) = rest.split_at_checked(usize::from(*length))?;
    let counts_as = match counts_as {
        1 => CountsAs::Unfinished,
        2 => CountsAs::Waiting,
        _ => CountsAs::Nothing,
    };
    Some(Stored {
        version: u64::from_be_bytes(*version),
        expires: u64::from_be_bytes(*expires),
        facts: Facts::new(counts_as, u64::from_be_bytes(*declared)),
        key: UploadKey::new(str::from_utf8(owner).ok()?, *upload).ok()?,
        record: record.to_vec(),
    })
}

fn trouble(error: std::io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the directory is in trouble").with_source(error)
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

#[tokio::main]
async fn main() -> Result<(), StoreError> {
    let dir = tempfile::tempdir().map_err(trouble)?;
    conformance::all(&DirectoryStore::open(dir.path())?).await;
    println!("the directory store conforms");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_directory_store_conforms() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = DirectoryStore::open(dir.path()).expect("it opens");
        conformance::all(&store).await;
    }
}

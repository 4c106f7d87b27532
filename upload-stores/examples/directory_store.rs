//! One's own store, on a plain directory with a file per record, held to the conformance suite.
//!
//! ```sh
//! cargo run -p upload-stores --example directory_store --features testing
//! ```
//!
//! It shows what a store has to think of: names that are safe whatever the owner holds, expiry,
//! versions that are never used twice, and a check that is one step with its effect (here by a lock;
//! a database does it by a condition in the statement).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use upload_stores::{
    Expect, PutError, RECORD_BYTES_MAX, StoreError, StoreErrorKind, TTL_MAX, UploadKey,
    UploadStateStore, Version, Versioned, conformance,
};

struct DirectoryStore {
    dir: PathBuf,
    /// The last version given out. Whoever holds it is alone in the directory.
    last_version: Mutex<u64>,
}

/// What is in a file: version, expiry in milliseconds since 1970, record.
struct Stored {
    version: u64,
    expires: u64,
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
        let (owner, upload) = text.split_once('/').expect("owner and upload");
        let mut path = self.dir.clone();
        for part in owner.as_bytes().chunks(200) {
            path.push(format!("o{}", String::from_utf8_lossy(part)));
        }
        path.join(format!("u{upload}"))
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

    fn check(&self, path: &Path, expect: Expect) -> Result<(), PutError> {
        let current = self.live(path)?.map(|stored| Version(stored.version));
        if expect.holds(current) {
            Ok(())
        } else {
            Err(PutError::Conflict)
        }
    }
}

// Its calls block the thread for as long as the disk takes; a store for many users would have a
// thread of its own.
#[async_trait]
impl UploadStateStore for DirectoryStore {
    async fn get(&self, key: &UploadKey) -> Result<Option<Versioned>, StoreError> {
        Ok(self.live(&self.path(key))?.map(|stored| Versioned {
            record: stored.record,
            version: Version(stored.version),
        }))
    }

    async fn put(
        &self,
        key: &UploadKey,
        record: &[u8],
        expect: Expect,
        ttl: Duration,
    ) -> Result<Version, PutError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(PutError::TooLarge {
                bytes: record.len(),
                limit: RECORD_BYTES_MAX,
            });
        }
        let path = self.path(key);
        let mut last_version = self.last_version.lock().expect("nobody panics with it");
        self.check(&path, expect)?;
        *last_version += 1;
        let ttl_ms = ttl.min(TTL_MAX).as_nanos().div_ceil(1_000_000).max(1) as u64;
        let mut bytes = last_version.to_be_bytes().to_vec();
        bytes.extend((now_ms() + ttl_ms).to_be_bytes());
        bytes.extend(record);
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

    /// Another process would not see our lock.
    fn is_shared(&self) -> bool {
        false
    }
}

fn parse(bytes: &[u8]) -> Option<Stored> {
    let (version, rest) = bytes.split_first_chunk()?;
    let (expires, record) = rest.split_first_chunk()?;
    Some(Stored {
        version: u64::from_be_bytes(*version),
        expires: u64::from_be_bytes(*expires),
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

//! The secret that signs cookies, where the application names none.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use axum_extra::extract::cookie::Key;

use crate::identity::SECRET_BYTES_MIN;

/// Name of the secret's file in the data directory.
const FILE: &str = ".secret";

/// Reads the secret of `dir`, or makes one and keeps it there, readable by its owner only.
///
/// Of processes that start at once, all get the same one.
///
/// # Errors
///
/// The file cannot be read, made or is too short.
pub(crate) fn load_or_make(dir: &Path) -> io::Result<Key> {
    let path = dir.join(FILE);
    match fs::read(&path) {
        Ok(secret) => return key(&secret),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::create_dir_all(dir)?;
    // Written whole under another name and linked: whoever reads it never sees half of it.
    let draft = dir.join(format!("{FILE}-{}", uuid::Uuid::new_v4().simple()));
    write_private(&draft, Key::generate().master())?;
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => key(&fs::read(&path)?),
    }
}

fn key(secret: &[u8]) -> io::Result<Key> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{FILE} has fewer than {SECRET_BYTES_MIN} bytes"),
        ));
    }
    Ok(Key::derive_from(secret))
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let below = dir.path().join("data");
        let first = load_or_make(&below).expect("made");
        assert!(first == load_or_make(&below).expect("read again"));
        let names: Vec<_> = fs::read_dir(&below).expect("listed").collect();
        assert_eq!(names.len(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(below.join(FILE))
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_one_is_an_error_and_not_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(FILE), b"short").expect("written");
        assert!(load_or_make(dir.path()).is_err());
        assert_eq!(fs::read(dir.path().join(FILE)).expect("there"), b"short");
    }
}

//! The secret that signs cookies, where the application names none.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use super::identity::SECRET_BYTES_MIN;

/// Name of the secret's file in the data directory.
const FILE: &str = ".secret";

/// Reads the secret of `dir`, or makes one and keeps it there, readable by its owner only.
///
/// Of processes that start at once, all get the same one.
///
/// # Errors
///
/// The file cannot be read, made or is too short.
pub(crate) fn load_or_make(dir: &Path) -> io::Result<Vec<u8>> {
    let path = dir.join(FILE);
    match read(&path) {
        Ok(secret) => return Ok(secret),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::create_dir_all(dir)?;
    // Written under another name and linked, so a reader never sees half of it.
    let draft = dir.join(format!("{FILE}-{}", uuid::Uuid::new_v4().simple()));
    write_private(&draft, &generate())?;
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read(&path),
    }
}

/// Reads a secret that only its owner can read or change, from a file and not through a link: anything else
/// may be somebody's who made it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let mut file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            let mode = mode & 0o777;
            return Err(invalid(format!(
                "{FILE} can be reached by others (mode {mode:o}, needs 600)"
            )));
        }
    }
    let mut secret = Vec::new();
    file.read_to_end(&mut secret)?;
    if secret.len() < SECRET_BYTES_MIN {
        return Err(invalid(format!(
            "{FILE} has fewer than {SECRET_BYTES_MIN} bytes"
        )));
    }
    Ok(secret)
}

/// Makes a secret of 64 bytes.
fn generate() -> Vec<u8> {
    let parts = std::iter::repeat_with(|| uuid::Uuid::new_v4().into_bytes());
    parts.take(4).flatten().collect()
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

    #[cfg(unix)]
    #[test]
    fn one_that_others_can_reach_is_an_error() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let dir = tempfile::tempdir().expect("a directory");
        let (own, linked) = (dir.path().join("own"), dir.path().join("linked"));
        fs::create_dir_all(&linked).expect("made");
        load_or_make(&own).expect("made");
        symlink(own.join(FILE), linked.join(FILE)).expect("linked");
        assert!(load_or_make(&linked).is_err(), "a link");
        let mode = |mode| fs::set_permissions(own.join(FILE), fs::Permissions::from_mode(mode));
        for open in [0o644, 0o660, 0o602] {
            mode(open).expect("changed");
            assert!(load_or_make(&own).is_err(), "{open:o}");
        }
        mode(0o400).expect("changed");
        assert!(load_or_make(&own).is_ok());
    }

    #[test]
    fn a_damaged_one_is_an_error_and_not_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        write_private(&dir.path().join(FILE), b"short").expect("written");
        assert!(load_or_make(dir.path()).is_err());
        assert_eq!(fs::read(dir.path().join(FILE)).expect("there"), b"short");
    }
}

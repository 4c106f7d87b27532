//! Opens what is sent; what does not tell its length is kept in a temporary file first.

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::Path,
};

use super::sources::Kind;

/// An open file of known length.
pub(super) struct Opened {
    pub(super) file: File,
    /// Whether a later run finds the same bytes at the same path.
    pub(super) is_lasting: bool,
}

/// Opens a file, a pipe or the standard input. It may wait for as long as a pipe has a writer.
pub(super) fn open(path: &Path, kind: Kind) -> io::Result<Opened> {
    match kind {
        Kind::Stdin => kept(&mut io::stdin().lock()),
        Kind::Pipe => kept(&mut File::open(path)?),
        Kind::File => {
            let mut file = File::open(path)?;
            // Files of /proc and of some mounts say that they are empty and are not.
            if file.metadata()?.len() == 0 && file.read(&mut [0])? > 0 {
                file.rewind()?;
                return kept(&mut file);
            }
            Ok(Opened {
                file,
                is_lasting: true,
            })
        }
    }
}

/// Copies everything into a temporary file that has no name.
fn kept(source: &mut impl Read) -> io::Result<Opened> {
    let mut file = tempfile::tempfile()?;
    io::copy(source, &mut file)?;
    file.rewind()?;
    Ok(Opened {
        file,
        is_lasting: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(path: &Path) -> (Vec<u8>, u64, bool) {
        let Opened {
            mut file,
            is_lasting,
        } = open(path, Kind::File).expect("opened");
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("read");
        (content, file.metadata().expect("known").len(), is_lasting)
    }

    #[test]
    fn an_empty_file_is_empty() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(content(file.path()), (Vec::new(), 0, true));
    }

    /// What tells no size is sent with all its bytes.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_of_untold_size_has_its_bytes() {
        let path = Path::new("/proc/self/status");
        assert_eq!(std::fs::metadata(path).expect("known").len(), 0);
        let (content, size, is_lasting) = content(path);
        assert!(content.starts_with(b"Name:"), "{content:?}");
        assert_eq!((size, is_lasting), (content.len() as u64, false));
    }
}

//! What earlier runs stored, which stays until the bench is over.
//!
//! Before ext4 without a journal makes a file, it looks at every file that was removed in the last minutes.
//! A run behind one whose files are removed pays for that, with half of its processor time where it makes 1,000 files.
//! So files are emptied, and all are removed at the end.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// The folder in which they stay.
pub(super) struct Spent(PathBuf);

impl Spent {
    /// Begins with an empty folder.
    pub(super) fn new(folder: PathBuf) -> Self {
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }

    /// Takes a folder in, if it is there, and gives back the room of its files.
    pub(super) fn take(&self, folder: &Path) {
        if folder.exists() && self.try_take(folder).is_err() {
            let _ = fs::remove_dir_all(folder);
        }
    }

    fn try_take(&self, folder: &Path) -> io::Result<()> {
        empty(folder)?;
        fs::create_dir_all(&self.0)?;
        let number = fs::read_dir(&self.0)?.count();
        fs::rename(folder, self.0.join(number.to_string()))
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Empties the files of a folder and of those in it.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            empty(&entry.path())?;
        } else if kind.is_file() && entry.metadata()?.len() > 0 {
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_emptied_and_stay_until_the_end() {
        let dir = std::env::temp_dir().join(format!("upload-spent-{}", std::process::id()));
        let (data, aside) = (dir.join("data"), dir.join("spent"));
        let spent = Spent::new(aside.clone());
        for number in 0..2 {
            fs::create_dir_all(data.join("slot")).expect("made");
            fs::write(data.join("slot/a.txt"), "text").expect("written");
            spent.take(&data);
            assert!(!data.exists());
            let file = aside.join(number.to_string()).join("slot/a.txt");
            assert_eq!(fs::metadata(file).expect("it stays").len(), 0);
        }
        spent.take(&data);
        drop(spent);
        assert!(!aside.exists());
        fs::remove_dir_all(dir).expect("removed");
    }
}

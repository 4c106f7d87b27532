//! Changes that bring a bug back, planted in a copy of the workspace and taken out again.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// Folders that no copy needs.
const LEFT_OUT: &[&str] = &[".git", "target", "node_modules", "venv"];

/// One change of one file.
pub(crate) struct Change<'a> {
    /// What is wrong with it, for messages.
    pub(crate) name: &'a str,
    /// The text that is replaced; it occurs exactly once.
    pub(crate) find: &'a str,
    /// The text that replaces it.
    pub(crate) replace: &'a str,
}

impl Change<'_> {
    /// Returns the text with the change.
    ///
    /// # Errors
    ///
    /// The text to be replaced does not occur exactly once.
    pub(crate) fn apply(&self, text: &str) -> Result<String> {
        let count = text.matches(self.find).count();
        ensure!(
            count == 1,
            "\"{}\" fits {count} times, not once: the code changed, and the table must follow",
            self.name
        );
        Ok(text.replacen(self.find, self.replace, 1))
    }
}

/// A copy of the workspace, or of a part of it.
pub(crate) struct Copy {
    /// Where it is.
    pub(crate) root: PathBuf,
}

impl Copy {
    /// Makes a folder of the copy the same as its original.
    ///
    /// A file that already is the same is not written, so that cargo does not build it again.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written.
    pub(crate) fn follow(&self, from: &Path, to: &str) -> Result<()> {
        let to = self.root.join(to);
        follow(from, &to).with_context(|| format!("copying to {}", to.display()))
    }

    /// Checks that a change can be planted.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the change does not fit.
    pub(crate) fn check(&self, file: &str, change: &Change<'_>) -> Result<()> {
        let text = fs::read_to_string(self.root.join(file)).with_context(|| file.to_owned())?;
        change.apply(&text).with_context(|| file.to_owned())?;
        Ok(())
    }

    /// Runs something while a change is planted.
    ///
    /// # Errors
    ///
    /// The change does not fit, a file cannot be read or written, or `run` fails.
    pub(crate) fn with<T>(
        &self,
        file: &str,
        change: &Change<'_>,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let path = self.root.join(file);
        let text = fs::read_to_string(&path).with_context(|| file.to_owned())?;
        fs::write(&path, change.apply(&text).with_context(|| file.to_owned())?)?;
        let ran = run();
        fs::write(&path, text)?;
        ran
    }
}

fn follow(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut kept = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let target = to.join(&name);
        if entry.is_dir() {
            follow(&entry, &target)?;
        } else {
            let data = match fs::read(&entry) {
                // An editor's file may vanish between being listed and being read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                data => data?,
            };
            if fs::read(&target).ok().as_ref() != Some(&data) {
                fs::write(&target, data)?;
            }
        }
        kept.insert(name);
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        let name = entry.file_name();
        if kept.contains(&name) || LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_fits_once_or_is_refused() {
        let change = Change {
            name: "x",
            find: "b",
            replace: "c",
        };
        assert_eq!(change.apply("abd").unwrap(), "acd");
        assert!(change.apply("ad").is_err() && change.apply("abb").is_err());
    }

    #[test]
    fn a_copy_follows_its_original_and_a_planted_change_is_taken_out() {
        let folder = std::env::temp_dir().join(format!("plant-{}", std::process::id()));
        let (from, copy) = (folder.join("from"), folder.join("copy"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(from.join("a/target")).unwrap();
        fs::write(from.join("a/b.rs"), "one").unwrap();
        let copy = Copy { root: copy };
        copy.follow(&from, "").unwrap();
        let read = || fs::read_to_string(copy.root.join("a/b.rs"));
        let change = Change {
            name: "x",
            find: "one",
            replace: "two",
        };
        let planted = copy.with("a/b.rs", &change, || Ok(read()?)).unwrap();
        assert_eq!((&*planted, &*read().unwrap()), ("two", "one"));
        assert!(!copy.root.join("a/target").exists());

        fs::write(from.join("c.rs"), "three").unwrap();
        fs::remove_dir_all(from.join("a")).unwrap();
        copy.follow(&from, "").unwrap();
        assert!(copy.root.join("c.rs").exists() && read().is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}

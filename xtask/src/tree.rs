//! The workspace's files, without what is built or fetched.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// What no one wrote; `.git` is a file in a linked work tree.
const LEFT_OUT: &[&str] = &[
    ".git",
    "target",
    "dist",
    "node_modules",
    "venv",
    "proptest-regressions",
];

/// What a server that ran here left behind, in the workspace's folder only.
const LEFT_BEHIND: &str = "uploads";

/// A text file of the workspace.
pub(crate) struct TextFile {
    /// Its path from the workspace's folder, with `/` between folders.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

impl TextFile {
    /// Tells whether the path ends so.
    pub(crate) fn is(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }

    /// Returns the file's name.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Returns the first sentence of the comment the file opens with, on one line.
    pub(crate) fn summary(&self) -> Option<String> {
        let lines = self
            .text
            .lines()
            .map(str::trim)
            .skip_while(|line| is_preamble(line));
        let mut words = Vec::new();
        for line in lines {
            let comment = ["//!", "/**", "//", "--", "*"]
                .iter()
                .find_map(|mark| line.strip_prefix(mark));
            let Some(comment) = comment.filter(|_| line != "*/") else {
                break;
            };
            let comment = comment.trim_end_matches("*/").trim();
            if comment.is_empty() || comment.starts_with('@') {
                if words.is_empty() {
                    continue;
                }
                break;
            }
            words.extend(comment.split_whitespace());
            if words.last().is_some_and(|word| word.ends_with('.')) {
                break;
            }
        }
        let text = words.join(" ");
        let first = text
            .split_once(". ")
            .map_or(text.as_str(), |(first, _)| first);
        let first = first.trim_end_matches('.');
        (!first.is_empty()).then(|| first.to_owned())
    }
}

/// What may stand before the opening comment of a script.
fn is_preamble(line: &str) -> bool {
    line.starts_with("#!") || line == "// @ts-check"
}

/// Reads every text file below `root`, ordered so that `foo.rs` is before what is in `foo/`.
///
/// # Errors
///
/// A folder or file cannot be read.
pub(crate) fn read(root: &Path) -> Result<Vec<TextFile>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
        {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let name = entry.file_name();
            let is_left_behind = folder == root && name == LEFT_BEHIND;
            if is_left_behind || LEFT_OUT.iter().any(|left_out| name == *left_out) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files.extend(read_text(root, &path));
            }
        }
    }
    files.sort_by_cached_key(|file| {
        let stem = file
            .path
            .rsplit_once('.')
            .map_or(file.path.as_str(), |(stem, _)| stem);
        let parts = stem.split('/').map(str::to_owned);
        parts
            .map(|part| (part != "lib" && part != "main", part))
            .collect::<Vec<_>>()
    });
    Ok(files)
}

/// Reads one file; what is no UTF-8 or vanished meanwhile is no text of ours.
fn read_text(root: &Path, path: &PathBuf) -> Option<TextFile> {
    let text = fs::read_to_string(path).ok()?;
    let path = path
        .strip_prefix(root)
        .ok()?
        .to_string_lossy()
        .replace('\\', "/");
    Some(TextFile { path, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(text: &str) -> Option<String> {
        TextFile {
            path: "a/b.rs".to_owned(),
            text: text.to_owned(),
        }
        .summary()
    }

    #[test]
    fn a_summary_is_the_first_sentence() {
        assert_eq!(summary("//! One. Two.\nmod a;").as_deref(), Some("One"));
        assert_eq!(
            summary("//! One\n//! line.\n//! Two.").as_deref(),
            Some("One line")
        );
        assert_eq!(summary("//! One\n//!\n//! Two.").as_deref(), Some("One"));
        assert_eq!(
            summary("// @ts-check\n// Three.\n").as_deref(),
            Some("Three")
        );
        assert_eq!(
            summary("#!/usr/bin/env node\n/**\n * Four.\n */\n").as_deref(),
            Some("Four")
        );
        assert_eq!(summary("/** Five. */\n").as_deref(), Some("Five"));
        assert_eq!(summary("-- Six\nlocal a").as_deref(), Some("Six"));
        assert_eq!(summary("fn main() {}"), None);
        assert_eq!(summary("//!\nfn main() {}"), None);
    }
}

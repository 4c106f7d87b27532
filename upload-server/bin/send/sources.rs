//! Which files the arguments name: files, directories, patterns, the standard input.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use upload_proto::limits::CLIENT_NAME_BYTES_MAX;
use walkdir::WalkDir;

/// Most files of one run.
const FILES_MAX: usize = 1_000_000;

/// The argument that stands for the standard input.
const STDIN: &str = "-";

/// One thing to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// How it was named, or found.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// The file's name, which for a link is the link's.
    pub(super) name: String,
    /// Where it is in a directory that is sent whole.
    pub(super) relative_path: Option<String>,
    /// In bytes, as far as it is known before the file is opened.
    pub(super) size: u64,
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A pipe: it is kept in a temporary file, since its length has to be told first.
    Pipe,
    /// The standard input, which is kept in the same way.
    Stdin,
}

/// What the arguments came to.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sources: Vec<Source>,
    /// What could not be looked at, and why.
    pub(super) troubles: Vec<(PathBuf, String)>,
    /// Sockets and devices in directories.
    pub(super) skipped: usize,
}

/// Which files of directories are meant.
pub(super) struct Filter {
    include: GlobSet,
    exclude: GlobSet,
}

impl Filter {
    /// Reads patterns. One without a slash is about names, any other about paths below the
    /// directory.
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, globset::Error> {
        let set = |patterns: &[String]| {
            let mut set = GlobSetBuilder::new();
            for pattern in patterns {
                let anywhere = (!pattern.contains('/')).then(|| format!("**/{pattern}"));
                let pattern = anywhere.as_deref().unwrap_or(pattern);
                set.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
            }
            set.build()
        };
        Ok(Self {
            include: set(include)?,
            exclude: set(exclude)?,
        })
    }

    fn takes(&self, below: &Path) -> bool {
        let is_included = self.include.is_empty() || self.include.is_match(below);
        is_included && !self.exclude.is_match(below)
    }
}

/// Looks up what the arguments name. `stdin_name` is how the standard input is called.
pub(super) fn find(arguments: &[PathBuf], filter: &Filter, stdin_name: &str) -> Found {
    let mut found = Found::default();
    for argument in arguments {
        if argument.as_os_str() == STDIN {
            found.sources.push(Source {
                path: argument.clone(),
                kind: Kind::Stdin,
                name: stdin_name.to_owned(),
                relative_path: None,
                size: 0,
            });
            continue;
        }
        match std::fs::metadata(argument) {
            Ok(metadata) if metadata.is_dir() => {
                let root = argument.file_name().map(Path::new);
                found.walk(argument, root, |below| filter.takes(below));
            }
            Ok(metadata) => match kind(&metadata) {
                Some(kind) => found.add(argument.clone(), kind, metadata.len(), None),
                None => found.trouble(argument, "is neither a file nor a directory"),
            },
            Err(error) => match pattern(argument) {
                Some((root, Ok(pattern))) => {
                    let before = found.sources.len();
                    found.walk(&root, None, |below| {
                        pattern.is_match(below) && !filter.exclude.is_match(below)
                    });
                    if found.sources.len() == before {
                        found.trouble(argument, "matches no file");
                    }
                }
                Some((_, Err(error))) => found.trouble(argument, &error.to_string()),
                None => found.trouble(argument, &format!("cannot be read: {error}")),
            },
        }
    }
    found
}

impl Found {
    /// Adds the files below a directory. Links are followed; a loop of them is an error.
    fn walk(&mut self, root: &Path, shown: Option<&Path>, takes: impl Fn(&Path) -> bool) {
        let walk = WalkDir::new(root).follow_links(true).sort_by_file_name();
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(root).to_owned();
                    self.trouble(&path, &format!("cannot be read: {error}"));
                    continue;
                }
            };
            let path = entry.path();
            let below = path.strip_prefix(root).unwrap_or(path);
            if entry.file_type().is_dir() || !takes(below) {
                continue;
            }
            if self.sources.len() >= FILES_MAX {
                self.trouble(root, &format!("has more than {FILES_MAX} files"));
                return;
            }
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            if entry.file_type().is_file() {
                let relative = shown.unwrap_or(Path::new("")).join(below);
                self.add(path.to_owned(), Kind::File, size, Some(&relative));
            } else {
                self.skipped = self.skipped.saturating_add(1);
            }
        }
    }

    fn add(&mut self, path: PathBuf, kind: Kind, size: u64, relative: Option<&Path>) {
        let name = path.file_name().unwrap_or_default();
        let relative_path = relative.map(slashed);
        self.sources.push(Source {
            name: name.to_string_lossy().into_owned(),
            kind,
            relative_path: relative_path.filter(|path| path.len() <= CLIENT_NAME_BYTES_MAX),
            size,
            path,
        });
    }

    fn trouble(&mut self, path: &Path, text: &str) {
        self.troubles.push((path.to_owned(), text.to_owned()));
    }
}

fn kind(metadata: &std::fs::Metadata) -> Option<Kind> {
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type()) {
        return Some(Kind::Pipe);
    }
    metadata.is_file().then_some(Kind::File)
}

/// Writes a path as pages do: with slashes, whatever the system has.
fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

/// Splits a pattern that no shell expanded: the directory before it, and what to look for there.
fn pattern(argument: &Path) -> Option<(PathBuf, Result<globset::GlobMatcher, globset::Error>)> {
    let is_pattern = |part: &Component<'_>| {
        let text = part.as_os_str().to_string_lossy();
        text.contains(['*', '?', '[', '{'])
    };
    let parts: Vec<_> = argument.components().collect();
    let first = parts.iter().position(is_pattern)?;
    let (before, after) = parts.split_at(first);
    let root: PathBuf = before.iter().collect();
    let root = if before.is_empty() { ".".into() } else { root };
    let after = slashed(&after.iter().collect::<PathBuf>());
    let glob = GlobBuilder::new(&after).literal_separator(true).build();
    Some((root, glob.map(|glob| glob.compile_matcher())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, file).expect("written");
        }
        dir
    }

    fn names(dir: &Path, argument: &str, include: &[&str], exclude: &[&str]) -> Vec<String> {
        let owned = |patterns: &[&str]| {
            patterns
                .iter()
                .map(|it| (*it).to_owned())
                .collect::<Vec<_>>()
        };
        let filter = Filter::new(&owned(include), &owned(exclude)).expect("patterns");
        let found = find(&[dir.join(argument)], &filter, "stdin");
        assert!(found.troubles.is_empty(), "{:?}", found.troubles);
        let relative = |source: Source| source.relative_path.expect("a path in the directory");
        found.sources.into_iter().map(relative).collect()
    }

    #[test]
    fn directories_are_filtered_by_name_and_by_path() {
        let dir = tree(&[
            "d/b.jpg",
            "d/a.txt",
            "d/sub/c.jpg",
            "d/sub/.hidden",
            "d/x/sub/d.jpg",
        ]);
        let names = |include: &[&str], exclude: &[&str]| names(dir.path(), "d", include, exclude);
        assert_eq!(
            names(&[], &[]),
            [
                "d/a.txt",
                "d/b.jpg",
                "d/sub/.hidden",
                "d/sub/c.jpg",
                "d/x/sub/d.jpg"
            ]
        );
        assert_eq!(
            names(&["*.jpg"], &[]),
            ["d/b.jpg", "d/sub/c.jpg", "d/x/sub/d.jpg"]
        );
        assert_eq!(names(&["sub/*"], &[]), ["d/sub/.hidden", "d/sub/c.jpg"]);
        assert_eq!(names(&["**/sub/*.jpg"], &["x/**"]), ["d/sub/c.jpg"]);
        assert_eq!(names(&[], &["*.jpg", ".*"]), ["d/a.txt"]);
    }

    #[test]
    fn a_pattern_that_no_shell_expanded_is_expanded() {
        let dir = tree(&["d/b.jpg", "d/a.txt", "d/sub/c.jpg"]);
        assert_eq!(names(dir.path(), "d/*.jpg", &[], &[]), ["b.jpg"]);
        assert_eq!(names(dir.path(), "d/**/*.jpg", &[], &["b*"]), ["sub/c.jpg"]);
        let filter = Filter::new(&[], &[]).expect("patterns");
        let found = find(
            &[dir.path().join("d/*.png"), dir.path().join("gone")],
            &filter,
            "",
        );
        assert_eq!(found.troubles.len(), 2);
        assert!(found.sources.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn links_have_their_own_names_and_loops_end() {
        use std::os::unix::fs::symlink;

        let dir = tree(&["d/real.txt"]);
        let at = |name: &str| dir.path().join(name);
        symlink("real.txt", at("d/link.txt")).expect("linked");
        symlink(".", at("d/loop")).expect("linked");
        symlink("nothing", at("d/dangling")).expect("linked");
        let filter = Filter::new(&[], &[]).expect("patterns");
        let found = find(&[at("d"), at("d/link.txt")], &filter, "");
        let names: Vec<_> = found.sources.iter().map(|source| &*source.name).collect();
        assert_eq!(names, ["link.txt", "real.txt", "link.txt"]);
        assert_eq!(found.troubles.len(), 2, "{:?}", found.troubles);
    }
}

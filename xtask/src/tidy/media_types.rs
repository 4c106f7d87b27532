//! The table of media types in `upload-validate`, made of the lists in `xtask/media-types`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail};

use super::Findings;
use crate::tree::TextFile;

/// Where the lists are.
const LISTS: &str = "xtask/media-types";
/// Where the table goes.
pub(super) const TABLE: &str = "upload-validate/src/media_types/table.txt";

/// Types that say nothing about a file: unknown, or thrown away.
const EMPTY: &[&str] = &["application/octet-stream", "application/x-trash"];

/// Compares the table in the tree with what the lists say.
///
/// # Errors
///
/// A list cannot be read.
pub(super) fn check(root: &Path, tree: &[TextFile], findings: &mut Findings) -> Result<()> {
    findings.checked += 1;
    let table = tree.iter().find(|file| file.path == TABLE);
    if table.map(|file| &*file.text) != Some(&generate(root)?) {
        findings.error(format!(
            "{TABLE} is not what {LISTS} says: cargo xtask tidy --write"
        ));
    }
    Ok(())
}

/// Makes the table from the lists.
///
/// # Errors
///
/// A list cannot be read, or says something that is no extension or type.
pub(super) fn generate(root: &Path) -> Result<String> {
    let read = |name: &str| {
        let path = root.join(LISTS).join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let overrides = Overrides::parse(&read("overrides.txt")?)?;
    let mut mime_db = types_by_extension(&read("mime-db.txt")?, true)?;
    let mut others = Vec::new();
    for name in ["debian.txt", "mime-guess.txt", "python.txt"] {
        others.push(types_by_extension(&read(name)?, false)?);
    }
    let debian = others.first().cloned().unwrap_or_default();
    let extensions: BTreeSet<String> = mime_db
        .keys()
        .chain(others.iter().flat_map(BTreeMap::keys))
        .chain(overrides.extensions.keys())
        .cloned()
        .collect();
    let mut rows = Vec::new();
    for extension in extensions {
        let canonical = |types: Vec<String>| -> Vec<String> {
            let mut seen = BTreeSet::new();
            let names = types.into_iter().map(|name| overrides.canonical(name));
            names.filter(|name| seen.insert(name.clone())).collect()
        };
        let found = |list: &BTreeMap<String, Vec<String>>| {
            list.get(&extension).cloned().unwrap_or_default()
        };
        let by_override = overrides.extensions.get(&extension);
        let own = match by_override {
            Some((own, _)) => own.clone(),
            None => match mime_db.remove(&extension) {
                Some(types) => types,
                None => found(&debian),
            },
        };
        let mut own = canonical(own);
        if own.len() > 1 {
            own.retain(|name| !EMPTY.contains(&&**name));
        }
        if own == ["application/x-trash"] {
            own.clear();
        }
        let mut declared = by_override.map_or(Vec::new(), |(_, declared)| declared.clone());
        declared.extend(others.iter().flat_map(found));
        let mut declared = canonical(declared);
        declared.retain(|name| !EMPTY.contains(&&**name) && !own.contains(name));
        if !own.is_empty() || !declared.is_empty() {
            rows.push((extension, own, declared));
        }
    }
    Ok(print(&rows, &overrides))
}

type Row = (String, Vec<String>, Vec<String>);

fn print(rows: &[Row], overrides: &Overrides) -> String {
    let mut text = String::from(
        "# Which types extensions stand for; written by `cargo xtask tidy --write`, never by hand.\n\
         # From mime-db 1.54.0, the media-types 10.0.0 of Debian, mime_guess 2.0.5, Python 3.11.7, and\n\
         # xtask/media-types/overrides.txt, which explains the format.\n",
    );
    for (name, aliases) in overrides.names() {
        let _ = writeln!(text, "= {name} {}", aliases.join(" "));
    }
    for (extension, own, declared) in rows {
        let mut line = format!("{extension} {}", own.join(" "));
        if !declared.is_empty() {
            let _ = write!(line, " | {}", declared.join(" "));
        }
        let _ = writeln!(text, "{}", line.replace("  ", " "));
    }
    text
}

/// What is said by hand.
#[derive(Default)]
struct Overrides {
    /// Extension, its own types, what else it is declared as.
    extensions: BTreeMap<String, (Vec<String>, Vec<String>)>,
    /// Another name, and the name that is used.
    aliases: BTreeMap<String, String>,
}

impl Overrides {
    /// Reads lines such as `ai application/postscript | application/pdf` and `= image/jpeg image/jpg`.
    fn parse(text: &str) -> Result<Overrides> {
        let mut overrides = Overrides::default();
        for line in lines(text) {
            let (types, declared) = line.split_once('|').unwrap_or((line, ""));
            let mut words = types.split_whitespace().map(str::to_owned);
            let first = words
                .next()
                .with_context(|| format!("no extension: {line}"))?;
            if first == "=" {
                let name = words.next().with_context(|| format!("no name: {line}"))?;
                overrides
                    .aliases
                    .extend(words.map(|alias| (alias, name.clone())));
                continue;
            }
            let declared = declared.split_whitespace().map(str::to_owned).collect();
            let row = (words.collect(), declared);
            if overrides.extensions.insert(first.clone(), row).is_some() {
                bail!("{first} has two lines in overrides.txt");
            }
        }
        Ok(overrides)
    }

    /// Returns each name that is used, and the others that it has.
    fn names(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (alias, name) in &self.aliases {
            names.entry(name).or_default().push(alias);
        }
        names
    }

    fn canonical(&self, name: String) -> String {
        self.aliases.get(&name).cloned().unwrap_or(name)
    }
}

/// Reads lines of a type, if so said the source it is from, and its extensions.
///
/// Types of the IANA registry come first, then those that no source is named for; of equals the plain names.
fn types_by_extension(text: &str, has_source: bool) -> Result<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<(u8, bool, usize, String)>> = BTreeMap::new();
    for (number, line) in lines(text).enumerate() {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default().to_ascii_lowercase();
        if name.split('/').count() != 2 {
            bail!("{name:?} is no type: {line}");
        }
        let rank = match has_source.then(|| words.next()).flatten() {
            None | Some("iana") => 0,
            Some("-") => 1,
            Some(_) => 2,
        };
        let is_experimental = name.contains("/x-");
        for extension in words {
            let extension = extension.to_ascii_lowercase();
            let row = (rank, is_experimental, number, name.clone());
            found.entry(extension).or_default().push(row);
        }
    }
    Ok(found
        .into_iter()
        .map(|(extension, mut rows)| {
            rows.sort();
            let names = rows.into_iter().map(|(_, _, _, name)| name);
            (extension, names.collect())
        })
        .collect())
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_name_types_and_other_names() {
        let overrides =
            Overrides::parse("# x\n= image/jpeg image/jpg\nai a/b c/d | e/f\n").unwrap();
        assert_eq!(overrides.canonical("image/jpg".to_owned()), "image/jpeg");
        let row = (
            vec!["a/b".to_owned(), "c/d".to_owned()],
            vec!["e/f".to_owned()],
        );
        assert_eq!(overrides.extensions["ai"], row);
        assert!(Overrides::parse("ai a/b\nai a/b\n").is_err());
    }

    #[test]
    fn types_of_the_registry_come_first() {
        let list = "video/x-a apache a\nvideo/a iana a b\naudio/a - a\n";
        let types = types_by_extension(list, true).unwrap();
        assert_eq!(types["a"], ["video/a", "audio/a", "video/x-a"]);
        assert_eq!(types["b"], ["video/a"]);
        assert!(types_by_extension("nonsense a\n", false).is_err());
    }
}

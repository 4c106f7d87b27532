//! Words that no reader should have to guess at: how often each may still occur, a number that only falls.
//!
//! They are listed in `xtask/tidy/words.txt`.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::Findings;
use crate::tree::TextFile;

/// The list, from the workspace's folder.
pub(super) const LIST: &str = "xtask/tidy/words.txt";

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
struct Refused<'a> {
    words: &'a str,
    /// What to write in their place.
    plain: &'a str,
    /// How often they may still occur.
    limit: usize,
}

/// Checks how often each of the words occurs.
///
/// # Errors
///
/// There is no list, or a line of it cannot be read.
pub(super) fn check(tree: &[TextFile], findings: &mut Findings) -> Result<()> {
    let list = list_of(tree)?;
    for refused in parse(list)? {
        findings.checked += 1;
        let count = occurrences(tree, refused.words);
        let Refused {
            words,
            plain,
            limit,
        } = refused;
        if count > limit {
            findings.error(format!(
                "\"{words}\" occurs {count} times, more than the {limit} that {LIST} still allows; \
                 write {plain} (git diff main | grep -i '^+.*{words}')"
            ));
        } else if count < limit {
            findings.warn(format!(
                "\"{words}\" occurs {count} times only: `cargo xtask tidy --write` lowers its limit of {limit}"
            ));
        }
    }
    Ok(())
}

/// Returns the words of the list.
///
/// # Errors
///
/// There is no list, or a line of it cannot be read.
pub(super) fn refused(tree: &[TextFile]) -> Result<Vec<&str>> {
    let refused = parse(list_of(tree)?)?;
    Ok(refused.into_iter().map(|refused| refused.words).collect())
}

/// Returns the list with each limit lowered to what there is.
///
/// # Errors
///
/// There is no list, or a line of it cannot be read.
pub(super) fn lowered(tree: &[TextFile]) -> Result<String> {
    let mut text = String::new();
    for line in list_of(tree)?.lines() {
        match parse_line(line)? {
            None => writeln!(text, "{line}")?,
            Some(refused) => {
                let count = occurrences(tree, refused.words).min(refused.limit);
                writeln!(text, "{} | {} | {count}", refused.words, refused.plain)?;
            }
        }
    }
    Ok(text)
}

fn list_of(tree: &[TextFile]) -> Result<&str> {
    let file = tree.iter().find(|file| file.path == LIST);
    Ok(&file.with_context(|| format!("{LIST} is missing"))?.text)
}

fn parse(list: &str) -> Result<Vec<Refused<'_>>> {
    list.lines()
        .filter_map(|line| parse_line(line).transpose())
        .collect()
}

fn parse_line(line: &str) -> Result<Option<Refused<'_>>> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let parts: Vec<_> = line.split(" | ").collect();
    let [words, plain, limit] = parts[..] else {
        anyhow::bail!("{LIST}: `{line}` is not `words | plain words | limit`");
    };
    let limit = limit
        .parse()
        .with_context(|| format!("{LIST}: the limit of `{words}`"))?;
    Ok(Some(Refused {
        words,
        plain,
        limit,
    }))
}

fn occurrences(tree: &[TextFile], words: &str) -> usize {
    let files = tree.iter().filter(|file| is_prose_or_code(file));
    files.map(|file| count(&file.text, words)).sum()
}

/// Tells whether this file was written for readers.
fn is_prose_or_code(file: &TextFile) -> bool {
    let endings = [
        ".rs", ".md", ".js", ".mjs", ".ts", ".lua", ".toml", ".html", ".css",
    ];
    // What the release before said stays as it was.
    endings.iter().any(|ending| file.is(ending)) && file.path != "CHANGELOG.md"
}

/// Counts the places at which the words stand by themselves, in prose or as a part of a name.
pub(super) fn count(text: &str, words: &str) -> usize {
    let (text, words) = (text.to_lowercase(), words.to_lowercase());
    let is_inside = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
    let places = text.match_indices(&words);
    let whole = places.filter(|(at, _)| {
        let (before, after) = (&text[..*at], &text[at + words.len()..]);
        !is_inside(before.chars().next_back()) && !is_inside(after.chars().next())
    });
    whole.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn words_are_counted_by_themselves_and_in_names() {
        let text = "It goes on. Goes\non; fn goes_on() {} Here it Goes On, and it goes only.";
        assert_eq!(count(text, "goes on"), 2);
        assert_eq!(count("lot, is_lot, slot, Lot, lots", "lot"), 3);
    }

    #[test]
    fn a_limit_is_kept_and_lowered() {
        let tree = |limit: usize| {
            [
                file("a.md", "girth girth"),
                file("b.json", "girth"),
                file(LIST, &format!("# Words.\n\ngirth | size | {limit}\n")),
            ]
        };
        let errors = |limit| {
            let mut findings = Findings::default();
            check(&tree(limit), &mut findings).unwrap();
            (findings.errors.len(), findings.warnings.len())
        };
        assert_eq!((errors(1), errors(2), errors(3)), ((1, 0), (0, 0), (0, 1)));
        let lowered = |limit| lowered(&tree(limit)).unwrap();
        assert_eq!(lowered(3), "# Words.\n\ngirth | size | 2\n");
        assert_eq!(lowered(1), "# Words.\n\ngirth | size | 1\n");
        assert!(parse("girth | size").is_err() && parse("girth | size | few").is_err());
    }
}

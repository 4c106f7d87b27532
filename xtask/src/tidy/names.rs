//! Names in documents: what stands in code and looks like a name of ours is one.

use std::collections::BTreeSet;

use super::Findings;
use crate::tree::TextFile;

/// Names of others that documents may have, one on each line.
const FOREIGN: &str = "xtask/tidy/foreign.txt";
/// Shorter ones are too likely to be a word.
const LETTERS_MIN: usize = 4;
/// Names of earlier releases stay in what was said about them.
const HISTORY: &str = "CHANGELOG.md";

/// Checks that each name occurs in a file that is no document.
pub(super) fn check(tree: &[TextFile], findings: &mut Findings) {
    let is_source = |file: &&TextFile| !file.is(".md") && file.path != FOREIGN;
    let sources = tree.iter().filter(is_source);
    let ours: BTreeSet<_> = sources.flat_map(|file| names(&file.text)).collect();
    let list = tree.iter().find(|file| file.path == FOREIGN);
    let foreign: BTreeSet<_> = list.iter().flat_map(|file| names(&file.text)).collect();
    let mut needed = BTreeSet::new();
    for file in tree
        .iter()
        .filter(|file| file.is(".md") && file.path != HISTORY)
    {
        findings.checked += 1;
        for (number, code) in codes(&file.text) {
            let unknown = names(code).filter(|name| is_distinctive(name) && !ours.contains(name));
            for name in unknown {
                if !foreign.contains(name) {
                    let path = &file.path;
                    findings.error(format!(
                        "{path}:{number}: nothing is called {name}; {FOREIGN} has names of others"
                    ));
                }
                needed.insert(name);
            }
        }
    }
    for name in foreign.difference(&needed) {
        findings.error(format!("{FOREIGN}: no document needs {name}"));
    }
}

/// Returns the pieces of code in prose, with their lines.
fn codes(document: &str) -> Vec<(usize, &str)> {
    let mut in_block = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(document.lines()) {
        let is_fence = line.trim_start().starts_with("```");
        in_block = in_block != is_fence;
        if !in_block && !is_fence {
            found.extend(
                line.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(|code| (number, code)),
            );
        }
    }
    found
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with(|letter: char| letter.is_alphabetic() || letter == '_'))
}

/// Tells a name from a word: it has an underscore within it, or a capital behind a small letter.
fn is_distinctive(name: &str) -> bool {
    let bytes = name.as_bytes();
    let has_hump = bytes
        .windows(2)
        .any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    let is_whole = !name.starts_with('_') && !name.ends_with('_');
    name.len() >= LETTERS_MIN && is_whole && (has_hump || name.contains('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(document: &str, foreign: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let tree = [
            file("a.md", document),
            file("b.rs", "fn open_file() {}\nstruct OpenFile;"),
            file(FOREIGN, foreign),
        ];
        let mut findings = Findings::default();
        check(&tree, &mut findings);
        findings.errors
    }

    #[test]
    fn names_that_nothing_has_are_errors() {
        assert_eq!(
            errors("`OpenFile::open_file(path)` and open_files", ""),
            [""; 0]
        );
        assert_eq!(errors("`OpenFiles`", "").len(), 1);
        assert_eq!(errors("`open_files = 1`", "").len(), 1);
        assert_eq!(errors("`OpenFiles`", "OpenFiles\n"), [""; 0]);
        assert_eq!(errors("a", "OpenFiles\n").len(), 1);
        assert_eq!(
            errors("```\n`open_files`\n```\n`files`, `UPLOAD_`", ""),
            [""; 0]
        );
    }
}

//! The protocol's rules: each is named by a test, and no file names one that does not exist.

use std::collections::BTreeSet;

use super::Findings;
use crate::tree::TextFile;

/// Checks that each rule of the document is named by at least one test.
pub(super) fn check(document: &TextFile, tree: &[TextFile], findings: &mut Findings) {
    let rules = rules(&document.text);
    if rules.is_empty() {
        findings.error(format!(
            "{} has no rules: lines that begin with `- **NAME-1**`",
            document.path
        ));
    }
    let families: BTreeSet<_> = rules
        .iter()
        .filter_map(|rule| rule.split('-').next())
        .collect();
    let mut tested = BTreeSet::new();
    for file in tree.iter().filter(|file| is_code(file)) {
        for rule in named(&file.text, &families) {
            if !rules.contains(rule) {
                findings.error(format!(
                    "{} names {rule}, which {} does not have",
                    file.path, document.path
                ));
            }
        }
        tested.extend(named(test_part(file), &families));
    }
    findings.checked += rules.len();
    for rule in rules.iter().filter(|rule| !tested.contains(*rule)) {
        findings.error(format!("no test names {rule}"));
    }
}

fn rules(document: &str) -> BTreeSet<&str> {
    let bullets = document
        .lines()
        .filter_map(|line| line.strip_prefix("- **"));
    bullets
        .filter_map(|bullet| bullet.split_once("**"))
        .map(|(rule, _)| rule)
        .filter(|rule| is_rule(rule))
        .collect()
}

/// Tells whether this is a rule's name: capital letters, a hyphen, a number, perhaps a letter.
fn is_rule(word: &str) -> bool {
    let Some((family, number)) = word.split_once('-') else {
        return false;
    };
    let digits = number.trim_end_matches(|last: char| last.is_ascii_lowercase());
    let letters = number.len() - digits.len();
    !family.is_empty()
        && family.bytes().all(|byte| byte.is_ascii_uppercase())
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && letters <= 1
}

fn named<'a>(text: &'a str, families: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    let words = text.split(|ch: char| !(ch.is_ascii_alphanumeric() || ch == '-'));
    let known = |word: &&str| {
        word.split('-')
            .next()
            .is_some_and(|family| families.contains(family))
    };
    words
        .map(|word| word.trim_end_matches('-'))
        .filter(known)
        .filter(|word| is_rule(word))
        .collect()
}

fn is_code(file: &TextFile) -> bool {
    [".rs", ".js", ".mjs"].iter().any(|ending| file.is(ending)) && !file.path.starts_with("xtask/")
}

/// Returns the part of a file that is run by tests only.
fn test_part(file: &TextFile) -> &str {
    let in_tests = file
        .path
        .split('/')
        .any(|part| part == "tests" || part == "test");
    if in_tests || file.name() == "tests.rs" || file.name().contains(".test.") {
        return &file.text;
    }
    file.text
        .find("#[cfg(test)]")
        .map_or("", |at| &file.text[at..])
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
    fn a_rule_without_a_test_and_a_test_without_a_rule_are_seen() {
        let document = file(
            "docs/P.md",
            "- **AB-1** One.\n- **AB-1a** Two.\n- **CD-2** Three.\n- **note** no\n",
        );
        let tree = [
            file(
                "x/src/a.rs",
                "/// AB-1a in code does not count.\n#[cfg(test)]\nmod tests { /* AB-1 */ }",
            ),
            file(
                "x/tests/b/main.rs",
                "/// AB-9: there is none. UTF-8 is no rule, AB-10-x neither.",
            ),
            file("x/client/test/c.test.js", "test('CD-2: three', () => {});"),
        ];
        let mut findings = Findings::default();
        check(&document, &tree, &mut findings);
        assert_eq!(
            findings.errors,
            [
                "x/tests/b/main.rs names AB-9, which docs/P.md does not have",
                "no test names AB-1a"
            ]
        );
    }
}

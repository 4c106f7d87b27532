//! The protocol's rules: each is named by a test, and no file names one that does not exist.
//!
//! Rules of HTTP have a short name, a letter and a number: they are the specifications' of others.
//!
//! A test names a rule in the doc comment or the name of its function, or, in JavaScript, in its title; what a
//! comment next to it says proves nothing.

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
    let long = rules.iter().filter(|rule| is_rule(rule));
    let families: BTreeSet<_> = long.filter_map(|rule| rule.split('-').next()).collect();
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
        let texts = proofs(file);
        tested.extend(texts.iter().flat_map(|text| owned(named(text, &families))));
        tested.extend(texts.iter().flat_map(|text| owned(short(text))));
    }
    findings.checked += rules.len();
    for rule in rules.iter().filter(|rule| !tested.contains(**rule)) {
        findings.error(format!(
            "no test names {rule} in its name or in its doc comment"
        ));
    }
}

fn rules(document: &str) -> BTreeSet<&str> {
    let bullets = document
        .lines()
        .filter_map(|line| line.strip_prefix("- **"));
    bullets
        .filter_map(|bullet| bullet.split_once("**"))
        .map(|(rule, _)| rule)
        .filter(|rule| is_rule(rule) || is_short_rule(rule))
        .collect()
}

/// Tells whether this is the name of a rule of HTTP: `T1` of tus, `R1` of resumable uploads.
fn is_short_rule(word: &str) -> bool {
    let number = word.strip_prefix(['T', 'R']).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn short(text: &str) -> BTreeSet<&str> {
    let words = text.split(|ch: char| !ch.is_ascii_alphanumeric());
    words.filter(|word| is_short_rule(word)).collect()
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

fn owned(rules: BTreeSet<&str>) -> Vec<String> {
    rules.into_iter().map(str::to_owned).collect()
}

/// Returns the names and doc comments of a file's tests, the names written as rules are.
fn proofs(file: &TextFile) -> Vec<String> {
    if file.is(".rs") {
        rust_proofs(&file.text)
    } else {
        titles(&file.text)
    }
}

fn rust_proofs(text: &str) -> Vec<String> {
    let mut proofs = Vec::new();
    let (mut docs, mut is_test) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            docs = docs + doc + "\n";
        } else if line.starts_with("#[") {
            is_test |= line.contains("test") && !line.contains("cfg");
        } else {
            let name = line
                .split_once("fn ")
                .and_then(|(_, rest)| rest.split(['(', '<']).next());
            if let Some(name) = name.filter(|_| is_test) {
                proofs.push(std::mem::take(&mut docs));
                proofs.push(as_rules(name));
            }
            (docs, is_test) = (String::new(), false);
        }
    }
    proofs
}

/// Writes `ctrl_4_refuses_a_ref` as `CTRL-4`, `4-REFUSES` and so on, of which only rules are ever looked up.
fn as_rules(name: &str) -> String {
    let words: Vec<_> = name.split('_').collect();
    let pairs = words.windows(2).map(|pair| match pair {
        [family, number] => format!("{}-{number}", family.to_uppercase()),
        _ => String::new(),
    });
    pairs.collect::<Vec<_>>().join(" ")
}

/// Returns what is in quotes after `test(`, `it(` and `describe(`.
fn titles(text: &str) -> Vec<String> {
    let mut titles = Vec::new();
    for call in ["test(", "it(", "describe("] {
        for (_, rest) in text
            .match_indices(call)
            .map(|(at, _)| text.split_at(at + call.len()))
        {
            let rest = rest.trim_start();
            let quote = rest.chars().next().filter(|quote| "\"'`".contains(*quote));
            if let Some(quote) = quote {
                let title = rest[1..].split(quote).next();
                titles.extend(title.map(str::to_owned));
            }
        }
    }
    titles
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
            "- **AB-1** One.\n- **AB-1a** Two.\n- **CD-2** Three.\n- **CD-3** Four.\n- **T1** Five.\n- **R2** Six.\n- **note** no\n",
        );
        let tree = [
            file(
                "x/src/a.rs",
                "/// AB-1a in code does not count.\nfn a() {}\n#[cfg(test)]\nmod tests {\n    /// AB-1: one.\n    #[test]\n    fn b() {}\n}\n",
            ),
            file(
                "x/tests/b/main.rs",
                "//! AB-1a\n\n// AB-1a\n#[tokio::test]\nasync fn refused_by_cd_3_at_once() {}\n#[test]\nfn t1_is_five() {}\n\n/// AB-9: there is none. UTF-8 is no rule, AB-10-x neither.\nfn c() { /* AB-1a */ }",
            ),
            file(
                "x/client/test/c.test.js",
                "// AB-1a\ntest('CD-2: three', () => {});",
            ),
        ];
        let mut findings = Findings::default();
        check(&document, &tree, &mut findings);
        assert_eq!(
            findings.errors,
            [
                "x/tests/b/main.rs names AB-9, which docs/P.md does not have",
                "no test names AB-1a in its name or in its doc comment",
                "no test names R2 in its name or in its doc comment"
            ]
        );
    }
}

//! How many lines of the published crates' `src` are code, comments, tests and blank.

use std::{collections::BTreeMap, ops::AddAssign};

use super::Findings;
use crate::{fences::PUBLISHED, tree::TextFile};

/// Lines of code that the published crates may have, without their tests and what `testing` brings.
const CODE_MAX: usize = 25_400;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    Comment,
    /// Code, comment or blank, in what only tests compile.
    Test,
    Blank,
}

/// Lines of one crate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Code, without that of `testing`.
    code: usize,
    /// Code that a feature `testing` brings.
    testing: usize,
    comment: usize,
    test: usize,
    blank: usize,
}

impl AddAssign for Lines {
    fn add_assign(&mut self, other: Self) {
        self.code += other.code;
        self.testing += other.testing;
        self.comment += other.comment;
        self.test += other.test;
        self.blank += other.blank;
    }
}

/// Counts the lines of each crate.
pub(super) fn count(tree: &[TextFile]) -> BTreeMap<&'static str, Lines> {
    let mut crates = BTreeMap::new();
    for name in PUBLISHED {
        let start = format!("{name}/src/");
        let files: Vec<_> = tree
            .iter()
            .filter(|file| file.path.starts_with(&start) && file.is(".rs"))
            .collect();
        let tests = Gated::of(&files, is_test_gate);
        let testing = Gated::of(&files, is_testing_gate);
        let mut lines = Lines::default();
        for file in &files {
            let is_test = tests.holds(file);
            let is_testing = testing.holds(file);
            for kind in kinds(&file.text) {
                match kind {
                    _ if is_test => lines.test += 1,
                    Kind::Code if is_testing => lines.testing += 1,
                    Kind::Code => lines.code += 1,
                    Kind::Comment => lines.comment += 1,
                    Kind::Test => lines.test += 1,
                    Kind::Blank => lines.blank += 1,
                }
            }
        }
        crates.insert(*name, lines);
    }
    crates
}

/// The modules of a crate that are behind a gate.
pub(super) struct Gated(Vec<String>);

impl Gated {
    /// Finds the modules that only tests compile.
    pub(super) fn tests(files: &[&TextFile]) -> Self {
        Self::of(files, is_test_gate)
    }

    fn of(files: &[&TextFile], gate: fn(&str) -> bool) -> Self {
        let gated = files.iter().flat_map(|file| gated_modules(file, gate));
        Self(gated.collect())
    }

    /// Tells whether a file is one of them, or within one.
    pub(super) fn holds(&self, file: &TextFile) -> bool {
        let stem = file.path.trim_end_matches(".rs");
        self.0.iter().any(|module| {
            let rest = stem.strip_prefix(&**module);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// Checks that there is no more code than there may be.
pub(super) fn check(crates: &BTreeMap<&'static str, Lines>, findings: &mut Findings) {
    findings.checked += 1;
    let code = sum(crates).code;
    if code > CODE_MAX {
        findings.warn(format!("{code} lines of code, more than {CODE_MAX}"));
    }
}

/// Returns the table of all crates, with their sum.
pub(super) fn table(crates: &BTreeMap<&'static str, Lines>) -> String {
    let row = |name: &str, lines: &Lines| {
        format!(
            "{name:<16}{:>8}{:>9}{:>9}{:>8}{:>8}\n",
            lines.code, lines.testing, lines.comment, lines.test, lines.blank
        )
    };
    let mut text = format!(
        "{:<16}{:>8}{:>9}{:>9}{:>8}{:>8}\n",
        "lines of src", "code", "testing", "comment", "test", "blank"
    );
    for (name, lines) in crates {
        text += &row(name, lines);
    }
    text + &row("all", &sum(crates))
}

/// Adds up all crates.
fn sum(crates: &BTreeMap<&'static str, Lines>) -> Lines {
    let mut all = Lines::default();
    for lines in crates.values() {
        all += *lines;
    }
    all
}

/// Tells of each line of a file what it is.
pub(super) fn kinds(text: &str) -> Vec<Kind> {
    let mut kinds = Vec::new();
    // How far the item is indented that only tests compile.
    let mut item: Option<usize> = None;
    for line in text.lines() {
        let rest = line.trim();
        let indent = line.len() - line.trim_start().len();
        if item.is_none() && is_test_gate(rest) {
            item = Some(indent);
            kinds.push(Kind::Test);
        } else if let Some(own) = item {
            kinds.push(Kind::Test);
            let is_attribute = rest.starts_with('#') || rest.starts_with("//");
            if indent == own && !is_attribute && rest.ends_with([';', '}', ',']) {
                item = None;
            }
        } else if rest.is_empty() {
            kinds.push(Kind::Blank);
        } else if rest.starts_with("//") {
            kinds.push(Kind::Comment);
        } else {
            kinds.push(Kind::Code);
        }
    }
    kinds
}

fn is_test_gate(line: &str) -> bool {
    line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test")
}

fn is_testing_gate(line: &str) -> bool {
    line.starts_with("#[cfg(") && line.contains("feature = \"testing\"")
}

/// Returns the paths, without their endings, of the modules that a file declares behind a gate.
fn gated_modules(file: &TextFile, gate: fn(&str) -> bool) -> Vec<String> {
    let stem = file.path.trim_end_matches(".rs");
    let folder = match stem.rsplit_once('/') {
        Some((folder, "lib" | "main")) => folder,
        _ => stem,
    };
    let mut modules = Vec::new();
    let mut is_gated = false;
    for line in file.text.lines().map(str::trim) {
        if gate(line) {
            is_gated = true;
        } else if is_gated && !line.starts_with('#') && !line.starts_with("//") {
            is_gated = false;
            let name = line
                .split("mod ")
                .nth(1)
                .and_then(|rest| rest.strip_suffix(';'));
            modules.extend(name.map(|name| format!("{folder}/{name}")));
        }
    }
    modules
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
    fn each_line_is_of_one_kind() {
        let text = "//! A.\n\nfn a() {}\n#[cfg(test)]\nmod b;\nfn c() {\n    // Why.\n}\n#[cfg(test)]\nmod tests {\n\n    fn d() {}\n}\nfn e() {}\n";
        let letters = kinds(text).into_iter().map(|kind| match kind {
            Kind::Code => 'c',
            Kind::Comment => '/',
            Kind::Test => 't',
            Kind::Blank => '_',
        });
        assert_eq!(letters.collect::<String>(), "/_cttc/ctttttc");
    }

    #[test]
    fn modules_behind_a_gate_count_as_what_the_gate_says() {
        let tree = [
            file(
                "upload-core/src/lib.rs",
                "#[cfg(feature = \"testing\")]\npub mod testing;\nmod a;\n#[cfg(test)]\nmod tests;\n",
            ),
            file("upload-core/src/testing.rs", "fn a() {}\n// Why.\n"),
            file("upload-core/src/testing/b.rs", "fn a() {}\n"),
            file("upload-core/src/tests.rs", "fn a() {}\n\n// Why.\n"),
            file("upload-core/src/a.rs", "fn a() {}\n"),
            file("upload-core/tests/a.rs", "fn a() {}\n"),
        ];
        let lines = count(&tree)["upload-core"];
        let expected = Lines {
            code: 4,
            testing: 2,
            comment: 1,
            test: 5,
            blank: 0,
        };
        assert_eq!(lines, expected);
    }
}

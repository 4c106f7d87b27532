//! Source files: how they open, how long they are, what they must not hold.

use std::collections::BTreeMap;

use super::Findings;
use crate::tree::TextFile;

/// Lines past which a file needs a reason for having no second room.
const LINES_MAX: usize = 400;
/// The files that have one, each with it.
const LONG: &str = "xtask/tidy/long.txt";

/// What no source file may hold, and why. The words are cut so that this file does not hold them.
const NOWHERE: &[(&str, &str)] = &[
    (
        concat!("to", "do!("),
        "unfinished work is an issue, not a macro",
    ),
    (
        concat!("unimplemented", "!("),
        "unfinished work is an issue, not a macro",
    ),
    (concat!("db", "g!("), "left over from debugging"),
    (
        concat!("#[ig", "nore]"),
        "an ignored test says why: #[ignore = \"reason\"]",
    ),
    (
        concat!("test.", "skip("),
        "a test that is skipped reports ok",
    ),
    (
        concat!("describe.", "skip("),
        "a test that is skipped reports ok",
    ),
    (concat!("test.", "only("), "left over from debugging"),
    (concat!("debugger", ";"), "left over from debugging"),
];
/// Places that exist on one machine only; no file of ours names them.
const FOREIGN: &[&str] = &[concat!("/wo", "rk/"), concat!("../sha", "red")];

/// Checks one file by itself.
pub(super) fn check(file: &TextFile, findings: &mut Findings) {
    for place in FOREIGN {
        if file.text.contains(place) {
            findings.error(format!("{} names {place}", file.path));
        }
    }
    if !is_source(file) {
        return;
    }
    findings.checked += 1;
    let opens_well = if file.is(".rs") {
        file.text.starts_with("//! ")
    } else {
        true
    };
    if !opens_well || file.summary().is_none() {
        findings.error(format!(
            "{} does not open with a line that says what it is for",
            file.path
        ));
    }
    for (number, line) in (1..).zip(file.text.lines()) {
        for (words, why) in NOWHERE {
            if line.contains(words) {
                findings.error(format!("{}:{number}: {words} ({why})", file.path));
            }
        }
    }
    if file.name() == "lib.rs" && file.path.contains("/src/") {
        check_lib(file, findings);
    }
    if file.name() == "mod.rs" {
        findings.error(format!(
            "{}: a module foo is foo.rs next to foo/",
            file.path
        ));
    }
}

/// Checks that a long file has a reason to be long, and that only long files have one.
pub(super) fn check_lengths(tree: &[TextFile], findings: &mut Findings) {
    let list = tree.iter().find(|file| file.path == LONG);
    let lines = list.map_or("", |list| &list.text).lines();
    let mut reasons: BTreeMap<_, _> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" | ").unwrap_or((line, "")))
        .collect();
    for file in tree.iter().filter(|file| is_source(file)) {
        let lines = file.text.lines().count();
        let reason = reasons.remove(&*file.path);
        match reason {
            Some("") => findings.error(format!("{LONG}: {} without a reason", file.path)),
            None if lines > LINES_MAX => findings.error(format!(
                "{} has {lines} lines, more than {LINES_MAX}, and no reason in {LONG}",
                file.path
            )),
            Some(_) if lines <= LINES_MAX => findings.warn(format!(
                "{} has {lines} lines: it needs no reason in {LONG} any more",
                file.path
            )),
            _ => {}
        }
    }
    for path in reasons.keys() {
        findings.warn(format!("{LONG}: there is no {path} any more"));
    }
}

/// Checks that every crate introduces itself.
pub(super) fn check_crates(tree: &[TextFile], findings: &mut Findings) {
    for manifest in tree
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"))
    {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        let has = |start: &str| {
            tree.iter().any(|file| {
                file.path
                    .strip_prefix(folder)
                    .is_some_and(|path| path.starts_with(start))
            })
        };
        findings.checked += 1;
        if !manifest.text.contains("[lints]\nworkspace = true") {
            findings.error(format!(
                "{} does not take the workspace's lints",
                manifest.path
            ));
        }
        if manifest.text.contains("publish = false") {
            continue;
        }
        for needed in ["README.md", "examples/"] {
            if !has(needed) {
                findings.error(format!("{folder} has no {needed}"));
            }
        }
    }
}

fn is_source(file: &TextFile) -> bool {
    let endings = [".rs", ".js", ".mjs", ".lua", ".d.ts"];
    endings.iter().any(|ending| file.is(ending))
}

/// A `lib.rs` is the crate's table of contents.
fn check_lib(file: &TextFile, findings: &mut Findings) {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: Vec<_> = file.text.lines().filter(is_code).collect();
    let without_strings: String = code.join("\n").split('"').step_by(2).collect();
    let without_remarks = without_strings
        .lines()
        .filter_map(|line| line.split("//").next());
    let code = without_remarks.collect::<Vec<_>>().join(" ");
    for statement in code.split_inclusive(';') {
        let mut statement = statement.trim();
        while let Some(rest) = statement.strip_prefix("#") {
            statement = rest.split_once(']').map_or("", |(_, rest)| rest).trim();
        }
        let allowed = ["mod ", "pub mod ", "pub use "]
            .iter()
            .any(|start| statement.starts_with(start));
        if !statement.is_empty() && !allowed {
            let shown: String = statement.chars().take(60).collect();
            findings.error(format!(
                "{} holds more than docs, mod and pub use: {shown}",
                file.path
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(path: &str, text: &str) -> usize {
        let mut findings = Findings::default();
        check(
            &TextFile {
                path: path.to_owned(),
                text: text.to_owned(),
            },
            &mut findings,
        );
        findings.errors.len()
    }

    #[test]
    fn heads_and_leftovers_are_seen() {
        assert_eq!(errors("a/src/b.rs", "//! Fine.\nfn a() {}\n"), 0);
        assert_eq!(errors("a/src/b.rs", "fn a() {}\n"), 1);
        assert_eq!(errors("a/src/b.rs", "// Not a doc comment.\n"), 1);
        assert_eq!(errors("a/b.js", "// Fine.\nexport {};\n"), 0);
        assert_eq!(errors("a/b.js", "// @ts-check\nexport {};\n"), 1);
        let leftover = concat!("//! A.\nfn a() { db", "g!(1); }\n");
        assert_eq!(errors("a/src/b.rs", leftover), 1);
        assert_eq!(errors("a/src/b/mod.rs", "//! A.\n"), 1);
        assert_eq!(errors("README.md", concat!("See ../sha", "red/X.md")), 1);
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let found = |lines: usize, list: &str| {
            let file = |path: &str, text: &str| TextFile {
                path: path.to_owned(),
                text: text.to_owned(),
            };
            let tree = [file("a.rs", &"x\n".repeat(lines)), file(LONG, list)];
            let mut findings = Findings::default();
            check_lengths(&tree, &mut findings);
            (findings.errors.len(), findings.warnings.len())
        };
        assert_eq!(found(400, ""), (0, 0));
        assert_eq!(found(401, "# a.rs | no\n"), (1, 0));
        assert_eq!(found(401, "a.rs | one table\n"), (0, 0));
        assert_eq!(found(401, "a.rs | \n"), (1, 0));
        assert_eq!(found(400, "a.rs | one table\nb.rs | gone\n"), (0, 2));
    }

    #[test]
    fn a_lib_is_a_table_of_contents() {
        let good = "//! A \"b.\n#![warn(x)]\n#![cfg_attr(x, doc = \"a; [`B`] // c\")]\n\nmod a; // why\n#[cfg(feature = \"b\")]\npub mod b;\npub use a::{\n    A,\n    B,\n};\n";
        assert_eq!(errors("a/src/lib.rs", good), 0);
        assert_eq!(errors("a/src/lib.rs", "//! A.\nmod a;\nfn b() {}\n"), 1);
        assert_eq!(
            errors(
                "a/src/lib.rs",
                "//! A.\npub use a::A;\nconst B: u8 = 1;\nmod c;\n"
            ),
            1
        );
    }
}

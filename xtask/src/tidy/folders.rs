//! The order of each crate's folders: an import goes down in it, never up.
//!
//! ARCHITECTURE.md states it, a line per crate: the names of the modules of its `lib.rs`, the upper ones first.
//! As there is an order, folders cannot import each other in a circle either; only single files that are joined
//! by a `+` may.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::Peekable,
    str::Chars,
};

use anyhow::{Context, Result};

use super::{
    Findings,
    lines::{Gated, Kind, kinds},
};
use crate::{blocks, tree::TextFile};

/// The name of the part of ARCHITECTURE.md that states the order.
const ORDER: &str = "folders";

/// Checks the imports of every crate whose order is stated.
///
/// # Errors
///
/// The document does not state the order.
pub(super) fn check(
    architecture: &TextFile,
    tree: &[TextFile],
    findings: &mut Findings,
) -> Result<()> {
    let block = blocks::find(&architecture.text, ORDER).context("the order of folders")?;
    for (package, order) in orders(block) {
        let start = format!("{package}/src/");
        let files = tree
            .iter()
            .filter(|file| file.path.starts_with(&start) && file.is(".rs"));
        let files: Vec<_> = files
            .filter(|file| !file.path.starts_with(&format!("{start}bin")))
            .collect();
        let Some(lib) = files
            .iter()
            .find(|file| file.path == format!("{start}lib.rs"))
        else {
            findings.error(format!(
                "{}: there is no crate {package}",
                architecture.path
            ));
            continue;
        };
        let root = Root::of(&lib.text);
        let rank: BTreeMap<_, _> = (0..)
            .zip(&order)
            .flat_map(|(rank, step)| step.split('+').map(move |name| (name.trim(), rank)))
            .collect();
        let stated: BTreeSet<_> = rank.keys().copied().collect();
        for missing in root.modules.difference(&stated) {
            findings.warn(format!(
                "{}: the order of {package} does not say where {missing} belongs",
                architecture.path
            ));
        }
        for gone in stated.difference(&root.modules) {
            findings.error(format!(
                "{}: {package} has no module {gone}",
                architecture.path
            ));
        }
        for step in order.iter().filter(|step| step.contains('+')) {
            for folder in step.split('+').map(str::trim) {
                let inside = format!("{start}{folder}/");
                if files.iter().any(|file| file.path.starts_with(&inside)) {
                    findings.error(format!(
                        "{}: {folder} of {package} is a folder, so no other may import it and be imported by it",
                        architecture.path
                    ));
                }
            }
        }
        let tests = Gated::tests(&files);
        for file in files.iter().filter(|file| !tests.holds(file)) {
            findings.checked += 1;
            let path = file.path[start.len()..].trim_end_matches(".rs");
            let modules: Vec<_> = path.split('/').collect();
            let Some(own) = rank.get(modules[0]) else {
                continue;
            };
            for module in imports(&file.text, modules.len(), &root) {
                if rank.get(&*module).is_some_and(|other| other < own) {
                    findings.error(format!(
                        "{} imports from {module}, which is above {} in the order of {}",
                        file.path, modules[0], architecture.path
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Reads the block: `crate: upper, lower, lowest`, which may continue in indented lines.
fn orders(block: &str) -> Vec<(&str, Vec<&str>)> {
    let mut orders: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block.lines().filter(|line| !line.starts_with("```")) {
        let names = match line.split_once(':') {
            Some((package, names)) => {
                orders.push((package.trim(), Vec::new()));
                names
            }
            None => line,
        };
        if let Some((_, order)) = orders.last_mut() {
            let names = names.split(',').map(str::trim);
            order.extend(names.filter(|name| !name.is_empty()));
        }
    }
    orders
}

/// What a crate's `lib.rs` declares.
struct Root<'a> {
    modules: BTreeSet<&'a str>,
    /// Re-exported names, and the module each is from.
    names: BTreeMap<String, String>,
}

impl<'a> Root<'a> {
    fn of(lib: &'a str) -> Self {
        let kinds = kinds(lib);
        let lines = lib.lines().zip(kinds);
        let modules = lines
            .filter(|(_, kind)| *kind == Kind::Code)
            .filter_map(|(line, _)| {
                let line = line.trim().trim_start_matches("pub ");
                line.strip_prefix("mod ")?.strip_suffix(';')
            });
        let mut names = BTreeMap::new();
        for statement in code_of(lib).split(';') {
            let Some((_, path)) = statement.split_once("pub use ") else {
                continue;
            };
            for leaf in leaves(path) {
                let leaf = leaf.strip_prefix(&["self".to_owned()]).unwrap_or(&leaf);
                let own = leaf.last().cloned().unwrap_or_default();
                let own = own.rsplit(" as ").next().unwrap_or(&own).to_owned();
                names.insert(own, leaf.first().cloned().unwrap_or_default());
            }
        }
        Self {
            modules: modules.collect(),
            names,
        }
    }

    /// Returns the module that a name at the crate's root leads to.
    fn module(&self, name: &str) -> Option<String> {
        if self.modules.contains(name) {
            return Some(name.to_owned());
        }
        self.names.get(name).cloned()
    }
}

/// Returns the modules of the root that a file which is `depth` modules deep imports from, in what is no test.
fn imports(text: &str, depth: usize, root: &Root<'_>) -> BTreeSet<String> {
    let code = code_of(text);
    let to_root = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for start in ["crate::", &to_root] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            // Another path's end, or a longer way up.
            if before.is_some_and(|before| before.is_alphanumeric() || "_:$".contains(before)) {
                continue;
            }
            for leaf in leaves(&code[at + start.len()..]) {
                found.extend(leaf.first().and_then(|name| root.module(name)));
            }
        }
    }
    found
}

/// Returns the code of a file that is not only for tests, without comments and strings.
fn code_of(text: &str) -> String {
    let lines = text.lines().zip(kinds(text));
    let code = lines.filter(|(_, kind)| *kind == Kind::Code);
    let mut joined = String::new();
    for (line, _) in code {
        let without_strings: String = line.split('"').step_by(2).collect();
        joined += without_strings.split("//").next().unwrap_or("").trim();
        joined += " ";
    }
    joined
}

/// Returns the paths of a tree of imports that is at the beginning of some code.
fn leaves(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    // The path up to each brace that is open.
    let mut open: Vec<Vec<String>> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut word = String::new();
    let finish = |path: &[String], word: &mut String, found: &mut Vec<Vec<String>>| {
        let own = std::mem::take(word).trim().to_owned();
        if !own.is_empty() {
            let mut whole = path.to_vec();
            whole.push(own);
            found.push(whole);
        }
    };
    let mut rest = code.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            ':' if rest.peek() == Some(&':') => {
                rest.next();
                path.push(std::mem::take(&mut word).trim().to_owned());
            }
            '{' if word.trim().is_empty() => open.push(path.clone()),
            ',' if !open.is_empty() => {
                finish(&path, &mut word, &mut found);
                path = open.last().cloned().unwrap_or_default();
            }
            '}' if !open.is_empty() => {
                finish(&path, &mut word, &mut found);
                open.pop();
                path = open.last().cloned().unwrap_or_default();
                if open.is_empty() {
                    return found;
                }
            }
            letter if letter.is_alphanumeric() || letter == '_' || letter == '*' => {
                word.push(letter);
            }
            ' ' if !open.is_empty() || word.ends_with(" as") || is_renamed(&rest) => word.push(' '),
            _ => break,
        }
    }
    finish(&path, &mut word, &mut found);
    found
}

/// Tells whether ` as Name` follows.
fn is_renamed(rest: &Peekable<Chars<'_>>) -> bool {
    rest.clone().take(3).eq("as ".chars())
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
    fn trees_of_imports_have_leaves() {
        let leaves = |code| {
            let paths: Vec<_> = leaves(code).iter().map(|path| path.join("/")).collect();
            paths.join(" ")
        };
        assert_eq!(leaves("a::B;"), "a/B");
        assert_eq!(leaves("{ a::{B, c::D}, E, };  f::G"), "a/B a/c/D E");
        assert_eq!(leaves("a::b(c, d::e)"), "a/b");
        assert_eq!(leaves("a::B as C;"), "a/B as C");
        assert_eq!(leaves("A<crate::B>"), "A");
    }

    fn errors(path: &str, text: &str) -> Vec<String> {
        let order =
            "<!-- begin folders -->\n```text\nx: top, middle,\n   low\n```\n<!-- end folders -->\n";
        let lib = "//! X.\nmod low;\nmod middle;\npub mod top;\npub use self::top::{a::Top, b::B as Other};\n#[cfg(test)]\nmod support;\n";
        let tree = [file("x/src/lib.rs", lib), file(path, text)];
        let mut findings = Findings::default();
        check(&file("A.md", order), &tree, &mut findings).unwrap();
        findings.errors
    }

    #[test]
    fn an_import_that_goes_up_is_seen() {
        for up in [
            "use crate::top::a::X;\n",
            "use std::io;\nuse crate::{\n    low::A,\n    top::B,\n};\n",
            "fn a() { crate::top::b() }\n",
            "use crate::Top;\n",
            "use crate::{low::A, Other};\n",
        ] {
            assert_eq!(errors("x/src/middle/c.rs", up).len(), 1, "{up}");
        }
        assert_eq!(errors("x/src/middle.rs", "use super::top::A;\n").len(), 1);
        assert_eq!(
            errors("x/src/middle/c.rs", "use super::super::Top;\n").len(),
            1
        );
        for down in [
            "use crate::low::A;\nuse super::top::B;\nuse other::crate_name::top;\n",
            "// use crate::top::A;\nconst A: &str = \"crate::top\";\n",
            "#[cfg(test)]\nmod tests {\n    use crate::top::A;\n}\n",
        ] {
            assert_eq!(errors("x/src/middle/c.rs", down), [""; 0], "{down}");
        }
    }

    #[test]
    fn the_order_names_what_there_is() {
        let order = "<!-- begin folders -->\nx: a, c, d + e\ny: d\n<!-- end folders -->\n";
        let tree = [
            file("x/src/lib.rs", "//! X.\nmod a;\nmod b;\nmod d;\nmod e;\n"),
            file("x/src/d.rs", "use crate::e;\n"),
            file("x/src/e.rs", "use crate::d;\n"),
            file("x/src/e/f.rs", ""),
        ];
        let mut findings = Findings::default();
        check(&file("A.md", order), &tree, &mut findings).unwrap();
        let beginnings = [
            "A.md: x has no module c",
            "A.md: e of x is a folder",
            "A.md: there is no crate y",
        ];
        let found: Vec<_> = findings.errors.iter().zip(beginnings).collect();
        assert!(
            findings.errors.len() == 3
                && found.iter().all(|(error, start)| error.starts_with(start)),
            "{found:?}"
        );
        assert_eq!(findings.warnings.len(), 1, "{:?}", findings.warnings);
    }
}

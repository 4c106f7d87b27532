//! The lists of mended faults and of planted bugs: each entry still fits the code, and a fault names a test
//! that exists.

use std::collections::BTreeSet;

use super::Findings;
use crate::{
    faults::{FOLDER, Fault, parse},
    plant::Change,
    sim,
    tree::TextFile,
};

/// Checks the lists of faults, and the bugs that the simulator must find.
pub(super) fn check(tree: &[TextFile], findings: &mut Findings) {
    check_lists(tree, findings);
    for (file, change) in sim::changes() {
        findings.checked += 1;
        if let Some(trouble) = misfit(&file, &change, tree) {
            findings.error(format!("xtask/src/sim/mutants.rs: {trouble}"));
        }
    }
}

fn check_lists(tree: &[TextFile], findings: &mut Findings) {
    let mut names = BTreeSet::new();
    let is_list = |file: &&TextFile| file.path.starts_with(FOLDER) && file.is(".toml");
    for list in tree.iter().filter(is_list) {
        let faults = match parse(&list.text) {
            Ok(faults) => faults,
            Err(error) => {
                findings.error(format!("{}: {error}", list.path));
                continue;
            }
        };
        for fault in faults {
            findings.checked += 1;
            let place = format!("{}: \"{}\"", list.path, fault.name);
            for trouble in troubles(&fault, tree) {
                findings.error(format!("{place}: {trouble}"));
            }
            if !names.insert(fault.name) {
                findings.error(format!("{place}: there are two of that name"));
            }
        }
    }
}

/// Returns why a change cannot be planted.
fn misfit(path: &str, change: &Change<'_>, tree: &[TextFile]) -> Option<String> {
    let Some(file) = tree.iter().find(|file| file.path == path) else {
        return Some(format!("there is no file {path}"));
    };
    let error = change.apply(&file.text).err()?;
    Some(format!("{path}: {error}"))
}

fn troubles(fault: &Fault, tree: &[TextFile]) -> Vec<String> {
    let mut troubles: Vec<_> = misfit(&fault.file, &fault.change(), tree)
        .into_iter()
        .collect();
    match fault.words() {
        Err(error) => troubles.push(error.to_string()),
        Ok(words) => {
            let last = words.last().map_or("", String::as_str);
            let test = last.rsplit("::").next().unwrap_or(last);
            let is_name = test.contains('_')
                && test
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let exists = || {
                tree.iter()
                    .any(|file| file.is(".rs") && file.text.contains(test))
            };
            if is_name && !exists() {
                troubles.push(format!("there is no test {test}"));
            }
        }
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(list: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let tree = [
            file("a/src/b.rs", "one two two\nfn some_test() {}"),
            file("xtask/faults/x.toml", list),
        ];
        let mut findings = Findings::default();
        check_lists(&tree, &mut findings);
        findings.errors
    }

    #[test]
    fn an_entry_fits_once_and_names_a_test() {
        let entry = |file: &str, find: &str, test: &str| {
            format!(
                "[[fault]]\nname = \"n\"\nfile = \"{file}\"\nfind = \"{find}\"\nreplace = \"\"\ntest = \"{test}\"\n"
            )
        };
        let good = entry("a/src/b.rs", "one", "cargo test -p a some_test");
        assert!(errors(&good).is_empty());
        assert_eq!(errors(&good.repeat(2)).len(), 1);
        for bad in [
            entry("a/src/b.rs", "two", "cargo test"),
            entry("a/src/b.rs", "three", "cargo test"),
            entry("a/src/c.rs", "one", "cargo test"),
            entry("a/src/b.rs", "one", "cargo test other_test"),
            entry("a/src/b.rs", "one", "cargo 'test"),
            "[[fault]]\n".to_owned(),
        ] {
            assert_eq!(errors(&bad).len(), 1, "{bad}");
        }
    }
}

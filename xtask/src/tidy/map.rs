//! The map of the code in ARCHITECTURE.md: written from the line each file opens with, so it cannot lie.

use std::fmt::Write;

use super::Findings;
use crate::{blocks, tree::TextFile};

/// The name of the generated part.
pub(super) const BLOCK: &str = "code map";

/// The folders in reading order: what each holds, and the endings of files that belong on the map.
const FOLDERS: &[(&str, &[&str])] = &[
    ("upload-proto", &[".rs"]),
    ("upload-core", &[".rs"]),
    ("upload-validate", &[".rs"]),
    ("upload-writers", &[".rs"]),
    ("upload-stores", &[".rs", ".lua"]),
    ("upload-server", &[".rs"]),
    ("upload-server/client", &[".js", ".mjs", ".d.ts"]),
    ("xtask", &[".rs"]),
    ("xtask/bench", &[".rs"]),
];

/// Compares the document's map with the tree.
pub(super) fn check(document: &TextFile, tree: &[TextFile], findings: &mut Findings) {
    findings.checked += 1;
    let wanted = render(tree);
    let found = match blocks::find(&document.text, BLOCK) {
        Ok(found) => found,
        Err(error) => return findings.error(format!("{}: {error}", document.path)),
    };
    for line in wanted
        .lines()
        .filter(|line| !found.lines().any(|own| own == *line))
    {
        findings.error(format!(
            "{} lacks: {line} (cargo xtask tidy --write)",
            document.path
        ));
    }
    for line in found
        .lines()
        .filter(|line| !wanted.lines().any(|own| own == *line))
    {
        findings.error(format!(
            "{} has too much: {line} (cargo xtask tidy --write)",
            document.path
        ));
    }
}

/// Writes the map: a table per folder, a row per file.
pub(super) fn render(tree: &[TextFile]) -> String {
    let mut map = String::new();
    for (folder, endings) in FOLDERS {
        let mut rows = String::new();
        for file in tree.iter().filter(|file| belongs(file, folder, endings)) {
            let path = file.path.trim_start_matches(folder).trim_start_matches('/');
            let summary = plain(&file.summary().unwrap_or_default());
            writeln!(rows, "| [`{path}`]({}) | {summary} |", file.path)
                .expect("a String takes all");
        }
        if !rows.is_empty() {
            write!(
                map,
                "### {folder}\n\n| file | what is in it |\n|---|---|\n{rows}\n"
            )
            .expect("a String takes all");
        }
    }
    map
}

/// Tells whether the file is this folder's, and not that of a folder inside which has its own table.
fn belongs(file: &TextFile, folder: &str, endings: &[&str]) -> bool {
    let is_in = |folder: &str| {
        file.path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let inner = FOLDERS
        .iter()
        .any(|(other, _)| other.len() > folder.len() && is_in(other));
    is_in(folder) && !inner && endings.iter().any(|ending| file.is(ending))
}

/// Makes a doc line fit a table's cell: without links that only rustdoc follows.
fn plain(summary: &str) -> String {
    summary
        .replace("[`", "`")
        .replace("`]", "`")
        .replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Vec<TextFile> {
        let file = |path: &str, text: &str| TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        vec![
            file("upload-server/src/lib.rs", "//! The [`Router`].\n"),
            file("upload-server/client/a.js", "// Sends.\n"),
            file("upload-server/README.md", "# No\n"),
        ]
    }

    #[test]
    fn the_map_has_a_row_per_file_and_a_table_per_folder() {
        let map = render(&tree());
        assert!(map.contains("### upload-server\n\n| file | what is in it |\n|---|---|\n| [`src/lib.rs`](upload-server/src/lib.rs) | The `Router` |\n\n"));
        assert!(map.contains("| [`a.js`](upload-server/client/a.js) | Sends |\n"));
        assert_eq!(map.matches("| [").count(), 2);
    }

    #[test]
    fn a_wrong_map_is_seen_in_both_directions() {
        let text = format!(
            "<!-- begin code map -->\n{}<!-- end code map -->\n",
            render(&tree()).replace("Sends", "Receives")
        );
        let document = TextFile {
            path: "ARCHITECTURE.md".to_owned(),
            text,
        };
        let mut findings = Findings::default();
        check(&document, &tree(), &mut findings);
        assert_eq!(findings.errors.len(), 2);
    }
}

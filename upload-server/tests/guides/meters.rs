//! The table of metrics, from the constants that name them.

use std::{fmt::Write, fs, path::Path};

/// Files that hold the names.
const SOURCES: &[&str] = &[
    "metrics.rs",
    "../../upload-writers/src/multipart/part_uploads.rs",
];

/// Writes the table.
pub(crate) fn table(folder: &Path) -> String {
    let mut text = "| metric | kind | unit | what it counts |\n|---|---|---|---|\n".to_owned();
    for file in SOURCES {
        let source = fs::read_to_string(folder.join(file)).expect("a source");
        rows(&source, &mut text);
    }
    text
}

fn rows(source: &str, text: &mut String) {
    let mut meaning = String::new();
    for line in source.lines() {
        if let Some(doc) = line.strip_prefix("///") {
            meaning.push_str(doc);
            continue;
        }
        let meaning = std::mem::take(&mut meaning);
        let name = line.strip_prefix("const ").and_then(|line| {
            let (_, value) = line.split_once(": &str = \"")?;
            value.strip_suffix("\";")
        });
        if let Some(name) = name {
            let kind = match name {
                _ if name.ends_with("_total") => "counter",
                _ if name.ends_with("_seconds") => "histogram",
                _ => "gauge",
            };
            let unit = match name {
                _ if name.contains("bytes") => "bytes",
                _ if name.ends_with("_seconds") => "seconds",
                _ => "count",
            };
            let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {} |", meaning.trim());
        }
    }
}

#[test]
fn names_become_rows() {
    let mut text = String::new();
    rows(
        "/// Bytes of\n/// it.\nconst A: &str = \"upload_bytes_total\";\n",
        &mut text,
    );
    assert_eq!(
        text,
        "| `upload_bytes_total` | counter | bytes | Bytes of it. |\n"
    );
}

//! The documents against the code: configurations load, and the reference of keys is not stale.

mod blocks;
mod debug;
mod keys;
mod meters;

use std::{env, fs, path::PathBuf};

use upload_server::config::{Config, SlotConfig};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn documents() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).expect("the guides");
    let docs = docs.map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = docs
        .filter(|path| path.extension() == Some("md".as_ref()))
        .collect();
    all.push(root().join("README.md"));
    all.sort();
    all
}

/// A block marked `toml` and nothing else is a whole configuration of the server.
#[test]
fn every_configuration_in_the_documents_loads() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("uploads.toml");
    let mut loaded = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a document");
        for block in blocks::of(&text, "toml") {
            fs::write(&file, &block.text).expect("written");
            if let Err(error) = Config::load(Some(&file)) {
                panic!("{}:{}: {error}", path.display(), block.line);
            }
            loaded += 1;
        }
    }
    assert!(loaded > 3, "only {loaded} configurations were found");
}

/// `UPDATE_DOCS=1 cargo test -p upload-server --test guides` writes the tables anew.
#[test]
fn generated_tables_are_not_stale() {
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let keys = keys::Sources::read(&sources);
    let keys = keys::reference(&keys, &Config::default(), &SlotConfig::default());
    let path = root().join("docs/operating.md");
    let old = fs::read_to_string(&path).expect("the guide");
    let new = replaced(&old, "keys", &keys);
    let new = replaced(&new, "metrics", &meters::table(&sources));
    if old == new {
        return;
    }
    assert!(
        env::var_os("UPDATE_DOCS").is_some(),
        "docs/operating.md is stale: run with UPDATE_DOCS=1"
    );
    fs::write(&path, new).expect("written");
}

/// Puts `table` between the marks of `name`.
fn replaced(text: &str, name: &str, table: &str) -> String {
    let (begin, end) = (
        format!("<!-- begin {name} -->\n"),
        format!("<!-- end {name} -->"),
    );
    let (head, rest) = text.split_once(&begin).expect("a begin mark");
    let (_, tail) = rest.split_once(&end).expect("an end mark");
    format!("{head}{begin}{table}{end}{tail}")
}

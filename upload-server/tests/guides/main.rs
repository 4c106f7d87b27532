//! The documents against the code: configurations load, and the reference of keys is not stale.

mod blocks;
mod debug;
mod keys;
mod meters;

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

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

/// A block marked `toml,manifest` asks for the versions the workspace has, for crates at the path of a clone, and for
/// features that exist.
#[test]
fn every_manifest_in_the_documents_fits() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let mut compared = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a document");
        for block in blocks::of(&text, "toml,manifest") {
            for line in block.text.lines().filter(|line| line.contains(" = ")) {
                let (name, wanted) = line.split_once(" = ").expect("a dependency");
                // The first is the version or the path, what follows are features.
                let mut quoted = wanted.split('"').skip(1).step_by(2);
                let first = quoted.next().expect("a version");
                let own = workspace
                    .lines()
                    .find_map(|own| own.strip_prefix(&format!("{name} = ")))
                    .unwrap_or_else(|| panic!("{}: {name} is unknown", path.display()));
                let own = own.split_once("version = ").map_or(own, |(_, own)| own);
                let own = own.trim_start_matches('"');
                let fits = match first.strip_prefix("../upload/") {
                    Some(folder) => folder == name,
                    None => own.starts_with(first),
                };
                assert!(fits, "{}: {line}", path.display());
                if let Ok(manifest) = fs::read_to_string(root().join(name).join("Cargo.toml")) {
                    for feature in quoted {
                        let there = manifest.contains(&format!("\n{feature} = ["));
                        assert!(there, "{}: {name} has no {feature}", path.display());
                    }
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 5, "only {compared} dependencies were found");
}

/// The program of a guide is an example, which other stages run.
#[test]
fn programs_of_guides_are_examples() {
    let guide = fs::read_to_string(root().join("docs/getting-started.md")).expect("a guide");
    let example = root().join("upload-server/examples/getting_started.rs");
    let example = fs::read_to_string(example).expect("an example");
    let program = blocks::of(&guide, "rust,no_run");
    let test = blocks::of(&guide, "rust");
    assert_eq!((program.len(), test.len()), (1, 1));
    let (_, code) = example.split_once("\n\n").expect("a head");
    assert_eq!(code, format!("{}\n{}", program[0].text, test[0].text));
}

/// The test that a guide prints is one of ours.
#[test]
fn tests_of_guides_are_tests() {
    let guide = fs::read_to_string(root().join("docs/testing.md")).expect("a guide");
    let test = root().join("upload-server/tests/application/guide.rs");
    let test = fs::read_to_string(test).expect("a test");
    let printed = blocks::of(&guide, "rust,no_run");
    assert_eq!(printed.len(), 1);
    let (_, code) = test.split_once("\n\n").expect("a head");
    assert_eq!(code, printed[0].text);
}

/// Whatever a `sh` block has readers run of the server, the server understands, up to the help that is
/// asked for behind it.
#[test]
fn every_command_in_the_documents_is_understood() {
    let mut asked = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a document");
        let blocks = blocks::of(&text, "sh");
        for line in blocks.iter().flat_map(|block| block.text.lines()) {
            let by_cargo = line.strip_prefix("cargo run --release -p upload-server");
            let arguments = by_cargo.map(|rest| rest.trim_start_matches(" --"));
            let Some(arguments) = arguments.or(line.strip_prefix("upload-server")) else {
                continue;
            };
            let mut command = Command::new(env!("CARGO_BIN_EXE_upload-server"));
            command.args(arguments.split_whitespace()).arg("--help");
            let status = command.stdout(Stdio::null()).status();
            assert!(
                status.expect("it runs").success(),
                "{}: {line}",
                path.display()
            );
            asked += 1;
        }
    }
    assert!(asked > 5, "only {asked} commands were found");
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

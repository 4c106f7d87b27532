//! Files as real tools make them, under the types that published tables give them: all of them are taken.
//!
//! `tests/samples/make.py` makes the files and their list, which names the tool and the tables of each.

use std::{collections::BTreeSet, fs, path::Path};

use upload_validate::{Accept, FileFacts, Head, Rules, Verdict, media_type_for_extension};

/// What no sample is longer than; longer files are cut there.
const BYTES_MAX: usize = 16 * 1024;

/// What `application/*` does not let in.
const PROGRAMS: &[&str] = &["deb", "jar", "pyc"];

#[test]
fn files_of_real_tools_are_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/files");
    let list = fs::read_to_string(folder.join("list.tsv")).expect("the list");
    let mut refused = Vec::new();
    let (mut formats, mut asked) = (BTreeSet::new(), 0);
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('\t');
        let (name, tool) = (
            columns.next().expect("a file"),
            columns.next().expect("a tool"),
        );
        assert!(tool.contains(' '), "{name}: {tool:?} names no version");
        let bytes = fs::read(folder.join(name)).expect(name);
        assert!(bytes.len() <= BYTES_MAX, "{name} is too long");
        let ext = name.rsplit('.').next().expect("an extension");
        formats.insert(ext);

        let mut lists = vec![String::new(), format!(".{ext}")];
        if let Some(own) = media_type_for_extension(ext) {
            let kind = own.split('/').next().expect("a type");
            lists.push(own.to_owned());
            lists.extend(Some(format!("{kind}/*")).filter(|_| !PROGRAMS.contains(&ext)));
        }
        let declared = columns.filter_map(|column| column.split_once('='));
        for (table, media_type) in declared.chain([("none", "")]) {
            for list in &lists {
                let rules = Rules::new(Accept::parse(list).expect("well formed"));
                let facts = FileFacts {
                    name,
                    media_type,
                    size: bytes.len() as u64,
                };
                let head = Head {
                    bytes: &bytes,
                    is_whole: bytes.len() < BYTES_MAX,
                };
                asked += 1;
                let verdict = rules.inspect(&facts, &head);
                if verdict != Verdict::Accept {
                    refused.push(format!(
                        "{name} of {tool} as {media_type:?} ({table}) into {list:?}: {verdict:?}"
                    ));
                }
            }
        }
    }
    assert!(formats.len() >= 100, "only {} formats", formats.len());
    assert!(asked > 1_000, "only {asked} questions");
    assert!(
        refused.is_empty(),
        "{} of {asked}:\n{}",
        refused.len(),
        refused.join("\n")
    );
}

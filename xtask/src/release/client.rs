//! What npm would publish of the browser client.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    client,
    run::{output_of, program, root},
    services,
};

/// Where the package is.
pub(super) const FOLDER: &str = "upload-server/client";

/// What is published, and nothing else.
const FILES: &[&str] = &[
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "announcer.js",
    "attend.js",
    "crc32c.js",
    "directives.js",
    "dropzone.d.ts",
    "dropzone.js",
    "dropzone/dom.js",
    "dropzone/element.js",
    "dropzone/english.js",
    "dropzone/icons.js",
    "dropzone/languages/ar.js",
    "dropzone/languages/de.js",
    "dropzone/languages/en.js",
    "dropzone/list.js",
    "dropzone/notices.js",
    "dropzone/offers.js",
    "dropzone/rendered.js",
    "dropzone/row.js",
    "dropzone/status.js",
    "dropzone/style.js",
    "dropzone/view.js",
    "explain.js",
    "fallback.js",
    "forms.js",
    "frame.js",
    "index.d.ts",
    "index.js",
    "intake.js",
    "kept.js",
    "language.d.ts",
    "languages/ar.js",
    "languages/de.js",
    "languages/en.js",
    "lifecycle.js",
    "outgoing.js",
    "package.json",
    "presigned.js",
    "protocol.js",
    "questions.js",
    "queue.js",
    "react.d.ts",
    "react.js",
    "reports.js",
    "resize.d.ts",
    "resize.js",
    "results.js",
    "resume.js",
    "rows.js",
    "sender.js",
    "shown.js",
    "socket.js",
    "source.js",
    "states.js",
    "tab.js",
    "tally.js",
    "texts.js",
    "thumbnails.js",
    "transfer.js",
    "upload.js",
    "uploads.css",
    "uploads.js",
];

/// Where the minified build is; its pieces have names of their own.
const BUILD: &str = "dist/";

/// Prints what a module and its minified build export, a line for each.
const EXPORTS: &str = "globalThis.document = { scripts: [] }; \
    for (const path of ['./index.js', './dist/index.js']) \
    import(path).then((module) => console.log(Object.keys(module).sort().join()))";

/// Packs without writing, which minifies, and returns what is wrong.
///
/// # Errors
///
/// npm is missing or says something unexpected.
pub(super) fn troubles(version: &str) -> Result<Vec<String>> {
    services::npm_packages(&client::test_folder())?;
    let folder = root().join(FOLDER);
    let said = output_of(program("npm", ["pack", "--dry-run", "--json"]).current_dir(&folder))?;
    // What the build prints comes before.
    let json = said.find("[\n").and_then(|at| said.get(at..));
    let packed: Value = serde_json::from_str(json.unwrap_or_default())
        .context("npm printed something unexpected")?;
    let packed = &packed[0];
    println!("{}, {} bytes packed", packed["id"], packed["size"]);

    let mut troubles = compare(&paths(packed));
    let manifest: Value = serde_json::from_str(&fs::read_to_string(folder.join("package.json"))?)?;
    troubles.extend(missing_exports(&manifest, &paths(packed)));
    let exports = output_of(program("node", ["-e", EXPORTS]).current_dir(&folder))?;
    let mut exports = exports.lines();
    if exports.next() != exports.next() {
        troubles.push("the minified build exports other names".to_owned());
    }
    if packed["version"] != version {
        troubles.push(format!(
            "has version {} and the crates {version}",
            packed["version"]
        ));
    }
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        if fs::read(folder.join(licence))? != fs::read(root().join(licence))? {
            troubles.push(format!("{licence} is not that of the workspace"));
        }
    }
    Ok(troubles)
}

fn paths(packed: &Value) -> BTreeSet<&str> {
    let files = packed["files"].as_array().map_or(&[][..], Vec::as_slice);
    files
        .iter()
        .filter_map(|file| file["path"].as_str())
        .collect()
}

/// Compares what is packed with what should be.
fn compare(packed: &BTreeSet<&str>) -> Vec<String> {
    let wanted: BTreeSet<_> = FILES.iter().copied().collect();
    let missing = wanted
        .difference(packed)
        .map(|path| format!("{path} is not packed"));
    let surplus = packed.difference(&wanted);
    let surplus = surplus.filter(|path| !path.starts_with(BUILD));
    let surplus = surplus.map(|path| format!("{path} is packed and not on the list"));
    missing.chain(surplus).collect()
}

/// Finds targets of `exports` that are not packed; one with a `*` is several.
fn missing_exports(manifest: &Value, packed: &BTreeSet<&str>) -> Vec<String> {
    let exports = manifest["exports"].as_object();
    let targets = exports.into_iter().flat_map(|exports| exports.values());
    let targets = targets.flat_map(|target| match target {
        Value::Object(conditions) => conditions.values().collect(),
        one => vec![one],
    });
    let is_packed = |target: &str| {
        let target = target.trim_start_matches("./");
        match target.split_once('*') {
            Some((before, after)) => packed
                .iter()
                .any(|path| path.starts_with(before) && path.ends_with(after)),
            None => packed.contains(target),
        }
    };
    targets
        .filter_map(Value::as_str)
        .filter(|target| !is_packed(target))
        .map(|target| format!("{target} is exported and not packed"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exports_that_are_not_packed_are_seen() {
        let packed = BTreeSet::from(["index.js", "index.d.ts", "languages/de.js"]);
        let manifest = json!({"exports": {
            ".": { "types": "./index.d.ts", "default": "./index.js" },
            "./languages/*": "./languages/*.js",
            "./min": { "types": "./index.d.ts", "default": "./dist/index.js" },
        }});
        let found = missing_exports(&manifest, &packed);
        assert_eq!(found, ["./dist/index.js is exported and not packed"]);
    }

    #[test]
    fn too_little_and_too_much_are_seen() {
        let packed = FILES.iter().copied().filter(|path| *path != "index.js");
        let packed: BTreeSet<_> = packed.chain(["test/run.mjs", "dist/index.js"]).collect();
        let found = compare(&packed);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("index.js"), "{found:?}");
        assert!(found[1].starts_with("test/run.mjs"), "{found:?}");
    }
}

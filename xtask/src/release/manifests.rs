//! What crates.io and docs.rs show about a crate.

use std::path::Path;

use crate::run::Package;

/// Categories of crates.io that crates here may be in.
const CATEGORIES: &[&str] = &[
    "asynchronous",
    "command-line-utilities",
    "database-implementations",
    "encoding",
    "filesystem",
    "network-programming",
    "parser-implementations",
    "web-programming",
    "web-programming::http-server",
    "web-programming::websocket",
];
/// How many categories, and how many keywords, crates.io takes.
const TAGS_MAX: usize = 5;
/// How long a keyword may be.
const KEYWORD_BYTES_MAX: usize = 20;

/// Returns what is missing or wrong.
pub(super) fn troubles(package: &Package, version: &str) -> Vec<String> {
    let mut troubles = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            troubles.push(what.to_owned());
        }
    };
    must(
        package.version == version,
        "has another version than the others",
    );
    let description = package.description.as_deref().unwrap_or("");
    must(description.ends_with('.'), "description is no sentence");
    must(
        package.license.as_deref() == Some("MIT OR Apache-2.0"),
        "license",
    );
    must(package.repository.is_some(), "repository is missing");
    must(package.rust_version.is_some(), "rust-version is missing");
    let folder = package.manifest_path.parent().unwrap_or(Path::new(""));
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        must(folder.join(file).is_file(), &format!("{file} is missing"));
    }
    must(
        is_some_and_few(&package.categories),
        "needs 1 to 5 categories",
    );
    must(is_some_and_few(&package.keywords), "needs 1 to 5 keywords");
    for category in &package.categories {
        must(
            CATEGORIES.contains(&category.as_str()),
            &format!("category {category} is unknown"),
        );
    }
    for keyword in &package.keywords {
        must(
            is_keyword(keyword),
            &format!("keyword {keyword} would be refused"),
        );
    }
    let docs = &package.metadata["docs"]["rs"];
    must(
        docs["all-features"] == true,
        "docs.rs would leave features out",
    );
    let labels = docs["rustdoc-args"]
        .as_array()
        .is_some_and(|args| args.iter().any(|arg| arg == "docsrs"));
    must(labels, "docs.rs would not label features");
    for needed in package
        .dependencies
        .iter()
        .filter(|needed| needed.kind.is_none())
    {
        let is_ours = needed.name.starts_with("upload-");
        must(
            !is_ours || needed.req == format!("^{version}"),
            &format!("needs {} {}", needed.name, needed.req),
        );
    }
    troubles
}

fn is_some_and_few(tags: &[String]) -> bool {
    (1..=TAGS_MAX).contains(&tags.len())
}

fn is_keyword(word: &str) -> bool {
    let starts = word.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = word
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte));
    starts && rest && word.len() <= KEYWORD_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::metadata;

    #[test]
    fn every_public_crate_is_described() {
        for package in metadata()
            .unwrap()
            .packages
            .iter()
            .filter(|package| package.is_public())
        {
            let found = troubles(package, &package.version);
            assert!(found.is_empty(), "{}: {found:?}", package.name);
        }
    }

    #[test]
    fn what_is_wrong_is_seen() {
        let mut package = metadata().unwrap().packages.remove(0);
        package.keywords = vec!["-x".to_owned(), "a-word-of-more-than-twenty".to_owned()];
        package.categories.clear();
        package.description = None;
        let found = troubles(&package, "9.9.9");
        for part in [
            "another version",
            "no sentence",
            "categories",
            "keyword -x",
            "keyword a-word",
        ] {
            assert!(
                found.iter().any(|trouble| trouble.contains(part)),
                "{part}: {found:?}"
            );
        }
    }
}

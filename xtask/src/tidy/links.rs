//! Links of documents: into the workspace they lead to a file and a heading, elsewhere they are well-formed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use super::Findings;
use crate::tree::TextFile;

/// The headings of every document, as what follows `#` in a link.
pub(super) struct Anchors(BTreeMap<String, BTreeSet<String>>);

impl Anchors {
    /// Reads the headings of all documents.
    pub(super) fn of(tree: &[TextFile]) -> Self {
        let documents = tree.iter().filter(|file| file.is(".md"));
        Self(
            documents
                .map(|file| (file.path.clone(), headings(&file.text)))
                .collect(),
        )
    }
}

/// Checks the links of one document.
pub(super) fn check(root: &Path, file: &TextFile, anchors: &Anchors, findings: &mut Findings) {
    let labels = labels(&file.text);
    for (number, line) in prose(&file.text) {
        let place = format!("{}:{number}", file.path);
        for target in targets(&line) {
            if let Err(trouble) = follow(root, &file.path, &target, anchors) {
                findings.error(format!("{place}: {target} {trouble}"));
            }
        }
        for label in used_labels(&line) {
            if !labels.contains(&label.to_lowercase()) {
                findings.error(format!("{place}: no line says what [{label}] is"));
            }
        }
    }
}

/// Returns every address outside the workspace that documents name, with where it is first.
pub(super) fn elsewhere(tree: &[TextFile]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for file in tree.iter().filter(|file| file.is(".md")) {
        for (number, line) in prose(&file.text) {
            let outside = targets(&line).into_iter().filter(|target| is_url(target));
            for target in outside {
                let place = format!("{}:{number}", file.path);
                found.entry(target).or_insert(place);
            }
        }
    }
    found
}

/// Follows a link; what is outside the workspace is only looked at.
fn follow(root: &Path, from: &str, target: &str, anchors: &Anchors) -> Result<(), &'static str> {
    if is_url(target) {
        return well_formed(target);
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let path = if path.is_empty() {
        from.to_owned()
    } else {
        relative_to(from, path).ok_or("leads out of the workspace")?
    };
    if !root.join(&path).exists() {
        return Err("leads nowhere");
    }
    match (anchor, anchors.0.get(&path)) {
        (None, _) => Ok(()),
        (Some(_), None) => Err("names a heading of what is no document"),
        (Some(anchor), Some(known)) if known.contains(anchor) => Ok(()),
        (Some(_), Some(_)) => Err("names a heading that is not there"),
    }
}

/// Returns a path that is relative to the folder of `from` as one from the workspace's folder.
fn relative_to(from: &str, path: &str) -> Option<String> {
    let mut whole = PathBuf::from(from);
    whole.pop();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if whole.pop() => {}
            Component::Normal(name) => whole.push(name),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(whole.to_string_lossy().into_owned())
}

fn is_url(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// Judges an address by its form: an encrypted scheme, except for this machine, and a host with a dot.
fn well_formed(url: &str) -> Result<(), &'static str> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(());
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    let name = host.split(':').next().unwrap_or("");
    let is_here = name == "127.0.0.1" || name == "localhost";
    match scheme {
        "https" if is_here || name.contains('.') => Ok(()),
        "http" if is_here => Ok(()),
        "http" => Err("is not encrypted"),
        "https" => Err("has no host"),
        _ => Err("has a scheme that no reader can follow"),
    }
}

/// Returns the lines that are not code, by number, with `x` for each piece of code in them.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        let prose = line.split('`').step_by(2).collect::<Vec<_>>().join("x");
        (!in_code && !is_fence).then_some((number, prose))
    })
}

/// Returns where a line leads: `[text](target)`, `[label]: target`, `<https://…>` and HTML's attributes.
fn targets(line: &str) -> Vec<String> {
    let inline = pieces(line, "](", ')');
    let angled = pieces(line, "<", '>').filter(|target| is_url(target));
    let html = [pieces(line, "href=\"", '"'), pieces(line, "src=\"", '"')];
    let defined = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .map(|(_, target)| target);
    let all = inline.chain(angled).chain(html.into_iter().flatten());
    all.chain(defined)
        // A title may follow.
        .filter_map(|target| target.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Returns what is between each `begin` and the next `end`.
fn pieces<'a>(line: &'a str, begin: &str, end: char) -> impl Iterator<Item = &'a str> {
    let rest = line.split(begin).skip(1).collect::<Vec<_>>();
    rest.into_iter()
        .filter_map(move |rest| rest.split_once(end))
        .map(|(piece, _)| piece)
}

/// Returns the labels of `[text][label]`.
fn used_labels(line: &str) -> impl Iterator<Item = &str> {
    pieces(line, "][", ']')
}

/// Returns the labels that lines such as `[label]: target` define, in lower case.
fn labels(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: "))
        .map(|(label, _)| label.to_lowercase())
        .collect()
}

/// Returns the anchors of a document's headings; equal ones are numbered.
fn headings(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut in_code = false;
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if in_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor = anchor(heading.trim());
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let mut names = std::iter::once(anchor.clone()).chain(numbered);
        anchors.extend(names.find(|name| !anchors.contains(name)));
    }
    anchors
}

/// Makes of a heading what GitHub and rustdoc's readers make of it.
fn anchor(heading: &str) -> String {
    // Of a link only the text counts.
    let mut text = String::new();
    for (index, piece) in heading.split("](").enumerate() {
        let piece = match piece.split_once(')') {
            Some((_, after)) if index > 0 => after,
            _ => piece,
        };
        text += piece;
    }
    let kept = text.to_lowercase();
    let kept = kept.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, text: &str) -> TextFile {
        TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn anchors_are_those_of_github() {
        let text =
            "# A b\n## `[slots.NAME]`, 2nd\n## A b\n```\n# no\n```\n## [Link](x.md) end\n#no\n";
        let found = headings(text);
        let wanted = ["a-b", "slotsname-2nd", "a-b-1", "link-end"];
        assert_eq!(found, wanted.map(str::to_owned).into());
    }

    #[test]
    fn every_form_of_link_is_seen() {
        let line = r#"[a](b.md#c "t") ![d](e.png) <https://f.org> <a href="g">h</a> <b>i</b>"#;
        assert_eq!(targets(line), ["b.md#c", "e.png", "https://f.org", "g"]);
        assert_eq!(targets("[label]: h.md"), ["h.md"]);
        let lines: Vec<_> = prose("`[a](b)` c\n```\n[d](e)\n```\nf").collect();
        assert_eq!(lines, [(1, "x c".to_owned()), (5, "f".to_owned())]);
    }

    #[test]
    fn links_are_followed() {
        let root = crate::run::root();
        let tree = [document("README.md", "# Top\n")];
        let anchors = Anchors::of(&tree);
        let follow = |target: &str| follow(&root, "docs/a.md", target, &anchors).is_ok();
        for good in [
            "../Cargo.toml",
            "../README.md#top",
            "../docs",
            "https://x.org/a#b",
            "http://127.0.0.1:8080",
        ] {
            assert!(follow(good), "{good}");
        }
        for bad in [
            "none.md",
            "../README.md#bottom",
            "../Cargo.toml#package",
            "../../secret",
            "/etc/passwd",
            "http://x.org",
            "https://x",
            "ftp://x.org",
        ] {
            assert!(!follow(bad), "{bad}");
        }
    }

    #[test]
    fn labels_need_a_definition() {
        let text = "[a][b] and [c][D]\n\n[d]: e.md\n";
        let defined = labels(text);
        let missing = used_labels(text).filter(|label| !defined.contains(&label.to_lowercase()));
        assert_eq!(missing.collect::<Vec<_>>(), ["b"]);
    }
}

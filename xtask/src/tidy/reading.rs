//! How documents and comments read: short sentences, plain words, and a length that one sitting is enough for.

use std::fmt::Write;

use super::{Findings, words};
use crate::tree::TextFile;

/// Words that a sentence should not exceed.
const WORDS_MAX: usize = 35;
/// Longer sentences that all documents and comments together may have.
const LONG_MAX: usize = 10;
/// Documents that are read in one sitting, with their largest size in bytes.
const SIZES: &[(&str, usize)] = &[("README.md", 8 * 1024), ("ARCHITECTURE.md", 16 * 1024)];
/// Files whose comments are read.
const SOURCES: &[&str] = &[".rs", ".js", ".mjs", ".ts"];
/// What the release before said stays as it was.
const HISTORY: &str = "CHANGELOG.md";

/// Checks sizes, sentences and words.
pub(super) fn check(tree: &[TextFile], refused: &[&str], findings: &mut Findings) {
    check_sizes(tree, findings);
    let documents: Vec<_> = tree
        .iter()
        .filter(|file| file.is(".md") && file.path != HISTORY)
        .collect();
    for file in &documents {
        findings.checked += 1;
        let prose: String = prose(&file.text).into_iter().collect::<Vec<_>>().join("\n");
        for word in refused.iter().filter(|word| words::count(&prose, word) > 0) {
            let path = &file.path;
            findings.error(format!("{path}: \"{word}\" is refused in documents"));
        }
    }
    let in_documents = documents
        .iter()
        .flat_map(|file| long_sentences(file, prose(&file.text)));
    let is_source = |file: &&TextFile| SOURCES.iter().any(|ending| file.is(ending));
    let in_comments = tree
        .iter()
        .filter(is_source)
        .flat_map(|file| long_sentences(file, comments(&file.text)));
    limit(in_documents.chain(in_comments).collect(), findings);
}

fn check_sizes(tree: &[TextFile], findings: &mut Findings) {
    for (path, most) in SIZES {
        findings.checked += 1;
        let file = tree.iter().find(|file| file.path == *path);
        let bytes = file.map_or(0, |file| file.text.len());
        if bytes == 0 || bytes > *most {
            findings.error(format!("{path} has {bytes} bytes, of at most {most}"));
        }
    }
}

fn limit(long: Vec<String>, findings: &mut Findings) {
    findings.checked += 1;
    if long.len() > LONG_MAX {
        let count = long.len();
        let mut text =
            format!("{count} sentences have more than {WORDS_MAX} words, {LONG_MAX} may:");
        for place in long {
            let _ = write!(text, "\n  {place}");
        }
        findings.error(text);
    }
}

/// Returns where the sentences of a file are that are too long.
fn long_sentences(file: &TextFile, paragraphs: Vec<String>) -> Vec<String> {
    let mut found = Vec::new();
    for paragraph in paragraphs {
        for sentence in sentences(&paragraph) {
            let words: Vec<_> = sentence
                .split_whitespace()
                .filter(|word| word.chars().any(char::is_alphanumeric))
                .collect();
            if words.len() > WORDS_MAX {
                let begin = words.iter().take(8).copied().collect::<Vec<_>>().join(" ");
                found.push(format!("{}: {} words: {begin} …", file.path, words.len()));
            }
        }
    }
    found
}

/// Splits a paragraph where a sentence ends; a piece of code counts as one word.
fn sentences(paragraph: &str) -> Vec<String> {
    let plain = paragraph
        .split('`')
        .step_by(2)
        .collect::<Vec<_>>()
        .join("code");
    let mut all = vec![String::new()];
    for word in without_targets(&plain).split_whitespace() {
        if let Some(last) = all.last_mut() {
            last.push_str(word);
            last.push(' ');
        }
        if word.ends_with(['.', '?', '!']) {
            all.push(String::new());
        }
    }
    all
}

/// Removes where links lead to.
fn without_targets(text: &str) -> String {
    let mut parts = text.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        all + "]" + part.split_once(')').map_or("", |(_, rest)| rest)
    })
}

/// Returns the paragraphs of a document, one for each line: without code, tables, headings and generated parts.
fn prose(document: &str) -> Vec<String> {
    let (mut in_code, mut is_generated) = (false, false);
    let mut lines = Vec::new();
    for line in document.lines() {
        let text = line.trim();
        is_generated |= text.starts_with("<!-- begin ");
        if text.starts_with("```") {
            in_code = !in_code;
        } else if !in_code && !is_generated && !text.starts_with(['|', '#', '<']) {
            lines.push(text.to_owned());
        }
        is_generated &= !text.starts_with("<!-- end ");
    }
    lines
}

/// Returns the paragraphs of a file's comments, without code, lists' marks and tables.
fn comments(source: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    let (mut in_code, mut in_block) = (false, false);
    for line in source.lines().map(str::trim) {
        let begins = line.starts_with("/**");
        in_block |= begins;
        let text = match in_block {
            true => line.trim_start_matches(['/', '*']).trim_end_matches("*/"),
            false => ["///", "//!", "//"]
                .iter()
                .find_map(|mark| line.strip_prefix(mark))
                .unwrap_or_default(),
        };
        let text = text.trim();
        let is_comment = in_block || line.starts_with("//");
        in_block &= !line.ends_with("*/");
        in_code = in_code != text.starts_with("```") && is_comment;
        let is_apart =
            begins || text.is_empty() || text.starts_with(['-', '*', '#', '|', '`', '@']);
        if is_apart || in_code {
            paragraphs.push(String::new());
        }
        if let (false, false, Some(last)) =
            (in_code, text.starts_with(['|', '#']), paragraphs.last_mut())
        {
            last.push_str(text);
            last.push(' ');
        }
    }
    paragraphs
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

    fn long(count: usize) -> String {
        "word ".repeat(count) + "end.\n"
    }

    #[test]
    fn long_sentences_are_found_in_prose_and_doc_comments() {
        let found = |text: &str| long_sentences(&file("a.md", text), prose(text)).len();
        assert_eq!((found(&long(34)), found(&long(35))), (0, 1));
        assert_eq!(found(&format!("{} {}", "One. Two.", long(34))), 0);
        assert_eq!(found(&format!("| {}", long(40))), 0);
        assert_eq!(found(&format!("```\n{}```\n{}", long(40), long(40))), 1);
        let begin = format!("<!-- begin x -->\n{}<!-- end x -->\n{}", long(40), long(40));
        assert_eq!(found(&begin), 1);
        let link = format!("[a](b-{}) `{}` {}", "c".repeat(9), long(9).trim(), long(31));
        assert_eq!(found(&link), 0);
        let source = format!(
            "/// {}///\n//! ```\n//! {}//! ```\nfn a() {{}}\n// {}",
            long(40),
            long(40),
            long(40)
        );
        let in_comments = |text: &str| long_sentences(&file("a.rs", text), comments(text)).len();
        assert_eq!(in_comments(&source), 2);
        let block = |text: &str| format!("/**\n * {text} */\nlet a = \"{text}\";\n");
        assert_eq!(in_comments(&block(&long(40))), 1);
        assert_eq!(in_comments(&block(&long(30)).repeat(2)), 0);
        assert_eq!(in_comments("let it = be;\n".repeat(40).as_str()), 0);
    }

    #[test]
    fn sizes_and_words_are_limited() {
        let errors = |readme: &str, document: &str| {
            let tree = [
                file("README.md", readme),
                file("ARCHITECTURE.md", "a"),
                file("docs/a.md", document),
            ];
            let mut findings = Findings::default();
            check(&tree, &["lorem"], &mut findings);
            findings.errors.len()
        };
        assert_eq!(errors("a", "b"), 0);
        assert_eq!(errors(&"a\n".repeat(4097), "b"), 1);
        assert_eq!(errors("a", "The lorem of it."), 1);
        assert_eq!(errors("a", "The `lorem` in\n```\nlorem\n```\n"), 1);
        assert_eq!(errors("a", &long(40).repeat(11)), 1);
        assert_eq!(errors("a", &long(40).repeat(10)), 0);
        assert_eq!(errors(&long(40).repeat(6), &long(40).repeat(5)), 1);
    }
}

//! Documents: one sentence per line, no path of one machine.

use super::Findings;
use crate::tree::TextFile;

/// A folder that only exists while a machine runs. The word is cut so that this file does not hold it.
const FLEETING: &str = concat!("/t", "mp/");
/// Ends of abbreviations, after which a sentence continues.
const ABBREVIATIONS: &[&str] = &["e.g.", "i.e.", "etc.", "vs.", "cf."];

/// Checks one document.
pub(super) fn check(file: &TextFile, findings: &mut Findings) {
    findings.checked += 1;
    let mut in_code = false;
    for (number, line) in (1..).zip(file.text.lines()) {
        let place = format!("{}:{number}", file.path);
        if line.contains(FLEETING) {
            findings.error(format!("{place}: names {FLEETING}"));
        }
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        if sentences(line) > 1 {
            findings.error(format!("{place}: more than one sentence on a line"));
        }
    }
}

/// Counts the sentences of a line of prose; tables and headings are not prose.
fn sentences(line: &str) -> usize {
    let line = line.trim();
    if line.starts_with('|') || line.starts_with('#') || line.starts_with("<!--") {
        return 0;
    }
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("x");
    let words: Vec<_> = prose.split_whitespace().collect();
    let breaks = words.windows(2).filter(|pair| {
        let ends = pair[0].ends_with(['.', '?', '!']) && pair[0].len() > 2;
        let is_short = ABBREVIATIONS.iter().any(|short| pair[0].ends_with(short));
        let begins = pair[1].chars().next().is_some_and(char::is_uppercase);
        ends && !is_short && begins
    });
    breaks.count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_counted_in_prose_only() {
        assert_eq!(sentences("One. Two."), 2);
        assert_eq!(sentences("One, e.g. Two, and 1.5 GiB of `a. B`."), 1);
        assert_eq!(sentences("| One. Two. |"), 0);
        assert_eq!(sentences("1. One item."), 1);
    }
}

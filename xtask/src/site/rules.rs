//! Rules of the protocol on the site: each has an anchor on the protocol's page, and where one is named there is a link.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Result;

/// The protocol's page, from the top of the site.
const PAGE: &str = "PROTOCOL.html";

/// The names of the rules that the protocol states, such as `CTRL-3`.
pub(super) struct Rules(BTreeSet<String>);

impl Rules {
    /// Finds them in the protocol's document.
    pub(super) fn of(protocol: &str) -> Self {
        Self(
            protocol
                .lines()
                .filter_map(stated)
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Returns a line of a document, with an anchor if it states a rule, and with links to the rules that it names.
    ///
    /// `up` leads from the document to the top of the site.
    pub(super) fn line(&self, line: &str, up: &str) -> String {
        if line.starts_with('#') {
            return line.to_owned();
        }
        let (head, rest) = match stated(line) {
            Some(rule) => {
                let head = format!("- <a id=\"{}\"></a>**{rule}**", rule.to_lowercase());
                (head, &line["- ****".len() + rule.len()..])
            }
            None => (String::new(), line),
        };
        let mut text = head;
        for (at, part) in rest.split('`').enumerate() {
            if at > 0 {
                text.push('`');
            }
            match at % 2 {
                0 => {
                    text += &self.linked(part, |rule| {
                        format!("[{rule}]({up}PROTOCOL.md#{})", rule.to_lowercase())
                    })
                }
                _ => text += part,
            }
        }
        text
    }

    /// Links the rules that the pages below a folder name, and returns how many links that are.
    ///
    /// # Errors
    ///
    /// A page cannot be read or written.
    pub(super) fn link_pages(&self, folder: &Path, up: &str) -> Result<usize> {
        let mut links = 0;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                links += self.link_pages(&path, &format!("../{up}"))?;
            } else if path.extension() == Some("html".as_ref()) {
                let page = fs::read_to_string(&path)?;
                let (new, count) = self.page(&page, up);
                if count > 0 {
                    fs::write(&path, new)?;
                }
                links += count;
            }
        }
        Ok(links)
    }

    /// Links what is between the tags of a page, but no link again.
    fn page(&self, page: &str, up: &str) -> (String, usize) {
        let (mut text, mut count, mut in_link) = (String::new(), 0, false);
        for part in page.split_inclusive('>') {
            let (words, tag) = part.split_at(part.find('<').unwrap_or(part.len()));
            if in_link {
                text += words;
            } else {
                text += &self.linked(words, |rule| {
                    count += 1;
                    format!("<a href=\"{up}{PAGE}#{}\">{rule}</a>", rule.to_lowercase())
                });
            }
            text += tag;
            let begins =
                tag.starts_with("<a ") || tag.starts_with("<script") || tag.starts_with("<title");
            let ends =
                tag.starts_with("</a") || tag.starts_with("</script") || tag.starts_with("</title");
            in_link = (in_link || begins) && !ends;
        }
        (text, count)
    }

    fn linked(&self, text: &str, mut link: impl FnMut(&str) -> String) -> String {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        let mut linked = String::new();
        let mut rest = text;
        while let Some(from) = rest.find(is_part) {
            let (before, word) = rest.split_at(from);
            let (word, after) =
                word.split_at(word.find(|letter| !is_part(letter)).unwrap_or(word.len()));
            linked += before;
            // What is the text or the target of a link already stays as it is.
            let is_free = !before.ends_with(['[', '#', '/', '_']);
            match is_free && word.contains('-') && self.0.contains(word) {
                true => linked += &link(word),
                false => linked += word,
            }
            rest = after;
        }
        linked + rest
    }
}

/// Returns the rule that a line states.
fn stated(line: &str) -> Option<&str> {
    let (rule, _) = line.strip_prefix("- **")?.split_once("**")?;
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let has_number = rule.contains(|letter: char| letter.is_ascii_digit());
    let begins = rule.starts_with(|letter: char| letter.is_ascii_uppercase());
    (begins && has_number && rule.chars().all(is_name)).then_some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules::of("- **CTRL-3** Limits.\n- **T9** More.\n- **Note** that.\n")
    }

    #[test]
    fn lines_have_anchors_and_links() {
        let line = |line| rules().line(line, "../");
        assert_eq!(
            line("- **CTRL-3** Limits, see CTRL-3."),
            "- <a id=\"ctrl-3\"></a>**CTRL-3** Limits, see [CTRL-3](../PROTOCOL.md#ctrl-3)."
        );
        assert_eq!(line("- **T9** More."), "- <a id=\"t9\"></a>**T9** More.");
        for same in [
            "- **Note** T9, CTRL-33.",
            "# CTRL-3",
            "`CTRL-3`",
            "[CTRL-3](a)",
        ] {
            assert_eq!(line(same), same);
        }
    }

    #[test]
    fn pages_have_links_outside_of_tags_and_links() {
        let page = "<p title=\"CTRL-3\">(PROTOCOL CTRL-3)</p><a href=\"b\">CTRL-3</a> CTRL-4";
        let linked = page.replace(
            "(PROTOCOL CTRL-3)",
            "(PROTOCOL <a href=\"../PROTOCOL.html#ctrl-3\">CTRL-3</a>)",
        );
        assert_eq!(rules().page(page, "../"), (linked, 1));
    }
}

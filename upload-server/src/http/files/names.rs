//! The names that the writer of files gives.

use uuid::Uuid;

/// Says whether a text names one thing in a directory, and no hidden one.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\\', '\0'])
}

/// Takes the safe name out of `<uuid>-<safe name>`, or with the coding out of `<uuid>~<coding>~<safe name>`.
pub(super) fn name_of(file: &str) -> Option<(Option<&str>, &str)> {
    let (uuid, rest) = file.split_at_checked(uuid::fmt::Hyphenated::LENGTH)?;
    Uuid::parse_str(uuid).ok()?;
    match rest.strip_prefix('~') {
        Some(coded) => coded
            .split_once('~')
            .map(|(coding, name)| (Some(coding), name)),
        None => Some((None, rest.strip_prefix('-')?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_writer_have_a_name() {
        let uuid = Uuid::nil();
        let name = |text: &'static str| Some((None, text));
        assert_eq!(name_of(&format!("{uuid}-a.txt")), name("a.txt"));
        assert_eq!(name_of(&format!("{uuid}-~a~b")), name("~a~b"));
        let coded = format!("{uuid}~gzip~a~b.txt");
        assert_eq!(name_of(&coded), Some((Some("gzip"), "a~b.txt")));
        for file in [
            "a.txt",
            ".secret",
            "",
            &uuid.to_string(),
            &format!("{uuid}.txt"),
            &format!("{uuid}~gzip"),
        ] {
            assert_eq!(name_of(file), None, "{file}");
        }
        for name in ["", ".", "..", ".tmp", "a/b", "a\\b", "a\0b"] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}

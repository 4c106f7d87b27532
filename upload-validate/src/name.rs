//! Safe names: the only form of a client's file name that may become part of a path or key.

use std::{borrow::Cow, fmt, ops::Deref};

use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_normalization::UnicodeNormalization;

/// The longest safe name in bytes.
///
/// File systems allow 255 for one component. The rest is room for what a writer puts before the name, such as a UUID.
/// So no writer has to cut the name again, which could make an extension that was not checked.
pub const NAME_BYTES_MAX: usize = 200;

/// The longest extension in bytes, dot included, that survives when a name is cut.
const KEPT_EXTENSION_BYTES_MAX: usize = 64;

/// What a name becomes of which nothing is left.
const FALLBACK: &str = "upload";

/// A name that is one plain component: never empty, never a path, at most [`NAME_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafeName(String);

impl SafeName {
    /// Returns the name as a plain string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name as an owned string.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Deref for SafeName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for SafeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<SafeName> for String {
    fn from(name: SafeName) -> String {
        name.0
    }
}

/// Makes a safe name of what a client sent.
///
/// In this order, each step seeing what the one before it left:
///
/// 1. Invisible characters go: Unicode categories C*, Zl and Zp, and the default-ignorable ones such as variation
///    selectors. Then NFKC makes full-width letters, dots and slashes plain ones; any space becomes a plain one.
/// 2. Of a path the last component stays that is more than dots and spaces. Both slashes separate, and so do
///    the characters that only look like one.
/// 3. A drive (`C:`) with no name behind it goes; characters that Windows or a shell gives a meaning (`: < > " | ? *`) and the
///    fraction slash become `_`, so no alternate stream can be named.
/// 4. Leading dots and spaces and trailing dots and spaces go; a leading `-` or `~` becomes `_`.
/// 5. Nothing left: `upload`.
/// 6. A name over [`NAME_BYTES_MAX`] bytes is cut between two characters; an extension of usual length stays.
/// 7. A Windows device (`CON`, `nul.txt`, `LPT1.png`) gets a leading `_`.
///
/// The result is the same when given to this function again.
pub fn safe_name(raw: &str) -> SafeName {
    let visible = visible(raw);
    let component = last_component(&visible);
    let component = without_drive(component);
    let mut name: String = component
        .chars()
        .map(|c| if is_special(c) { '_' } else { c })
        .collect();
    name.truncate(name.trim_end_matches(PADDING).len());
    if let Some(padding) = name.find(|c| !PADDING.contains(&c)) {
        name.drain(..padding);
    }
    if name.starts_with(['-', '~']) {
        name.replace_range(..1, "_");
    }
    if name.is_empty() {
        name.push_str(FALLBACK);
    }
    cut(&mut name);
    if is_device(&name) {
        name.insert(0, '_');
        cut(&mut name);
    }
    SafeName(name)
}

/// Returns what follows the last dot of a name's last component.
///
/// `None` without a dot, with nothing before it (`.jpg`) or nothing after it (`a.`).
/// The name is taken as it is: `a.jpg ` has the extension `jpg `, with the space.
pub fn extension(name: &str) -> Option<&str> {
    let component = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let (stem, extension) = component.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then_some(extension)
}

/// Returns a safe name with its extension replaced.
pub(crate) fn with_extension(name: &SafeName, ext: &str) -> SafeName {
    let stem = match extension(name) {
        Some(old) => name.len().saturating_sub(old.len().saturating_add(1)),
        None => name.len(),
    };
    safe_name(&format!("{}.{ext}", name.get(..stem).unwrap_or(name)))
}

/// What is stripped from both ends of a name.
const PADDING: [char; 2] = ['.', ' '];

/// Drops what cannot be seen and normalises to NFKC.
///
/// In this order, since dropping a character can bring two together that compose.
/// NFKC brings nothing invisible in again; a test asks every character.
pub(crate) fn visible(raw: &str) -> String {
    if raw.is_ascii() {
        return raw.chars().filter(|c| !c.is_ascii_control()).collect();
    }
    let mut text: String = raw.chars().filter(|c| !is_invisible(*c)).nfkc().collect();
    if text.chars().any(is_odd_space) {
        text = text
            .chars()
            .map(|c| if is_odd_space(c) { ' ' } else { c })
            .collect();
    }
    text
}

fn is_invisible(c: char) -> bool {
    if matches!(c, ' '..='~') {
        return false;
    }
    let by_category = matches!(
        get_general_category(c),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    );
    // Default_Ignorable_Code_Point of the Unicode character database, as far as it is outside C*.
    let by_property = matches!(
        c,
        '\u{034F}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FFA0}'
            | '\u{E0000}'..='\u{E0FFF}'
    );
    by_category || by_property
}

fn is_odd_space(c: char) -> bool {
    c != ' ' && get_general_category(c) == GeneralCategory::SpaceSeparator
}

/// Slashes, and the division, set-minus and solidus operators that look like them.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        '/' | '\\' | '\u{2215}' | '\u{2216}' | '\u{29F5}' | '\u{29F8}' | '\u{29F9}'
    )
}

fn is_special(c: char) -> bool {
    matches!(c, ':' | '<' | '>' | '"' | '|' | '?' | '*' | '\u{2044}')
}

fn last_component(path: &str) -> &str {
    path.rsplit(is_separator)
        .find(|component| !component.trim_matches(PADDING).is_empty())
        .unwrap_or_default()
}

/// A drive is a letter and a colon with nothing behind it; with a name behind it the colon is a slash of macOS, which
/// shows `Q/A.docx` where the name is `Q:A.docx`.
fn without_drive(component: &str) -> &str {
    let mut chars = component.trim_matches(PADDING).chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some(letter), Some(':'), None) if letter.is_ascii_alphabetic() => "",
        _ => component,
    }
}

/// Windows finds a device in any folder and behind any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    let stem: Cow<'_, str> = if stem.bytes().any(|b| b.is_ascii_lowercase()) {
        stem.to_ascii_uppercase().into()
    } else {
        stem.into()
    };
    match &*stem {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$" => true,
        numbered => numbered
            .strip_prefix("COM")
            .or_else(|| numbered.strip_prefix("LPT"))
            .is_some_and(|digit| digit.len() == 1 && digit.bytes().all(|b| b.is_ascii_digit())),
    }
}

fn cut(name: &mut String) {
    if name.len() <= NAME_BYTES_MAX {
        return;
    }
    let tail = extension(name)
        .map(|extension| format!(".{extension}"))
        .filter(|tail| tail.len() <= KEPT_EXTENSION_BYTES_MAX)
        .unwrap_or_default();
    let room = NAME_BYTES_MAX.saturating_sub(tail.len());
    name.truncate(name.floor_char_boundary(room));
    name.truncate(name.trim_end_matches(PADDING).len());
    name.push_str(&tail);
}

#[cfg(test)]
mod tests {
    use unicode_normalization::char::decompose_compatible;

    use super::{NAME_BYTES_MAX, extension, is_invisible, safe_name};

    /// REFERENCE 1.4: the names whose safe form is settled.
    #[test]
    fn makes_the_names_of_the_table() {
        for (raw, expected) in [
            ("../../../etc/x", "x"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\win", "win"),
            ("....//x", "x"),
            (".bashrc", "bashrc"),
            (".", "upload"),
            ("..", "upload"),
            ("...", "upload"),
            ("....", "upload"),
            ("inno\0cent\x01.jpg", "innocent.jpg"),
            ("innocent.jpg\0.exe", "innocent.jpg.exe"),
            ("", "upload"),
            ("   ", "upload"),
            ("my report (1).png", "my report (1).png"),
            ("photo.jpg", "photo.jpg"),
            ("résumé.pdf", "résumé.pdf"),
            ("／etc／passwd", "passwd"),
            ("．．／．．／etc", "etc"),
            ("..＼..＼win.exe", "win.exe"),
            ("．．／．．", "upload"),
            ("evil\u{202E}gpj.png", "evilgpj.png"),
            ("inv\u{200B}isible.png", "invisible.png"),
            ("evil.png.", "evil.png"),
            ("foo. . .", "foo"),
            ("report.pdf   ", "report.pdf"),
            ("evil.svg ", "evil.svg"),
            ("C:\\x\\y.txt", "y.txt"),
            ("\u{2100}.txt", "c.txt"),
            ("％2e％2e％2fx", "%2e%2e%2fx"),
        ] {
            assert_eq!(&*safe_name(raw), expected, "{raw:?}");
        }
    }

    /// REFERENCE 1.4, weak spots: devices, streams, drives, separators, invisible and special characters.
    #[test]
    fn closes_the_weak_spots() {
        for (raw, expected) in [
            ("CON", "_CON"),
            ("con.txt", "_con.txt"),
            ("NUL", "_NUL"),
            ("COM1", "_COM1"),
            ("COM¹.log", "_COM1.log"),
            ("LPT1.png", "_LPT1.png"),
            ("aux.jpg", "_aux.jpg"),
            ("prn .tar.gz", "_prn .tar.gz"),
            ("conin$", "_conin$"),
            ("CON.", "_CON"),
            ("x/nul:", "nul_"),
            ("console.txt", "console.txt"),
            ("COM10", "COM10"),
            ("a.txt:stream", "a.txt_stream"),
            ("evil.svg::$DATA", "evil.svg__$DATA"),
            ("C:evil.txt", "C_evil.txt"),
            ("Ｃ：evil.txt", "C_evil.txt"),
            ("C:D:evil.txt", "C_D_evil.txt"),
            ("Q:A.docx", "Q_A.docx"),
            ("x/C:", "upload"),
            ("C:", "upload"),
            ("CD:evil.txt", "CD_evil.txt"),
            ("..\u{2215}..\u{2215}etc\u{29F8}x", "x"),
            ("a\u{2216}b\u{29F5}c\u{29F9}d", "d"),
            ("½ cup.txt", "1_2 cup.txt"),
            ("a\u{2028}b\u{2029}c.txt", "abc.txt"),
            ("a.svg\u{FE0F}", "a.svg"),
            ("a.sv\u{034F}g", "a.svg"),
            ("a\u{3164}\u{FFA0}\u{115F}.svg", "a.svg"),
            ("a\u{00AD}\u{FEFF}\u{E0041}\u{E000}.svg", "a.svg"),
            ("\u{1680}a\u{1680}b.txt", "a b.txt"),
            ("-rf", "_rf"),
            ("~root", "_root"),
            (". -rf", "_rf"),
            ("a<b>\"c\"|d?e*.txt", "a_b__c__d_e_.txt"),
            ("a.svg/", "a.svg"),
            ("a.svg/.", "a.svg"),
            ("a.svg/..", "a.svg"),
            ("a.svg\\", "a.svg"),
            (" . a.txt", "a.txt"),
        ] {
            assert_eq!(&*safe_name(raw), expected, "{raw:?}");
        }
    }

    /// REFERENCE 1.4, weak spots: no length cap.
    #[test]
    fn cuts_between_characters_and_keeps_the_extension() {
        let name = safe_name(&format!("{}.png", "a".repeat(300)));
        assert_eq!(name.len(), NAME_BYTES_MAX);
        assert!(name.ends_with("a.png"));

        let name = safe_name(&format!("{}.jpg", "é".repeat(300)));
        assert_eq!(name.len(), NAME_BYTES_MAX);
        assert!(name.ends_with("é.jpg"));

        let name = safe_name(&format!("{}.jpeg", "é".repeat(300)));
        assert_eq!(
            name.len(),
            NAME_BYTES_MAX - 1,
            "a character of two bytes is not split"
        );
        assert!(name.ends_with("é.jpeg"));

        let name = safe_name(&format!("a.{}", "b".repeat(300)));
        assert_eq!(
            name.len(),
            NAME_BYTES_MAX,
            "what is too long is no extension"
        );

        let name = safe_name(&format!("LPT1{}x", " ".repeat(300)));
        assert_eq!(&*name, "_LPT1", "cutting makes no device");

        let name = safe_name(&format!("con.{}.png", "a".repeat(NAME_BYTES_MAX - 8)));
        assert_eq!(
            name.len(),
            NAME_BYTES_MAX,
            "marking a device does not lengthen"
        );
        assert!(name.starts_with("_con.a") && name.ends_with("a.png"));

        let exact = "a".repeat(NAME_BYTES_MAX);
        assert_eq!(&*safe_name(&exact), exact);
    }

    #[test]
    fn normalising_brings_nothing_invisible_in() {
        for c in ('\0'..=char::MAX).filter(|c| !is_invisible(*c)) {
            decompose_compatible(c, |part| assert!(!is_invisible(part), "{c:?}"));
        }
    }

    #[test]
    fn finds_the_last_extension() {
        for (name, expected) in [
            ("a.jpg", Some("jpg")),
            ("a.tar.gz", Some("gz")),
            ("a", None),
            ("a.", None),
            (".jpg", None),
            ("x/.jpg", None),
            ("x.y/a", None),
            ("x.y\\a", None),
            ("a.jpg ", Some("jpg ")),
            ("", None),
        ] {
            assert_eq!(extension(name), expected, "{name:?}");
        }
    }
}

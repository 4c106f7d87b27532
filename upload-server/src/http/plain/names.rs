//! The name of a file in `Content-Disposition` (RFC 6266, RFC 8187, RFC 7578).

use percent_encoding::percent_decode_str;

/// Returns the file's name: `filename*` before `filename`, which browsers write in UTF-8.
pub(crate) fn file_name(disposition: &[u8]) -> Option<String> {
    name_of(disposition, str::to_owned)
}

/// Returns the name of a form's file, in whose `filename` browsers and curl escape three characters.
pub(crate) fn form_file_name(disposition: &[u8]) -> Option<String> {
    name_of(disposition, unescaped)
}

/// Undoes what the HTML standard has browsers do to names of fields and files ("multipart form data"): quotes and
/// line breaks are percent-encoded, and nothing else is, not even `%`.
pub(super) fn unescaped(name: &str) -> String {
    // None of the three gives a `%` that another could begin with.
    name.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

fn name_of(disposition: &[u8], plain_name: fn(&str) -> String) -> Option<String> {
    let text = String::from_utf8_lossy(disposition);
    let (mut plain, mut extended) = (None, None);
    for (name, value) in parameters(&text) {
        match name.to_ascii_lowercase().as_str() {
            "filename" => plain = plain.or_else(|| Some(plain_name(&value))),
            "filename*" => extended = extended.or_else(|| extended_value(&value)),
            _ => {}
        }
    }
    extended.or(plain).filter(|name| !name.is_empty())
}

/// Reads `name=value` and `name="value"` behind the disposition's type.
fn parameters(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = match text.split_once(';') {
        Some((_, rest)) => rest,
        None => return found,
    };
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, behind) = match after.strip_prefix('"') {
            Some(quoted) => quoted_value(quoted),
            None => {
                let (value, behind) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), behind)
            }
        };
        found.push((name.trim_matches([' ', ';', '\t']), value));
        rest = behind;
    }
    found
}

/// Reads up to the closing quote. Only `\"` and `\\` are escapes: browsers of old sent whole paths.
fn quoted_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, ch)) = chars.next() {
        match ch {
            '"' => {
                let behind = text.get(at.saturating_add(1)..).unwrap_or_default();
                return (value, behind);
            }
            '\\' if chars
                .peek()
                .is_some_and(|(_, next)| matches!(next, '"' | '\\')) =>
            {
                value.extend(chars.next().map(|(_, next)| next));
            }
            _ => value.push(ch),
        }
    }
    (value, "")
}

/// Reads `UTF-8'en'name`, percent-encoded.
fn extended_value(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let name = percent_decode_str(encoded).decode_utf8().ok()?;
    Some(name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_browsers_and_programs_write_them() {
        for (disposition, name) in [
            ("attachment", None),
            ("attachment; filename=\"\"", None),
            ("attachment; filename=a.txt", Some("a.txt")),
            (
                "form-data; name=\"file\"; filename=\"a b.txt\"",
                Some("a b.txt"),
            ),
            ("form-data; filename=\"a;b.txt\"; name=f", Some("a;b.txt")),
            ("form-data; filename=\"a\\\"b.txt\"", Some("a\"b.txt")),
            (
                "form-data; filename=\"C:\\dir\\a.txt\"",
                Some("C:\\dir\\a.txt"),
            ),
            ("form-data; filename=\"ä.txt\"", Some("ä.txt")),
            (
                "attachment; filename=\"a.txt\"; filename*=UTF-8''%c3%a4.txt",
                Some("ä.txt"),
            ),
            ("attachment; filename*=utf-8'en'a%20b.txt", Some("a b.txt")),
            (
                "attachment; filename*=latin1''a.txt; filename=b.txt",
                Some("b.txt"),
            ),
            ("attachment; filename=\"open", Some("open")),
            ("attachment; =; filename=a", Some("a")),
        ] {
            assert_eq!(
                file_name(disposition.as_bytes()).as_deref(),
                name,
                "{disposition}"
            );
        }
    }

    #[test]
    fn names_in_forms_are_unescaped_and_others_are_not() {
        for (disposition, in_form, elsewhere) in [
            ("x; filename=\"%22a%22.txt\"", "\"a\".txt", "%22a%22.txt"),
            ("x; filename=\"a%0D%0Ab\"", "a\r\nb", "a%0D%0Ab"),
            ("x; filename=\"50%25%20%2F\"", "50%25%20%2F", "50%25%20%2F"),
            ("x; filename=\"%2522%%222\"", "%2522%\"2", "%2522%%222"),
            ("x; filename*=UTF-8''%2522", "%22", "%22"),
        ] {
            let bytes = disposition.as_bytes();
            assert_eq!(
                form_file_name(bytes).as_deref(),
                Some(in_form),
                "{disposition}"
            );
            assert_eq!(
                file_name(bytes).as_deref(),
                Some(elsewhere),
                "{disposition}"
            );
        }
    }
}

//! Fitting a file's safe name into a path or a key, without believing that it is safe.

/// The longest name of a file or a folder that Linux file systems take, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// The longest folder of an application, in bytes.
const FOLDER_BYTES_MAX: usize = 512;

/// Returns whether this can be the folder of a file ([`UploadFacts::folder`]).
///
/// A folder is one or more names separated by `/`, at most 512 bytes. No name is empty, begins with a dot, or has a
/// backslash or a control character.
///
/// [`UploadFacts::folder`]: crate::UploadFacts::folder
///
/// ```
/// use upload_writers::is_folder;
///
/// assert!(is_folder("customers/42"));
/// assert!(!is_folder("../customers") && !is_folder("/customers") && !is_folder(""));
/// ```
pub fn is_folder(folder: &str) -> bool {
    folder.len() <= FOLDER_BYTES_MAX && folder.split('/').all(is_usable)
}

/// Says whether `text` can name a directory; a leading dot would collide with those that the server keeps
/// next to the slots.
pub(crate) fn is_usable(text: &str) -> bool {
    is_component(text) && !text.starts_with('.')
}

/// Says whether `text` can be one component of a path and nothing else.
pub(crate) fn is_component(text: &str) -> bool {
    let plain = |c: char| c != '/' && c != '\\' && !c.is_control();
    !text.is_empty()
        && text != "."
        && text != ".."
        && text.len() <= NAME_BYTES_MAX
        && text.chars().all(plain)
}

/// An extension longer than this, in bytes without its dot, is cut like any other text.
const EXTENSION_BYTES_MAX: usize = 32;

/// Answers `safe_name` in at most `room` bytes, cut in front of its extension; never empty, never
/// with a separator or a control character.
///
/// What is cut has no dot but that of the extension it came with: a cut inside `a.html-and-more`
/// would otherwise store something else than what was judged.
pub(crate) fn fitting(safe_name: &str, room: usize) -> String {
    let mask = |c: char| {
        if c == '/' || c == '\\' || c.is_control() {
            '_'
        } else {
            c
        }
    };
    let name: String = safe_name.chars().map(mask).collect();
    if name.is_empty() {
        return "upload".to_owned();
    }
    if name.len() <= room {
        return name;
    }
    let dot = name.rfind('.').unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    let keeps_extension = !stem.is_empty() && extension.len() <= EXTENSION_BYTES_MAX + 1;
    let (stem, extension) = if keeps_extension {
        (stem, extension)
    } else {
        (name.as_str(), "")
    };
    let cut = stem.floor_char_boundary(room.saturating_sub(extension.len()));
    let (stem, _) = stem.split_at(cut);
    format!("{}{extension}", stem.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use upload_validate::extension;

    use super::fitting;

    proptest! {
        /// A cut makes no extension, nor one that shows behind `.gz`: there is the one that was there, or none.
        #[test]
        fn a_cut_makes_no_extension(
            name in "[a-z]{0,30}(\\.[a-zé]{1,40}){0,4}",
            room in 40_usize..120,
        ) {
            let fitted = fitting(&name, room);
            prop_assert!(!fitted.is_empty() && fitted.len() <= room);
            if name.len() > room {
                let kept = extension(&fitted);
                prop_assert!(kept.is_none() || kept == extension(&name), "{}", fitted);
                prop_assert!(fitted.matches('.').count() <= 1, "{}", fitted);
            }
        }
    }

    #[test]
    fn a_cut_keeps_a_short_extension() {
        let name = fitting("report.html-of-today.png", 15);
        assert_eq!(name, "report_html.png");
        let name = fitting(&format!("page.html{}", "z".repeat(40)), 9);
        assert_eq!(name, "page_html");
    }
}

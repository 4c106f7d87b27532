//! Fitting a file's safe name into a path or a key, without believing that it is safe.

/// An extension longer than this, in bytes without its dot, is cut like any other text.
const EXTENSION_BYTES_MAX: usize = 32;

/// Answers `safe_name` in at most `room` bytes, cut in front of its extension; never empty, never
/// with a separator or a control character.
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
    let keep = stem.is_empty() || extension.len() > EXTENSION_BYTES_MAX + 1;
    let (stem, extension) = if keep {
        (name.as_str(), "")
    } else {
        (stem, extension)
    };
    let cut = stem.floor_char_boundary(room.saturating_sub(extension.len()));
    let (stem, _) = stem.split_at(cut);
    format!("{stem}{extension}")
}

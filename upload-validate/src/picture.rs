//! Pictures under the name of another kind of picture.

use crate::{
    accept::Accept,
    file::{Declared, File},
    head::Head,
    media_types::is_picture,
    name::{SafeName, with_extension},
    signatures::Fit,
    sniff::fit_type,
};

/// The kinds that their bytes tell apart, and the extension of each.
const KINDS: &[(&str, &str)] = &[
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/heic", "heic"),
    ("image/avif", "avif"),
    ("image/tiff", "tiff"),
    ("image/bmp", "bmp"),
    ("image/jxl", "jxl"),
    ("image/jp2", "jp2"),
];

/// Tells whether a file that calls itself a picture is a picture of any kind on the list.
pub(crate) fn fit(file: &File<'_>, accept: &Accept, head: &Head<'_>) -> Fit {
    if !is_called_picture(file) {
        return Fit::No;
    }
    let kinds = KINDS.iter().filter(|kind| is_on(accept, kind));
    kinds.fold(Fit::No, |fit, (essence, _)| fit.or(fit_type(essence, head)))
}

/// Returns the name under which a picture is stored: with the extension of what its bytes are.
///
/// The extension stays if the bytes are what it says.
pub(crate) fn stored_name(file: &File<'_>, accept: &Accept, head: &Head<'_>) -> SafeName {
    let by_extension = file.by_extension().filter(|essence| is_picture(essence));
    let Some(by_extension) = by_extension else {
        return file.safe.clone();
    };
    if fit_type(by_extension, head) != Fit::No {
        return file.safe.clone();
    }
    let kind = KINDS
        .iter()
        .filter(|kind| is_on(accept, kind))
        .find(|(essence, _)| fit_type(essence, head) == Fit::Yes);
    match kind {
        Some((_, ext)) => with_extension(&file.safe, ext),
        None => file.safe.clone(),
    }
}

fn is_called_picture(file: &File<'_>) -> bool {
    match (&file.declared, file.by_extension()) {
        (_, Some(by_extension)) => is_picture(by_extension),
        (Declared::Known(declared) | Declared::Unknown(declared), None) => is_picture(declared),
        (_, None) => false,
    }
}

fn is_on(accept: &Accept, (_, ext): &(&str, &str)) -> bool {
    accept.permits(&format!("a.{ext}"), "")
}

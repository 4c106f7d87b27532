//! The content check: declared type, extension and bytes must agree where a signature is known.

use crate::{
    media_types::{self, types_for_extension},
    name::{extension, safe_name},
    signatures::{self, Fit},
    verdict::Verdict,
};

/// Bytes from the start of a file that are enough for every check of this crate.
///
/// A head of this length, or one that is the whole file, is always decided.
pub const HEAD_BYTES: usize = 8192;

/// The first bytes of a file.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The bytes from offset 0 on; those past [`HEAD_BYTES`] are not looked at.
    pub bytes: &'a [u8],
    /// Whether the file ends with these bytes.
    pub is_whole: bool,
}

impl<'a> Head<'a> {
    /// Returns whether no further byte can come: a check must decide now.
    pub fn is_complete(&self) -> bool {
        self.is_whole || self.bytes.len() >= HEAD_BYTES
    }

    /// Cuts the head to [`HEAD_BYTES`], so that a verdict never depends on how much came at once.
    pub(crate) fn cut(&self) -> Head<'a> {
        match self.bytes.get(..HEAD_BYTES) {
            Some(bytes) => Head {
                bytes,
                is_whole: self.is_whole && self.bytes.len() == HEAD_BYTES,
            },
            None => *self,
        }
    }
}

/// What the client said about a file.
#[derive(Clone, Copy, Debug)]
pub struct FileFacts<'a> {
    /// The name as the client sent it, not yet made safe.
    pub name: &'a str,
    /// The declared media type, parameters and all; empty if none was declared.
    pub media_type: &'a str,
    /// The declared size in bytes.
    pub size: u64,
}

/// A check of the application's own, run after those of [`Rules`](crate::Rules).
///
/// `check` must not block: it runs where the first bytes arrive.
/// It is called again with a longer head after [`Verdict::NeedMore`], so it must answer that for as long as
/// later bytes could change its mind; otherwise the verdict would depend on how the file was cut into chunks.
/// `NeedMore` for a head that [is complete](Head::is_complete) counts as a mismatch.
///
/// ```
/// use std::sync::Arc;
/// use upload_validate::{Accept, FileFacts, Head, Refusal, Rules, Validator, Verdict};
///
/// struct NoEmptyFiles;
///
/// impl Validator for NoEmptyFiles {
///     fn check(&self, facts: &FileFacts<'_>, _head: &Head<'_>) -> Verdict {
///         match facts.size {
///             0 => Verdict::Refuse(Refusal::ContentMismatch),
///             _ => Verdict::Accept,
///         }
///     }
/// }
///
/// let rules = Rules::new(Accept::default()).with_validator(Arc::new(NoEmptyFiles));
/// let facts = FileFacts { name: "a.txt", media_type: "text/plain", size: 0 };
/// let head = Head { bytes: b"", is_whole: true };
/// assert_eq!(rules.inspect(&facts, &head), Verdict::Refuse(Refusal::ContentMismatch));
/// ```
pub trait Validator: Send + Sync {
    /// Judges a file by what the client said and by its first bytes.
    fn check(&self, facts: &FileFacts<'_>, head: &Head<'_>) -> Verdict;
}

/// The types a file must look like: what was declared, and what its extension stands for.
///
/// A generic declared type (`application/octet-stream`) says nothing and leaves the extension alone to decide.
/// A declared type that is another name of the extension's type counts once: Windows declares
/// `application/vnd.ms-excel` for a `.csv`, which must not make it a spreadsheet.
pub(crate) struct Expected {
    declared: Option<String>,
    by_extension: Option<&'static str>,
}

impl Expected {
    /// Works out the expected types from what the client said.
    pub(crate) fn new(facts: &FileFacts<'_>) -> Expected {
        let safe = safe_name(facts.name);
        let types = extension(&safe).and_then(types_for_extension);
        let declared = media_types::essence(facts.media_type)
            .filter(|declared| !media_types::is_generic(declared))
            .filter(|declared| !types.is_some_and(|types| types.include(declared)))
            .map(|declared| media_types::canonical(&declared).to_owned());
        Expected {
            declared,
            by_extension: types.map(|types| types.preferred),
        }
    }

    /// Returns whether the file is announced as text, which a browser shows without looking for markup in it.
    pub(crate) fn is_text(&self) -> bool {
        match (&self.declared, self.by_extension) {
            (Some(declared), _) => media_types::is_text(declared),
            (None, Some(by_extension)) => media_types::is_text(by_extension),
            (None, None) => false,
        }
    }

    /// Tells whether the bytes agree with every expected type.
    pub(crate) fn fit(&self, head: &Head<'_>) -> Fit {
        let fits = [self.declared.as_deref(), self.by_extension]
            .into_iter()
            .flatten()
            .map(|essence| fit_type(essence, head));
        let mut all = Fit::Yes;
        for fit in fits {
            match fit {
                // One refusal decides, whatever the other type would still have to wait for.
                Fit::No => return Fit::No,
                Fit::Open => all = Fit::Open,
                Fit::Yes => {}
            }
        }
        all
    }
}

fn fit_type(essence: &str, head: &Head<'_>) -> Fit {
    let fit = match signatures::for_type(essence) {
        Some(signature) => signature.fit(head),
        None => fit_by_infer(essence, head),
    };
    match fit {
        Fit::Open if head.is_complete() => Fit::No,
        fit => fit,
    }
}

/// Judges types outside our own table with `infer`.
///
/// Its matchers answer for a whole buffer and not for a growing one, so they are asked only about a complete head.
fn fit_by_infer(essence: &str, head: &Head<'_>) -> Fit {
    let is_media = ["image/", "audio/", "video/", "font/"]
        .iter()
        .any(|prefix| essence.starts_with(prefix));
    // Certificates come as PEM with prose before it, which the matcher does not expect.
    let is_known = infer::is_mime_supported(essence)
        && !media_types::is_text(essence)
        && essence != "application/x-x509-ca-cert";
    if !is_media && !is_known {
        return Fit::Yes;
    }
    if !head.is_complete() {
        return Fit::Open;
    }
    let fits = if is_known {
        infer::is_mime(head.bytes, essence)
    } else {
        // A picture, sound, film or font in a format nobody here knows: it may be anything but a program
        // or an archive. Matchers of two bytes are left out, except that of Windows programs.
        !infer::get(head.bytes).is_some_and(|kind| NOT_MEDIA.contains(&kind.extension()))
    };
    if fits { Fit::Yes } else { Fit::No }
}

/// What `infer` recognises with enough certainty to say that a file is no picture, sound, film or font.
const NOT_MEDIA: &[&str] = &[
    "exe", "dll", "elf", "mach", "class", "dex", "wasm", "swf", "rar", "7z",
];

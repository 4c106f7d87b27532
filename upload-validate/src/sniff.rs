//! The content check: declared type, extension and bytes must agree where a signature is known.

use crate::{
    active::bytes::Promise,
    file::{Declared, File},
    head::Head,
    media_types,
    signatures::{self, At, Fit},
    verdict::Verdict,
};

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

/// A check of the application, run after those of [`Rules`](crate::Rules).
///
/// A closure is one too. It may give its own reason for a refusal, as an [`OwnRefusal`](crate::OwnRefusal).
///
/// `check` must not block: it runs where the first bytes arrive.
/// It is called again with a longer head after [`Verdict::NeedMore`], and must answer that for as long as later
/// bytes could change its verdict. Otherwise the verdict would depend on how the file was cut into chunks.
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

impl<F> Validator for F
where
    F: Fn(&FileFacts<'_>, &Head<'_>) -> Verdict + Send + Sync,
{
    fn check(&self, facts: &FileFacts<'_>, head: &Head<'_>) -> Verdict {
        self(facts, head)
    }
}

/// The types a file must look like: what its extension says, and what was declared as well.
///
/// A declared type that is another name of the extension's type counts once: Windows declares
/// `application/vnd.ms-excel` for a `.csv`, which must not make it a spreadsheet.
/// One that no extension has says nothing, but where the extension says nothing either, a picture, sound, film or font
/// of an unknown format must at least be no program.
pub(crate) struct Expected<'a> {
    file: &'a File<'a>,
    declared: Option<&'a str>,
}

impl<'a> Expected<'a> {
    /// Works out the expected types from what the client said.
    pub(crate) fn new(file: &'a File<'a>) -> Expected<'a> {
        let declared = match (&file.declared, file.types) {
            (Declared::Known(declared), Some(types)) => {
                Some(declared.as_str()).filter(|declared| !types.include(declared))
            }
            (Declared::Known(declared) | Declared::Unknown(declared), None) => {
                Some(declared.as_str())
            }
            _ => None,
        };
        Expected { file, declared }
    }

    /// Returns what the extension promises; the declared type is the client's word and promises nothing.
    pub(crate) fn promise(&self) -> Promise {
        match self.file.by_extension() {
            Some(by_extension) if media_types::is_text(by_extension) => Promise::Text,
            Some(_) => Promise::Data,
            None => Promise::Nothing,
        }
    }

    /// Tells whether the bytes agree with every expected type.
    ///
    /// A slot that takes everything also takes what is no such file and does no harm: `takes_all`.
    pub(crate) fn fit(&self, head: &Head<'_>, takes_all: bool) -> Fit {
        if head.is_whole && head.bytes.is_empty() {
            // An empty file is none of its type yet, and contradicts it in nothing.
            return Fit::Yes;
        }
        let lenient = match takes_all {
            true => self.fit_leniently(head),
            false => Fit::No,
        };
        let fits = [self.declared, self.file.by_extension()]
            .into_iter()
            .flatten()
            .map(|essence| fit_type(essence, head));
        let mut all = Fit::Yes;
        for fit in fits {
            match fit {
                // One refusal decides, whatever the other type would still have to wait for.
                Fit::No => {
                    all = Fit::No;
                    break;
                }
                Fit::Open => all = Fit::Open,
                Fit::Yes => {}
            }
        }
        match all.or(lenient) {
            Fit::Open if head.is_complete() => Fit::No,
            fit => fit,
        }
    }

    /// What systems leave next to files under their names, and text that calls itself a document of the old office.
    fn fit_leniently(&self, head: &Head<'_>) -> Fit {
        /// The longest file that the office leaves next to a document that is open: its owner's name.
        const OWNER_BYTES_MAX: usize = 165;
        const OFFICE: &[&str] = &[
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
        ];
        let name = self.file.name.rsplit(['/', '\\']).next();
        let name = name.unwrap_or_default();
        let by_extension = self.file.by_extension();
        if name.starts_with("._") {
            // AppleDouble (RFC 1740).
            At(0, b"\0\x05\x16\x07").fit(head.bytes)
        } else if name.starts_with("~$") {
            match (head.bytes.len() > OWNER_BYTES_MAX, head.is_whole) {
                (true, _) => Fit::No,
                (false, true) => Fit::Yes,
                (false, false) => Fit::Open,
            }
        } else if by_extension.is_some_and(|essence| OFFICE.contains(&essence)) {
            signatures::text(head)
        } else {
            Fit::No
        }
    }
}

/// Tells whether the bytes are those of a type; for a complete head the answer is certain.
pub(crate) fn fit_type(essence: &str, head: &Head<'_>) -> Fit {
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
    if media_types::is_generic(essence) || (!is_media && !is_known) {
        return Fit::Yes;
    }
    if !head.is_complete() {
        return Fit::Open;
    }
    let fits = if is_known {
        infer::is_mime(head.bytes, essence)
    } else {
        // A picture, sound, film or font in an unknown format: it may be anything but a program
        // or an archive. Matchers of two bytes are left out, except that of Windows programs.
        !infer::get(head.bytes).is_some_and(|kind| NOT_MEDIA.contains(&kind.extension()))
    };
    if fits { Fit::Yes } else { Fit::No }
}

/// What `infer` recognises with enough certainty to say that a file is no picture, sound, film or font.
const NOT_MEDIA: &[&str] = &[
    "exe", "dll", "elf", "mach", "class", "dex", "wasm", "swf", "rar", "7z",
];

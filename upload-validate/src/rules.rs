//! The rules of one slot, put together.

use std::{fmt, sync::Arc};

use crate::{
    accept::Accept,
    active::{self, is_active},
    signatures::Fit,
    sniff::{Expected, FileFacts, Head, Validator},
    verdict::{Refusal, Verdict},
};

/// What a slot demands of a file.
///
/// Cheap to clone: custom validators are shared.
#[derive(Clone, Default)]
pub struct Rules {
    /// The extensions and types that may enter.
    pub accept: Accept,
    /// Whether files that a browser would run may enter; off by default.
    pub allow_active_content: bool,
    validators: Vec<Arc<dyn Validator>>,
}

impl Rules {
    /// Creates rules that refuse active content and what is not on the list.
    pub fn new(accept: Accept) -> Self {
        Rules {
            accept,
            ..Rules::default()
        }
    }

    /// Sets whether files that a browser would run may enter.
    #[must_use]
    pub fn allow_active_content(mut self, allow: bool) -> Self {
        self.allow_active_content = allow;
        self
    }

    /// Adds a check of the application's own; checks run in the order they were added.
    #[must_use]
    pub fn with_validator(mut self, validator: Arc<dyn Validator>) -> Self {
        self.validators.push(validator);
        self
    }

    /// Judges a file by its raw name and declared type, before any byte came.
    ///
    /// # Errors
    ///
    /// [`Refusal::ActiveContent`] first (independent of the accept list), then [`Refusal::TypeNotAccepted`];
    /// the order is that of PROTOCOL MSG-1a.
    pub fn screen(&self, name: &str, media_type: &str) -> Result<(), Refusal> {
        if !self.allow_active_content && is_active(name, media_type) {
            return Err(Refusal::ActiveContent);
        }
        if !self.accept.permits(name, media_type) {
            return Err(Refusal::TypeNotAccepted);
        }
        Ok(())
    }

    /// Judges a file by its first bytes.
    ///
    /// The checks, in order: [`screen`](Self::screen) once more, so that no path around registration leads to
    /// storage; bytes against declared type and extension; active content by its bytes; custom validators.
    /// A check is reached only when those before it are certain, and none of ours changes its mind when more
    /// bytes come, so the verdict does not depend on how the file was cut into chunks.
    pub fn inspect(&self, facts: &FileFacts<'_>, head: &Head<'_>) -> Verdict {
        if let Err(refusal) = self.screen(facts.name, facts.media_type) {
            return Verdict::Refuse(refusal);
        }
        let head = head.cut();
        let expected = Expected::new(facts);
        match expected.fit(&head) {
            Fit::Yes => {}
            Fit::No => return Verdict::Refuse(Refusal::ContentMismatch),
            Fit::Open => return Verdict::NeedMore,
        }
        if !self.allow_active_content {
            match active::fit_bytes(&head, expected.is_text()) {
                Fit::No => {}
                Fit::Yes => return Verdict::Refuse(Refusal::ActiveContent),
                Fit::Open => return Verdict::NeedMore,
            }
        }
        for validator in &self.validators {
            match validator.check(facts, &head) {
                Verdict::Accept => {}
                // Nothing more will come: a validator that still waits has not been convinced.
                Verdict::NeedMore if head.is_complete() => {
                    return Verdict::Refuse(Refusal::ContentMismatch);
                }
                verdict => return verdict,
            }
        }
        Verdict::Accept
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("accept", &self.accept)
            .field("allow_active_content", &self.allow_active_content)
            .field("validators", &self.validators.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Rules;
    use crate::{Accept, FileFacts, HEAD_BYTES, Head, Refusal, Validator, Verdict};

    fn rules(accept: &str) -> Rules {
        Rules::new(Accept::parse(accept).expect("the list is well formed"))
    }

    fn inspect(rules: &Rules, name: &str, media_type: &str, bytes: &[u8]) -> Verdict {
        let facts = FileFacts {
            name,
            media_type,
            size: bytes.len() as u64,
        };
        rules.inspect(
            &facts,
            &Head {
                bytes,
                is_whole: true,
            },
        )
    }

    const PASS: Verdict = Verdict::Accept;
    const MISMATCH: Verdict = Verdict::Refuse(Refusal::ContentMismatch);
    const ACTIVE: Verdict = Verdict::Refuse(Refusal::ActiveContent);
    const PNG: &[u8] = b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR";
    const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\0\0\0\0\0";
    const MZ: &[u8] = b"MZ\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const ELF: &[u8] = b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3E\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    /// AC-1, AC-2, AC-14: active content is refused before the accept list is asked, unless allowed. PROTOCOL MSG-1a.
    #[test]
    fn screens_active_content_first() {
        for (row, list, name, media_type, expected) in [
            (
                "AC-1",
                "image/*",
                "evil.svg",
                "image/svg+xml",
                Err(Refusal::ActiveContent),
            ),
            (
                "AC-2",
                ".svg,.png",
                "evil.svg",
                "image/svg+xml",
                Err(Refusal::ActiveContent),
            ),
            (
                "AC-2",
                ".png",
                "evil.svg",
                "image/svg+xml",
                Err(Refusal::ActiveContent),
            ),
            ("AC-16", ".png", "photo.png", "image/png", Ok(())),
            (
                "RV-2",
                ".png",
                "photo.gif",
                "image/gif",
                Err(Refusal::TypeNotAccepted),
            ),
        ] {
            assert_eq!(rules(list).screen(name, media_type), expected, "{row}");
        }
        let open = rules("").allow_active_content(true);
        assert_eq!(open.screen("logo.svg", "image/svg+xml"), Ok(()), "AC-14");
        assert_eq!(open.screen("page.html", "text/html"), Ok(()), "AC-14");
        assert_eq!(
            inspect(&open, "logo.svg", "image/svg+xml", b"<svg>"),
            PASS,
            "AC-14"
        );
        assert_eq!(
            inspect(&open, "page.html", "text/html", b"<html>"),
            PASS,
            "AC-14"
        );
    }

    /// AC-15: a file that came past registration is refused by the content check.
    #[test]
    fn inspection_screens_again() {
        assert_eq!(inspect(&rules(""), "evil.svg", "", b"harmless"), ACTIVE);
        let refusal = Verdict::Refuse(Refusal::TypeNotAccepted);
        assert_eq!(inspect(&rules(".png"), "a.txt", "", b"harmless"), refusal);
    }

    /// MB-1 to MB-11: bytes against type and extension.
    #[test]
    fn compares_bytes_with_type_and_extension() {
        let table: &[(&str, &str, &str, &[u8], Verdict)] = &[
            (
                "MB-1",
                "a.jpg",
                "image/jpeg",
                b"\xFF\xD8\xFF\xE0\0\0\0\0\0\0\0\0\0\0\0\0",
                PASS,
            ),
            ("MB-2", "a.jpg", "image/jpeg", PNG, MISMATCH),
            ("MB-2", "a.png", "image/png", JPEG, MISMATCH),
            ("MB-2", "a.jpg", "image/jpeg", MZ, MISMATCH),
            (
                "MB-3",
                "a.webp",
                "image/webp",
                b"RIFF\0\0\0\0XXXXVP8 ",
                MISMATCH,
            ),
            (
                "MB-3",
                "a.webp",
                "image/webp",
                b"RIFF\0\0\0\0WEBPVP8 ",
                PASS,
            ),
            (
                "MB-4",
                "a.pdf",
                "application/pdf",
                b"%PDF-1.4\n%abcdefghijk",
                PASS,
            ),
            ("MB-4", "a.pdf", "application/pdf", b"MZ %PDF-1.4", MISMATCH),
            ("MB-5", "a.jpg", "image/jpeg", b"", MISMATCH),
            ("MB-5", "a.jpg", "image/jpeg", b"\xFF", MISMATCH),
            ("MB-5", "a.jpg", "image/jpeg", b"\xFF\xD8", MISMATCH),
            ("MB-6", "a.txt", "text/plain", PNG, PASS),
            ("MB-6", "a", "text/plain", MZ, PASS),
            ("MB-6", "a.bin", "application/octet-stream", MZ, PASS),
            ("MB-8", "a.png", "", MZ, MISMATCH),
            ("MB-8", "a.png", "", PNG, PASS),
            (
                "MB-9",
                "a.png",
                "image/png",
                b"\x89PNG\r\n\x1A\n\0\0\0\0\0\0\0",
                PASS,
            ),
            (
                "MB-9",
                "a.gif",
                "image/gif",
                b"GIF89a\x01\0\x01\0\0\0\0\0",
                PASS,
            ),
            ("MB-10", "a.png", "IMAGE/PNG", MZ, MISMATCH),
            ("MB-10", "a.png", "image/png; q=1", MZ, MISMATCH),
            ("MB-10", "a.png", "application/octet-stream", MZ, MISMATCH),
            ("MB-10", "a.png", "text/plain", MZ, MISMATCH),
            ("MB-10", "a", "image/png", ELF, MISMATCH),
            ("MB-10", "a.png ", "", MZ, MISMATCH),
            ("MB-10", "a.png", "nonsense", MZ, MISMATCH),
            ("MB-10", "a.jpg", "image/png", PNG, MISMATCH),
            ("MB-10", "a.exe", "image/png", PNG, MISMATCH),
            ("MB-11", "a.txt", "text/plain", b"", PASS),
            ("MB-11", "a.txt", "", b"", PASS),
            ("MB-11", "a", "", b"", PASS),
        ];
        for &(row, name, media_type, bytes, expected) in table {
            assert_eq!(
                inspect(&rules(""), name, media_type, bytes),
                expected,
                "{row}: {name:?} as {media_type:?}"
            );
        }
    }

    /// MB-7: SVG, where active content is allowed.
    #[test]
    fn tells_svg_from_other_markup() {
        let open = rules("").allow_active_content(true);
        let table: &[(&[u8], Verdict)] = &[
            (b"<?xml version='1.0'?><svg>", PASS),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", PASS),
            (b"\xEF\xBB\xBF<!-- made by hand -->\n<svg>", PASS),
            (
                b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN'>",
                PASS,
            ),
            (b"<?xml version='1.0'?><!-- ", PASS),
            (b"<!DOCTYPE html>", MISMATCH),
            (b"<?xml version='1.0'?><html>", MISMATCH),
            (b"plain", MISMATCH),
            (b"", MISMATCH),
        ];
        for (bytes, expected) in table {
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(
                inspect(&open, "a.svg", "image/svg+xml", bytes),
                *expected,
                "MB-7: {shown}"
            );
        }
    }

    /// REFERENCE 1.3, "not caught by the reference": the bytes are active, whatever the name says.
    #[test]
    fn refuses_active_bytes_under_a_harmless_name() {
        let html = b"\xEF\xBB\xBF\n<!-- x --><html><script>1</script>";
        for (name, media_type) in [
            ("a.txt", "text/plain"),
            ("a.txt", ""),
            ("a", ""),
            ("a.csv", "text/csv"),
        ] {
            assert_eq!(
                inspect(&rules(""), name, media_type, html),
                ACTIVE,
                "{name:?}"
            );
        }
        let open = rules("").allow_active_content(true);
        assert_eq!(inspect(&open, "a.txt", "text/plain", html), PASS);
        assert_eq!(inspect(&rules(""), "a.png", "image/png", html), MISMATCH);
        assert_eq!(
            inspect(&rules(""), "a.md", "text/markdown", b"<p align=center>"),
            PASS
        );
        assert_eq!(inspect(&rules(""), "a", "", b"<p align=center>"), ACTIVE);
    }

    #[test]
    fn answers_as_soon_as_it_is_certain() {
        let rules = rules("");
        let ask = |bytes: &[u8]| {
            let facts = FileFacts {
                name: "a.png",
                media_type: "image/png",
                size: 1 << 30,
            };
            rules.inspect(
                &facts,
                &Head {
                    bytes,
                    is_whole: false,
                },
            )
        };
        assert_eq!(ask(b""), Verdict::NeedMore);
        assert_eq!(ask(&PNG[..7]), Verdict::NeedMore);
        assert_eq!(ask(&PNG[..8]), PASS);
        assert_eq!(ask(b"M"), MISMATCH);
    }

    #[test]
    fn decides_by_the_head_alone() {
        let mut bytes = vec![b' '; HEAD_BYTES];
        bytes.extend_from_slice(b"<html>");
        assert_eq!(inspect(&rules(""), "a.txt", "", &bytes), PASS);
    }

    struct Says(Verdict);

    impl Validator for Says {
        fn check(&self, _facts: &FileFacts<'_>, _head: &Head<'_>) -> Verdict {
            self.0
        }
    }

    #[test]
    fn asks_custom_validators_in_order_and_last() {
        let with = |verdicts: &[Verdict]| {
            verdicts.iter().fold(rules(""), |rules, verdict| {
                rules.with_validator(Arc::new(Says(*verdict)))
            })
        };
        let refuse = Verdict::Refuse(Refusal::TypeNotAccepted);
        assert_eq!(inspect(&with(&[PASS, PASS]), "a.png", "", PNG), PASS);
        assert_eq!(inspect(&with(&[PASS, refuse]), "a.png", "", PNG), refuse);
        assert_eq!(
            inspect(&with(&[refuse, MISMATCH]), "a.png", "", PNG),
            refuse
        );
        assert_eq!(
            inspect(&with(&[refuse]), "a.png", "", MZ),
            MISMATCH,
            "ours come first"
        );
        assert_eq!(
            inspect(&with(&[Verdict::NeedMore]), "a.png", "", PNG),
            MISMATCH
        );

        let facts = FileFacts {
            name: "a.png",
            media_type: "",
            size: 99,
        };
        let head = Head {
            bytes: PNG,
            is_whole: false,
        };
        let waiting = with(&[Verdict::NeedMore, refuse]);
        assert_eq!(waiting.inspect(&facts, &head), Verdict::NeedMore);
    }
}

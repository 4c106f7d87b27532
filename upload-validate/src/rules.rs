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
            match active::bytes::fit(&head, expected.is_text()) {
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
    const MZ: &[u8] = b"MZ\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

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
            inspect(&open, "logo.svgz", "image/svg+xml", b"\x1F\x8B\x08\0"),
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

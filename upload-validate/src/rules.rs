//! The rules of one slot, put together.

use std::{fmt, sync::Arc};

use crate::{
    accept::Accept,
    active::{self, ActiveContent},
    file::File,
    head::Head,
    name::SafeName,
    picture,
    signatures::Fit,
    sniff::{Expected, FileFacts, Validator},
    verdict::{Refusal, Verdict},
};

/// What a slot demands of a file.
///
/// Cheap to clone: custom validators are shared.
#[derive(Clone, Default)]
pub struct Rules {
    /// The extensions and types that may enter.
    pub accept: Accept,
    /// Which files that a browser would run may enter; none by default.
    pub active_content: ActiveContent,
    /// Whether a picture may enter under the name of another kind; off by default.
    ///
    /// Phones and pages name pictures wrongly: a JPEG is called `IMG_1.HEIC`. If it is on, such a file enters if what
    /// it is is on the list too, and [`Rules::stored_name`] is its name with the extension of what it is.
    pub any_picture: bool,
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

    /// Sets which files that a browser would run may enter.
    #[must_use]
    pub fn active_content(mut self, choice: ActiveContent) -> Self {
        self.active_content = choice;
        self
    }

    /// Sets whether all files that a browser would run may enter, or none.
    #[must_use]
    pub fn allow_active_content(self, allow: bool) -> Self {
        self.active_content(match allow {
            true => ActiveContent::All,
            false => ActiveContent::None,
        })
    }

    /// Sets whether a picture may enter under the name of another kind.
    #[must_use]
    pub fn any_picture(mut self, any: bool) -> Self {
        self.any_picture = any;
        self
    }

    /// Adds a check of the application's own; checks run in the order they were added.
    #[must_use]
    pub fn with_validator(mut self, validator: Arc<dyn Validator>) -> Self {
        self.validators.push(validator);
        self
    }

    /// Returns whether nothing is looked for: every type may enter, all that a browser would run as well, and the
    /// application checks nothing.
    ///
    /// Other rules cannot judge a file that is coded for its way, as with gzip.
    pub fn take_anything(&self) -> bool {
        let is_open = self.accept.is_any() && self.active_content == ActiveContent::All;
        is_open && self.validators.is_empty()
    }

    /// Judges a file by its raw name and declared type, before any byte came.
    ///
    /// # Errors
    ///
    /// [`Refusal::ActiveContent`] first (independent of the accept list), then [`Refusal::TypeNotAccepted`];
    /// the order is that of PROTOCOL MSG-1a.
    pub fn screen(&self, name: &str, media_type: &str) -> Result<(), Refusal> {
        self.screen_file(&File::new(name, media_type))
    }

    fn screen_file(&self, file: &File<'_>) -> Result<(), Refusal> {
        if active::is_refused(file, self.active_content) {
            return Err(Refusal::ActiveContent);
        }
        if !self.accept.permits_file(file, self.any_picture) {
            return Err(Refusal::TypeNotAccepted);
        }
        Ok(())
    }

    /// Judges a file by its first bytes.
    ///
    /// The checks, in order: [`screen`](Self::screen) once more, so that no path around registration leads to
    /// storage; bytes against declared type and extension; active content by its bytes; custom validators.
    /// A check is reached only when those before it are certain, and none of ours changes its answer when more
    /// bytes come. So the verdict does not depend on how the file was cut into chunks.
    pub fn inspect(&self, facts: &FileFacts<'_>, head: &Head<'_>) -> Verdict {
        let file = File::new(facts.name, facts.media_type);
        if let Err(refusal) = self.screen_file(&file) {
            return Verdict::Refuse(refusal);
        }
        let head = head.cut();
        let expected = Expected::new(&file);
        match self.fit(&file, &expected, &head) {
            Fit::Yes => {}
            Fit::No => return Verdict::Refuse(Refusal::ContentMismatch),
            Fit::Open => return Verdict::NeedMore,
        }
        let by_name = active::by_name(&file.safe);
        let promise = expected.promise();
        match active::bytes::fit(&head, promise, by_name, self.active_content) {
            Fit::No => {}
            Fit::Yes => return Verdict::Refuse(Refusal::ActiveContent),
            Fit::Open => return Verdict::NeedMore,
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

    fn fit(&self, file: &File<'_>, expected: &Expected<'_>, head: &Head<'_>) -> Fit {
        match expected.fit(head, self.accept.is_any()) {
            // Only when it is certain, since what it is decides what it is called.
            Fit::No if self.any_picture => picture::fit(file, &self.accept, head),
            fit => fit,
        }
    }

    /// Returns the name under which an accepted file is stored.
    ///
    /// It is [`safe_name`](crate::safe_name) of the name, but for a picture of another kind than its extension says
    /// where [`any_picture`](Self::any_picture) is on: that gets the extension of what `head` is.
    /// `head` is one that [`inspect`](Self::inspect) accepted.
    pub fn stored_name(&self, facts: &FileFacts<'_>, head: &Head<'_>) -> SafeName {
        let file = File::new(facts.name, facts.media_type);
        match self.any_picture {
            true => picture::stored_name(&file, &self.accept, &head.cut()),
            false => file.safe,
        }
    }

    /// Returns the entries of the accept list that let in no file at all.
    ///
    /// Such an entry is an extension of active content that the rules refuse, or a type that no known extension has.
    pub fn idle_entries(&self) -> Vec<&str> {
        let is_refused = |ext: &&str| {
            let file = format!("a.{ext}");
            active::is_refused(&File::new(&file, ""), self.active_content)
        };
        self.accept
            .examples()
            .filter(|(_, exts)| exts.iter().all(is_refused))
            .map(|(entry, _)| entry)
            .collect()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("accept", &self.accept)
            .field("active_content", &self.active_content)
            .field("any_picture", &self.any_picture)
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
    fn only_rules_without_any_check_take_anything() {
        let open = rules("").allow_active_content(true);
        assert!(open.take_anything());
        assert!(!rules("").take_anything());
        assert!(!rules(".txt").allow_active_content(true).take_anything());
        let check = |_: &FileFacts<'_>, _: &Head<'_>| PASS;
        assert!(!open.with_validator(Arc::new(check)).take_anything());
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
            self.0.clone()
        }
    }

    #[test]
    fn asks_custom_validators_in_order_and_last() {
        let with = |verdicts: &[&Verdict]| {
            verdicts.iter().fold(rules(""), |rules, verdict| {
                rules.with_validator(Arc::new(Says((*verdict).clone())))
            })
        };
        let refuse = Verdict::Refuse(Refusal::TypeNotAccepted);
        assert_eq!(inspect(&with(&[&PASS, &PASS]), "a.png", "", PNG), PASS);
        assert_eq!(inspect(&with(&[&PASS, &refuse]), "a.png", "", PNG), refuse);
        assert_eq!(
            inspect(&with(&[&refuse, &MISMATCH]), "a.png", "", PNG),
            refuse
        );
        assert_eq!(
            inspect(&with(&[&refuse]), "a.png", "", MZ),
            MISMATCH,
            "ours come first"
        );
        assert_eq!(
            inspect(&with(&[&Verdict::NeedMore]), "a.png", "", PNG),
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
        let waiting = with(&[&Verdict::NeedMore, &refuse]);
        assert_eq!(waiting.inspect(&facts, &head), Verdict::NeedMore);
    }
}

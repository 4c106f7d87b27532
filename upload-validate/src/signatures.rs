//! The signatures of file types: which bytes a file of a type begins with.

mod archives;
mod documents;
mod media;
mod table;

use table::TABLE;

use crate::head::Head;

/// Whether the bytes seen so far agree with something.
///
/// `Yes` and `No` are final: no further byte changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    No,
    /// More bytes decide; for a complete head this means they will not come.
    Open,
}

impl Fit {
    /// Joins two ways to fit: one is enough.
    pub(crate) fn or(self, other: Fit) -> Fit {
        match (self, other) {
            (Fit::Yes, _) | (_, Fit::Yes) => Fit::Yes,
            (Fit::Open, _) | (_, Fit::Open) => Fit::Open,
            (Fit::No, Fit::No) => Fit::No,
        }
    }
}

/// Bytes that stand at an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(pub(crate) usize, pub(crate) &'static [u8]);

impl At {
    /// Compares bytes from the start of a file with the expected ones.
    pub(crate) fn fit(&self, bytes: &[u8]) -> Fit {
        let At(offset, expected) = *self;
        let found = bytes.get(offset..).unwrap_or_default();
        if found.starts_with(expected) {
            Fit::Yes
        } else if expected.starts_with(found) {
            Fit::Open
        } else {
            Fit::No
        }
    }
}

/// How a file of some type begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signature {
    /// One of several forms, each of which asks for all its parts.
    Any(&'static [&'static [At]]),
    /// Found by a reader of its format; what it leaves open in a complete head does not fit.
    Read(fn(&Head<'_>) -> Fit),
}

impl Signature {
    /// Compares a head with the signature.
    pub(crate) fn fit(&self, head: &Head<'_>) -> Fit {
        match *self {
            Signature::Any(forms) => any(forms, head.bytes),
            Signature::Read(read) => read(head),
        }
    }
}

/// Finds the signature of a type's essence; `None` if this table has none.
pub(crate) fn for_type(essence: &str) -> Option<Signature> {
    let row = TABLE.iter().find(|(types, _)| types.contains(&essence));
    row.map(|(_, signature)| *signature)
}

/// Returns whether the first bytes do not tell two types apart.
pub(crate) fn are_alike(one: &str, other: &str) -> bool {
    let has_both = |(types, _): &table::Row| types.contains(&one) && types.contains(&other);
    one == other || TABLE.iter().any(has_both)
}

/// Returns whether a head holds no byte that text never has; the certain answer is `No`.
pub(crate) fn text(head: &Head<'_>) -> Fit {
    let is_binary = |b: &u8| matches!(b, 0..=8 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F);
    let has_mark = [b"\xFF\xFE".as_slice(), b"\xFE\xFF"]
        .iter()
        .any(|mark| head.bytes.starts_with(mark));
    match (
        head.bytes.iter().any(is_binary) && !has_mark,
        head.is_complete(),
    ) {
        (true, _) => Fit::No,
        (false, true) => Fit::Yes,
        (false, false) => Fit::Open,
    }
}

/// The bytes behind padding at the beginning of a file, if it is not all padding so far.
fn behind(bytes: &[u8], is_padding: impl Fn(u8) -> bool) -> Option<&[u8]> {
    let start = bytes.iter().position(|b| !is_padding(*b))?;
    bytes.get(start..)
}

fn any(forms: &[&[At]], bytes: &[u8]) -> Fit {
    forms.iter().fold(Fit::No, |best, form| {
        let mut fit = Fit::Yes;
        for at in *form {
            match at.fit(bytes) {
                Fit::No => return best,
                Fit::Open => fit = Fit::Open,
                Fit::Yes => {}
            }
        }
        best.or(fit)
    })
}

//! Archives and compressed files whose beginning is more than fixed bytes.

use super::{At, Fit, any};
use crate::head::Head;

/// The header of a tape archive: its mark, or for the oldest kind its numbers in octal digits; or a block of zeros,
/// which ends one that holds nothing.
///
/// The checksum is not asked for: some writers summed signed bytes.
pub(super) fn tape(head: &Head<'_>) -> Fit {
    const BLOCK: usize = 512;
    /// Mode, owner, group, size, time and checksum.
    const NUMBERS: &[std::ops::Range<usize>] =
        &[100..108, 108..116, 116..124, 124..136, 136..148, 148..156];
    let mark = At(257, b"ustar").fit(head.bytes);
    let Some(block) = head.bytes.get(..BLOCK) else {
        return mark.or(Fit::Open);
    };
    let is_empty = block.iter().all(|b| *b == 0);
    let is_old = NUMBERS
        .iter()
        .all(|field| block.get(field.clone()).is_some_and(is_octal));
    match mark == Fit::Yes || is_empty || is_old {
        true => Fit::Yes,
        false => Fit::No,
    }
}

/// Tells whether a field is octal digits between blanks and NULs.
fn is_octal(field: &[u8]) -> bool {
    let is_blank = |b: &&u8| matches!(b, b' ' | 0);
    let rest = field.iter().skip_while(is_blank);
    let digits = rest.clone().take_while(|b| matches!(b, b'0'..=b'7'));
    let count = digits.count();
    count > 0 && rest.skip(count).all(|b| is_blank(&b))
}

/// `BZh`, a digit, and the mark of a block or of the end.
pub(super) fn bzip2(head: &Head<'_>) -> Fit {
    const FORMS: &[&[At]] = &[
        &[At(0, b"BZh"), At(4, b"1AY&SY")],
        &[At(0, b"BZh"), At(4, b"\x17\x72\x45\x38\x50\x90")],
    ];
    match head.bytes.get(3) {
        Some(b'1'..=b'9') | None => any(FORMS, head.bytes),
        Some(_) => Fit::No,
    }
}

/// A frame, or one that decoders skip, as parallel compressors write first (RFC 8878 section 3.1.2).
pub(super) fn zstandard(head: &Head<'_>) -> Fit {
    let skippable = match head.bytes.first() {
        Some(0x50..=0x5F) | None => At(1, b"\x2A\x4D\x18").fit(head.bytes),
        Some(_) => Fit::No,
    };
    At(0, b"\x28\xB5\x2F\xFD").fit(head.bytes).or(skippable)
}

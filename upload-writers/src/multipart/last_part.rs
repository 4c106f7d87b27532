//! Going on inside a part that is stored: whether the bytes that come again are those it has.

use bytes::Bytes;

use crate::error::{WriteError, WriteErrorKind};

/// What is remembered of the last part stored without a gap.
///
/// An upload continues at the end of a chunk, which may lie inside of that part. The bytes that come
/// again then have to be what the part has: the checksum of the file before them is known, and this
/// tells the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastPart {
    /// The number of the part.
    pub(crate) part: u32,
    /// CRC32C of the file before it.
    pub(crate) before: u32,
    /// CRC32C of the part.
    pub(crate) crc32c: u32,
}

/// The stored part inside of which an upload continues; its rest comes again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overlap {
    number: u32,
    /// CRC32C of what of the part does not come again, and of the whole part, where both are known.
    known: Option<(u32, u32)>,
}

impl Overlap {
    /// Finds the part that has bytes before and after `offset`, if there is one; `crc32c_before` is
    /// that of the file before `offset`.
    ///
    /// Where that, or the part, is not known, the bytes cannot be compared, and rest on the client's
    /// proof that its file is the same (PROTOCOL RESUME-6).
    pub(crate) fn at(
        offset: u64,
        part_bytes: u64,
        crc32c_before: Option<u32>,
        last_part: Option<LastPart>,
    ) -> Option<Self> {
        let part_bytes = part_bytes.max(1);
        let inside = usize::try_from(offset % part_bytes).ok()?;
        let number = u32::try_from((offset / part_bytes).checked_add(1)?).ok()?;
        let last_part = last_part.filter(|last_part| last_part.part == number);
        let known = crc32c_before.zip(last_part).map(|(file, last_part)| {
            // Of a CRC over two pieces, the second one's is what the first one's, moved along,
            // leaves.
            let begin = file ^ crc32c::crc32c_combine(last_part.before, 0, inside);
            (begin, last_part.crc32c)
        });
        (inside > 0).then_some(Self { number, known })
    }

    /// Says whether it is that part.
    pub(crate) fn is(&self, number: u32) -> bool {
        self.number == number
    }

    /// Compares the rest of the part as it came again with what is stored.
    pub(crate) fn check(&self, rest: &[Bytes]) -> Result<(), WriteError> {
        let Some((begin, whole)) = self.known else {
            return Ok(());
        };
        if crc_of(begin, rest) == whole {
            return Ok(());
        }
        let why = "the bytes that came again are not those stored";
        Err(WriteError::new(WriteErrorKind::Failed, why))
    }
}

/// Returns the CRC32C of what `begin` is that of and `slices` behind it.
pub(crate) fn crc_of(begin: u32, slices: &[Bytes]) -> u32 {
    let add = |crc, slice: &Bytes| crc32c::crc32c_append(crc, slice);
    slices.iter().fold(begin, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"the file has parts of nine bytes";
    const PART: usize = 9;

    /// RESUME-3: wherever in a part an upload continues, what comes again has to be what is stored.
    #[test]
    fn other_bytes_do_not_pass_for_stored_ones() {
        let last_part = LastPart {
            part: 2,
            before: crc32c::crc32c(&FILE[..PART]),
            crc32c: crc32c::crc32c(&FILE[PART..2 * PART]),
        };
        for offset in PART + 1..2 * PART {
            let crc = Some(crc32c::crc32c(&FILE[..offset]));
            let at = |crc, last_part| Overlap::at(offset as u64, PART as u64, crc, last_part);
            let straddled = at(crc, Some(last_part)).expect("inside the second part");
            assert!(straddled.is(2) && !straddled.is(1));
            let rest = Bytes::copy_from_slice(&FILE[offset..2 * PART]);
            let pieces = [rest.slice(..1), rest.slice(1..)];
            assert!(straddled.check(&pieces).is_ok(), "{offset}");
            let mut other = rest.to_vec();
            other[0] ^= 1;
            let other = [Bytes::from(other)];
            assert!(straddled.check(&other).is_err(), "{offset}");
            assert!(straddled.check(&[]).is_err(), "{offset}");
            for (crc, last_part) in [(None, Some(last_part)), (crc, None)] {
                let unknown = at(crc, last_part).expect("inside the second part");
                assert!(unknown.check(&other).is_ok());
            }
        }
    }

    #[test]
    fn between_parts_nothing_comes_again() {
        for offset in [0, PART, 2 * PART] {
            assert!(Overlap::at(offset as u64, PART as u64, Some(0), None).is_none());
        }
    }
}

//! Cutting a stream into parts, and choosing how large the parts are.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

const MIB: u64 = 1024 * 1024;

/// Slices of fewer bytes are copied and put together until they are this many.
///
/// A slice keeps alive all that was received along with it, and costs memory besides its bytes, so a
/// part made of small ones would need many times its size. A full chunk stays as it is.
const FULL_BYTES: usize = 64 * 1024;

/// A piece of a file as storage gets it: the chunks it is made of, or slices of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    slices: Vec<Bytes>,
    len: u64,
}

impl Part {
    /// Its bytes in order; no slice is empty.
    pub fn slices(&self) -> &[Bytes] {
        &self.slices
    }

    /// Gives its bytes away, in order.
    pub fn into_slices(self) -> Vec<Bytes> {
        self.slices
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Says whether it has no bytes. A cutter makes no such part.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Cuts a stream of chunks into parts of equal size by slicing.
///
/// Payload is not copied, except that chunks of less than 64 KiB are put together.
#[derive(Debug)]
pub struct PartCutter {
    part_bytes: u64,
    /// How many bytes the current part has room for in all; less than the others only for the
    /// first one of a cutter that began inside a part.
    goal: u64,
    held: Part,
    /// Small slices that come after the held ones, put together.
    tail: BytesMut,
}

impl PartCutter {
    /// Makes a cutter for parts of `part_bytes`; 0 counts as 1.
    pub fn new(part_bytes: u64) -> Self {
        Self::starting_at(part_bytes, 0)
    }

    /// Makes a cutter for a stream that begins `offset` bytes into the file.
    ///
    /// If that is inside a part, the first part it cuts is the rest of that one.
    pub fn starting_at(part_bytes: u64, offset: u64) -> Self {
        let part_bytes = part_bytes.max(1);
        Self {
            part_bytes,
            goal: part_bytes - offset % part_bytes,
            held: Part::default(),
            tail: BytesMut::new(),
        }
    }

    /// Takes bytes from the front of `chunk`, at most to the end of the part; answers the part if it
    /// is full now. Call it until `chunk` is empty.
    pub fn take_from(&mut self, chunk: &mut Bytes) -> Option<Part> {
        let room = self.goal.saturating_sub(self.held.len);
        let take = usize::try_from(room).map_or(chunk.len(), |room| room.min(chunk.len()));
        if take > 0 {
            self.hold(chunk.split_to(take));
        }
        (self.held.len >= self.goal).then(|| self.release())
    }

    /// Ends the file; answers the short part that is left, if any.
    pub fn finish(&mut self) -> Option<Part> {
        (!self.held.is_empty()).then(|| self.release())
    }

    /// How many bytes wait for their part to be full.
    pub fn held_bytes(&self) -> u64 {
        self.held.len
    }

    /// How many more bytes fill the part that was begun; 0 where none was.
    pub fn missing_bytes(&self) -> u64 {
        match self.held.len {
            0 => 0,
            held => self.goal.saturating_sub(held),
        }
    }

    fn hold(&mut self, slice: Bytes) {
        self.held.len += slice.len() as u64;
        if slice.len() >= FULL_BYTES {
            self.seal();
            self.held.slices.push(slice);
            return;
        }
        // It grows with what it holds: many uploads may hold little each.
        self.tail.extend_from_slice(&slice);
        if self.tail.len() >= FULL_BYTES {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.held
                .slices
                .push(std::mem::take(&mut self.tail).freeze());
        }
    }

    fn release(&mut self) -> Part {
        self.seal();
        self.goal = self.part_bytes;
        std::mem::take(&mut self.held)
    }
}

/// What a provider asks of the parts of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartProfile {
    /// What it is called.
    pub name: &'static str,
    /// The smallest part, in bytes; the last one may be shorter. Also the size parts begin with.
    pub part_bytes_min: u64,
    /// The largest part, in bytes.
    pub part_bytes_max: u64,
    /// Sizes of parts are multiples of this many bytes; the last one need not be.
    pub part_bytes_step: u64,
    /// How many parts an object may have.
    pub parts_max: u32,
}

impl PartProfile {
    /// Amazon S3 and what speaks its language: 5 MiB to 5 GiB, up to 10,000 parts.
    pub const S3: Self = Self {
        name: "s3",
        part_bytes_min: 5 * MIB,
        part_bytes_max: 5 * 1024 * MIB,
        part_bytes_step: MIB,
        parts_max: 10_000,
    };

    /// Google Cloud Storage; its resumable uploads want multiples of 256 KiB, which these are.
    pub const GCS: Self = Self {
        name: "gcs",
        ..Self::S3
    };

    /// Azure block blobs: blocks of up to 4,000 MiB, up to 50,000 of them. Small blocks are allowed,
    /// but each is a request, so they begin at the same size.
    pub const AZURE: Self = Self {
        name: "azure",
        part_bytes_max: 4_000 * MIB,
        parts_max: 50_000,
        ..Self::S3
    };
}

/// How a file of known size is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartPlan {
    /// How many bytes each part has, except a shorter last one.
    pub part_bytes: u64,
    /// How many parts there will be; 0 for an empty file.
    pub parts: u64,
}

/// A file that is too large for a provider however it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{declared} bytes are more than {provider} takes in one object ({most})")]
pub struct FileTooLarge {
    /// The declared size in bytes.
    pub declared: u64,
    /// The name of the profile.
    pub provider: &'static str,
    /// The most bytes its parts can hold.
    pub most: u64,
}

impl PartPlan {
    /// Chooses the smallest parts that suffice for `declared` bytes.
    ///
    /// # Errors
    ///
    /// When the largest parts do not suffice.
    pub fn for_size(declared: u64, profile: &PartProfile) -> Result<Self, FileTooLarge> {
        let parts_max = u64::from(profile.parts_max.max(1));
        let step = profile.part_bytes_step.max(1);
        let part_bytes = declared
            .div_ceil(parts_max)
            .max(profile.part_bytes_min)
            .max(1)
            .checked_next_multiple_of(step)
            .filter(|&part_bytes| part_bytes <= profile.part_bytes_max)
            .ok_or(FileTooLarge {
                declared,
                provider: profile.name,
                most: profile.part_bytes_max.saturating_mul(parts_max),
            })?;
        Ok(Self {
            part_bytes,
            parts: declared.div_ceil(part_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn text(part: &Part) -> String {
        let bytes: Vec<u8> = part.slices().concat();
        assert_eq!(bytes.len() as u64, part.len());
        String::from_utf8(bytes).expect("test data is text")
    }

    fn push(cutter: &mut PartCutter, chunk: &'static str) -> Vec<String> {
        let mut chunk = Bytes::from_static(chunk.as_bytes());
        let mut parts = Vec::new();
        while !chunk.is_empty() {
            parts.extend(cutter.take_from(&mut chunk).as_ref().map(text));
        }
        parts
    }

    #[test]
    fn a_part_crosses_chunks() {
        let mut cutter = PartCutter::new(5);
        assert!(push(&mut cutter, "aaa").is_empty());
        assert_eq!(push(&mut cutter, "bbb"), ["aaabb"]);
        assert!(push(&mut cutter, "c").is_empty());
        assert_eq!(cutter.held_bytes(), 2);
    }

    #[test]
    fn an_even_file_has_no_short_part() {
        let mut cutter = PartCutter::new(5);
        assert_eq!(push(&mut cutter, "12345"), ["12345"]);
        assert_eq!(push(&mut cutter, "67890"), ["67890"]);
        assert_eq!(cutter.finish(), None);
    }

    #[test]
    fn the_rest_is_a_short_part() {
        let mut cutter = PartCutter::new(5);
        assert_eq!(push(&mut cutter, "1234567"), ["12345"]);
        let last = cutter.finish().expect("two bytes are left");
        assert_eq!(text(&last), "67");
        assert_eq!(cutter.finish(), None);
    }

    #[test]
    fn a_cutter_can_begin_inside_a_part() {
        let mut cutter = PartCutter::starting_at(4, 7);
        assert_eq!(push(&mut cutter, "abcdefgh"), ["a", "bcde"]);
        assert_eq!(cutter.held_bytes(), 3);
        let mut cutter = PartCutter::starting_at(4, 8);
        assert_eq!(push(&mut cutter, "abcdefgh"), ["abcd", "efgh"]);
    }

    #[test]
    fn one_chunk_becomes_many_parts() {
        let mut cutter = PartCutter::new(4);
        assert_eq!(push(&mut cutter, "abcdefghij"), ["abcd", "efgh"]);
        assert_eq!(push(&mut cutter, ""), [""; 0]);
    }

    #[test]
    fn slices_share_a_full_chunk() {
        let whole = Bytes::from(vec![7; 3 * FULL_BYTES]);
        let mut chunk = whole.clone();
        let mut cutter = PartCutter::new(FULL_BYTES as u64);
        let part = cutter.take_from(&mut chunk).expect("full");
        assert_eq!(part.slices()[0].as_ptr(), whole.as_ptr(), "not copied");
    }

    /// A buffer that tells, by a count, whether a slice of it is held.
    struct Received(Arc<Vec<u8>>);

    impl AsRef<[u8]> for Received {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    /// CREDIT-2: what a part holds is what it counts, not what was received along with it.
    #[test]
    fn small_slices_keep_no_read_buffer_alive() {
        let mut cutter = PartCutter::new(5 * MIB);
        let buffer = Arc::new(vec![7; 2 * FULL_BYTES]);
        for length in [1, 5000, FULL_BYTES - 1] {
            let received = Received(Arc::clone(&buffer));
            let mut chunk = Bytes::from_owner(received).slice(..length);
            assert_eq!(cutter.take_from(&mut chunk), None);
            assert_eq!(Arc::strong_count(&buffer), 1, "{length}");
        }
        assert_eq!(cutter.held_bytes(), 5000 + FULL_BYTES as u64);
    }

    /// Twenty thousand small chunks are an honest client; they must not cost twenty thousand slices.
    #[test]
    fn tiny_chunks_are_joined() {
        let mut cutter = PartCutter::new(MIB);
        for index in 0..20_000_u32 {
            let mut chunk = Bytes::copy_from_slice(&index.to_be_bytes());
            assert_eq!(cutter.take_from(&mut chunk), None);
        }
        let part = cutter.finish().expect("something is left");
        assert_eq!((part.len(), part.slices().len()), (80_000, 2));
        let expected: Vec<u8> = (0..20_000_u32).flat_map(u32::to_be_bytes).collect();
        assert_eq!(part.slices().concat(), expected);
    }

    #[test]
    fn parts_grow_with_the_file() {
        let plan = |declared| PartPlan::for_size(declared, &PartProfile::S3);
        let parts = |part_bytes, parts| Ok(PartPlan { part_bytes, parts });
        assert_eq!(plan(0), parts(5 * MIB, 0));
        assert_eq!(plan(1), parts(5 * MIB, 1));
        assert_eq!(plan(50_000 * MIB), parts(5 * MIB, 10_000));
        assert_eq!(plan(50_000 * MIB + 1), parts(6 * MIB, 8_334));
        assert_eq!(plan(10_000 * 5_120 * MIB), parts(5_120 * MIB, 10_000));
        let error = plan(10_000 * 5_120 * MIB + 1).expect_err("too large");
        assert_eq!(error.most, 10_000 * 5_120 * MIB);
        assert!(plan(u64::MAX).is_err());
    }
}

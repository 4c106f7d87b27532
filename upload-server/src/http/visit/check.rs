//! The checksum of a request's content: held back until all of it is verified.

use std::collections::VecDeque;

use bytes::Bytes;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Most bytes of content that are held back for a checksum.
pub(crate) const CHECKED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How a checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// A checksum that content has to have.
#[derive(Debug)]
pub(crate) struct Check {
    hasher: Hasher,
    expected: Vec<u8>,
}

#[derive(Debug)]
enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
}

/// How a request's content is checked.
#[derive(Debug)]
pub(crate) enum Checking {
    /// Not at all.
    Nothing,
    /// It is held back until all of it is verified: nothing else of the upload depends on it.
    HeldBack(Check),
    /// At its end: the upload fails with it.
    AtEnd(Check),
}

/// Content that waits for its checksum.
#[derive(Debug)]
pub(super) struct Held {
    check: Check,
    pieces: VecDeque<Bytes>,
    pub(super) bytes: u64,
}

/// Why content was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It has another checksum.
    Mismatch,
    /// It is more than may be held back.
    TooLong,
}

impl Check {
    /// Makes a check; `None` where the value is not of the algorithm's length.
    pub(crate) fn new(algorithm: Algorithm, expected: Vec<u8>) -> Option<Self> {
        let (hasher, length) = match algorithm {
            Algorithm::Sha1 => (Hasher::Sha1(Sha1::new()), 20),
            Algorithm::Sha256 => (Hasher::Sha256(Sha256::new()), 32),
            Algorithm::Sha512 => (Hasher::Sha512(Sha512::new()), 64),
        };
        (expected.len() == length).then_some(Self { hasher, expected })
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha1(hasher) => hasher.update(data),
            Hasher::Sha256(hasher) => hasher.update(data),
            Hasher::Sha512(hasher) => hasher.update(data),
        }
    }

    pub(super) fn verify(self) -> bool {
        let digest = match self.hasher {
            Hasher::Sha1(hasher) => hasher.finalize().to_vec(),
            Hasher::Sha256(hasher) => hasher.finalize().to_vec(),
            Hasher::Sha512(hasher) => hasher.finalize().to_vec(),
        };
        digest.ct_eq(&self.expected).into()
    }
}

impl Held {
    pub(super) fn new(check: Check) -> Self {
        Self {
            check,
            pieces: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Holds a piece back.
    pub(super) fn push(&mut self, data: Bytes) -> Result<(), Unfit> {
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > CHECKED_BYTES_MAX {
            return Err(Unfit::TooLong);
        }
        self.check.update(&data);
        self.pieces.push_back(data);
        Ok(())
    }

    /// Returns the pieces, if they have the checksum.
    pub(super) fn verified(self) -> Result<VecDeque<Bytes>, Unfit> {
        match self.check.verify() {
            true => Ok(self.pieces),
            false => Err(Unfit::Mismatch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_released_whole_or_not_at_all() {
        let sha1 = |digest: [u8; 20]| Check::new(Algorithm::Sha1, digest.to_vec());
        let right: [u8; 20] = Sha1::digest(b"hello world").into();
        for (digest, expected) in [(right, Ok(2)), ([0; 20], Err(Unfit::Mismatch))] {
            let mut held = Held::new(sha1(digest).expect("20 bytes"));
            held.push(Bytes::from_static(b"hello ")).expect("short");
            held.push(Bytes::from_static(b"world")).expect("short");
            assert_eq!(held.verified().map(|pieces| pieces.len()), expected);
        }
        let mut held = Held::new(sha1(right).expect("20 bytes"));
        let most = usize::try_from(CHECKED_BYTES_MAX).expect("fits");
        held.push(Bytes::from(vec![0; most])).expect("fits");
        assert_eq!(held.push(Bytes::from_static(b"1")), Err(Unfit::TooLong));
        assert!(Check::new(Algorithm::Sha256, vec![0; 20]).is_none());
    }
}

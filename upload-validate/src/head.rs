//! The first bytes of a file, which every check judges.

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

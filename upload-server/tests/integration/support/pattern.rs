//! Bytes that tell their own place, so that swapped chunks can not hide.

/// Returns `length` bytes of the endless pattern `seed`, from `offset` on.
pub fn bytes(seed: u64, offset: u64, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 8);
    let mut word = offset / 8;
    let skip = (offset % 8) as usize;
    while out.len() < length + skip {
        out.extend_from_slice(&mix(seed ^ mix(word)).to_le_bytes());
        word += 1;
    }
    out.drain(..skip);
    out.truncate(length);
    out
}

/// A whole file of the pattern.
pub fn file(seed: u64, length: usize) -> Vec<u8> {
    bytes(seed, 0, length)
}

/// Numbers that look random and come again with the same seed; a failed test
/// prints the seed, and `UPLOAD_SEED` brings it back.
pub struct Dice(u64);

impl Dice {
    /// Starts from `UPLOAD_SEED`, or from the clock.
    pub fn new(what: &str) -> Self {
        let clock = std::time::UNIX_EPOCH
            .elapsed()
            .expect("after 1970")
            .as_nanos() as u64;
        let seed =
            std::env::var("UPLOAD_SEED").map_or(clock, |seed| seed.parse().expect("a number"));
        println!("{what}: UPLOAD_SEED={seed}");
        Self(seed)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % end.max(1)
    }
}

/// The finaliser of splitmix64: every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn pieces_equal_the_whole() {
    let whole = file(7, 1000);
    assert_eq!(bytes(7, 13, 100), whole[13..113]);
    assert_ne!(whole[..64], whole[64..128]);
}

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

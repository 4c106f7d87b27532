//! Frames ready to send: one masked chunk that all uploads share, and heads that are patched per chunk.

/// The mask of every frame: any will do, but none may be spared the receiver.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x9e];
/// What precedes a chunk's data: a type, a ref, an index.
const CHUNK_HEADER_BYTES: usize = 21;
/// The longest head of a frame, and the header of a chunk after it.
const HEAD_BYTES_MAX: usize = 14 + CHUNK_HEADER_BYTES;

/// The ref of an upload.
pub type Ref = [u8; 16];

/// What all uploads of a run have in common.
pub struct Template {
    /// The data of a full chunk, masked as it follows a chunk's header.
    pub data: Vec<u8>,
    /// Bytes of each upload.
    pub size: u64,
    /// CRC32C of each upload.
    pub crc32c: u32,
}

impl Template {
    /// Makes data of no pattern, masks it, and computes the checksum of a whole upload.
    pub fn new(chunk: usize, size: u64) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut data = Vec::with_capacity(chunk);
        while data.len() < chunk {
            // xorshift64: the bytes only have to differ from each other.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            data.push(state.to_le_bytes()[4]);
        }
        let whole = size / chunk as u64;
        let rest = (size % chunk as u64) as usize;
        let crc32c = (0..whole).fold(0, |crc, _| crc32c::crc32c_append(crc, &data));
        let crc32c = crc32c::crc32c_append(crc32c, &data[..rest]);
        mask(&mut data, CHUNK_HEADER_BYTES);
        Self { data, size, crc32c }
    }

    /// Returns a whole file as it is stored.
    pub fn file(&self) -> Vec<u8> {
        let mut chunk = self.data.clone();
        mask(&mut chunk, CHUNK_HEADER_BYTES);
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        chunk.into_iter().cycle().take(size).collect()
    }

    /// Returns how many bytes of data the chunk at `offset` has.
    pub fn chunk_len(&self, offset: u64) -> usize {
        let left = self.size.saturating_sub(offset);
        usize::try_from(left).map_or(self.data.len(), |left| left.min(self.data.len()))
    }

    /// Writes what precedes the data of a chunk into `head`.
    pub fn chunk_head(upload: &Ref, index: u32, data_len: usize, head: &mut Vec<u8>) {
        let mut header = [0; CHUNK_HEADER_BYTES];
        header[0] = 1;
        header[1..17].copy_from_slice(upload);
        header[17..].copy_from_slice(&index.to_be_bytes());
        mask(&mut header, 0);
        head.clear();
        head.reserve(HEAD_BYTES_MAX);
        frame_head(0x82, CHUNK_HEADER_BYTES + data_len, head);
        head.extend_from_slice(&header);
    }

    /// Returns a complete frame with the checksum.
    pub fn complete(&self, upload: &Ref) -> Vec<u8> {
        let mut payload = vec![2];
        payload.extend_from_slice(upload);
        payload.extend_from_slice(&self.crc32c.to_be_bytes());
        frame(0x82, &mut payload)
    }
}

/// Returns a ref as messages write it.
pub fn hyphenated(upload: &Ref) -> String {
    let hex: String = upload.iter().map(|byte| format!("{byte:02x}")).collect();
    let groups = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    groups.join("-")
}

/// Returns a text frame.
pub fn text(text: &str) -> Vec<u8> {
    frame(0x81, &mut text.as_bytes().to_vec())
}

/// Returns a pong that answers a ping.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(0x8a, &mut payload.to_vec())
}

/// Returns a frame with this first byte: flags and opcode (RFC 6455, section 5.2).
pub fn frame(first: u8, payload: &mut [u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD_BYTES_MAX + payload.len());
    frame_head(first, payload.len(), &mut frame);
    mask(payload, 0);
    frame.extend_from_slice(payload);
    frame
}

/// Writes a WebSocket frame's head (RFC 6455 section 5.2), mask included.
pub fn frame_head(first: u8, len: usize, head: &mut Vec<u8>) {
    head.push(first);
    match len {
        0..=125 => head.push(0x80 | len as u8),
        126..=0xffff => {
            head.push(0x80 | 126);
            head.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    head.extend_from_slice(&MASK);
}

/// Masks bytes that stand `at` bytes into a payload.
fn mask(bytes: &mut [u8], at: usize) {
    for (position, byte) in (at..).zip(bytes) {
        *byte ^= MASK[position % 4];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_its_head_and_the_shared_data() {
        let template = Template::new(100, 250);
        assert_eq!(
            [0, 100, 200, 250].map(|offset| template.chunk_len(offset)),
            [100, 100, 50, 0]
        );

        let upload = [7; 16];
        let mut frame = Vec::new();
        Template::chunk_head(&upload, 0x0102_0304, 50, &mut frame);
        frame.extend_from_slice(&template.data[..50]);
        assert_eq!(frame[..2], [0x82, 0x80 | 71]);
        let mut payload = frame[6..].to_vec();
        mask(&mut payload, 0);
        assert_eq!(payload[0], 1);
        assert_eq!(payload[1..17], upload);
        assert_eq!(payload[17..21], [1, 2, 3, 4]);

        let mut data = template.data.clone();
        mask(&mut data, CHUNK_HEADER_BYTES);
        assert_eq!(payload[21..], data[..50]);
        let file = [&data[..], &data[..], &data[..50]].concat();
        assert_eq!(template.file(), file);
        assert_eq!(template.crc32c, crc32c::crc32c(&file));
    }

    #[test]
    fn lengths_have_three_forms() {
        let head = |len| {
            let mut head = Vec::new();
            frame_head(0x82, len, &mut head);
            head.len()
        };
        assert_eq!([125, 126, 0xffff, 0x1_0000].map(head), [6, 8, 8, 14]);
    }
}

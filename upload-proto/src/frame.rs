//! Binary frames, client to server (PROTOCOL section 2).
//!
//! ```text
//! chunk     01 | ref, 16 bytes | index, u32 big-endian | data, 0 bytes or more
//! complete  02 | ref, 16 bytes | nothing, or CRC32C of the file, u32 big-endian
//! cancel    03 | ref, 16 bytes
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    error::{FrameError, FrameErrorKind},
    ids::UploadRef,
};

/// Bytes in front of the data of a chunk: type, ref and index.
pub const CHUNK_HEADER_BYTES: usize = 21;

const CHUNK: u8 = 0x01;
const COMPLETE: u8 = 0x02;
const CANCEL: u8 = 0x03;

/// Bytes of a complete frame without checksum, and of a cancel frame: type and ref.
const SHORT_FRAME_BYTES: usize = 17;

/// One binary message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A piece of the file.
    Chunk {
        /// The upload it belongs to.
        upload: UploadRef,
        /// Number of the chunk, from 0 (PROTOCOL CHUNK-1).
        index: u32,
        /// The bytes of the file; may be empty.
        data: Bytes,
    },
    /// The client has sent everything.
    Complete {
        /// The upload it ends.
        upload: UploadRef,
        /// CRC32C of the whole file, if the client computed it (PROTOCOL COMPLETE-2).
        crc32c: Option<u32>,
    },
    /// The client cancels.
    Cancel {
        /// The upload it ends.
        upload: UploadRef,
    },
}

impl Frame {
    /// Reads one binary message; the data of a chunk is a slice of `buf`, never a copy (PROTOCOL FRAME-2).
    ///
    /// # Errors
    ///
    /// Says what is wrong, and which upload was meant where that can be told (PROTOCOL FRAME-1).
    pub fn decode(buf: Bytes) -> Result<Self, FrameError> {
        let Some((&kind, rest)) = buf.split_first() else {
            return Err(FrameError {
                kind: FrameErrorKind::Empty,
                upload: None,
            });
        };
        let needed = match kind {
            CHUNK => CHUNK_HEADER_BYTES,
            COMPLETE | CANCEL => SHORT_FRAME_BYTES,
            other => {
                return Err(FrameError {
                    kind: FrameErrorKind::UnknownType(other),
                    upload: None,
                });
            }
        };
        let too_short = FrameErrorKind::TooShort {
            length: buf.len(),
            needed,
        };
        let Some((bytes, rest)) = rest.split_first_chunk::<16>() else {
            return Err(FrameError {
                kind: too_short,
                upload: None,
            });
        };
        let upload = UploadRef::from_bytes(*bytes);
        let bad = |kind| {
            Err(FrameError {
                kind,
                upload: upload.non_nil(),
            })
        };
        let word = rest
            .first_chunk::<4>()
            .map(|bytes| u32::from_be_bytes(*bytes));

        match (kind, word, rest.len()) {
            (CHUNK, Some(index), _) => {
                let data = buf.slice(CHUNK_HEADER_BYTES..);
                Ok(Self::Chunk {
                    upload,
                    index,
                    data,
                })
            }
            (CHUNK, None, _) => bad(too_short),
            (COMPLETE, _, 0) => Ok(Self::Complete {
                upload,
                crc32c: None,
            }),
            (COMPLETE, crc32c, 4) => Ok(Self::Complete { upload, crc32c }),
            (CANCEL, _, 0) => Ok(Self::Cancel { upload }),
            (_, _, extra) => bad(FrameErrorKind::TrailingBytes { extra }),
        }
    }

    /// Writes the frame into a new buffer; this copies the data of a chunk.
    ///
    /// Who can send two buffers as one message uses [`chunk_header`] instead.
    pub fn encode(&self) -> Bytes {
        let mut dst = BytesMut::with_capacity(self.encoded_len());
        self.encode_into(&mut dst);
        dst.freeze()
    }

    /// Appends the frame to `dst`.
    pub fn encode_into(&self, dst: &mut BytesMut) {
        dst.reserve(self.encoded_len());
        match self {
            Self::Chunk {
                upload,
                index,
                data,
            } => {
                dst.put_slice(&chunk_header(*upload, *index));
                dst.put_slice(data);
            }
            Self::Complete { upload, crc32c } => {
                dst.put_u8(COMPLETE);
                dst.put_slice(upload.as_bytes());
                if let Some(crc32c) = crc32c {
                    dst.put_u32(*crc32c);
                }
            }
            Self::Cancel { upload } => {
                dst.put_u8(CANCEL);
                dst.put_slice(upload.as_bytes());
            }
        }
    }

    /// Returns the upload the frame is about; it may be nil (PROTOCOL FRAME-4).
    pub fn upload(&self) -> UploadRef {
        match self {
            Self::Chunk { upload, .. }
            | Self::Complete { upload, .. }
            | Self::Cancel { upload } => *upload,
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Chunk { data, .. } => CHUNK_HEADER_BYTES.saturating_add(data.len()),
            Self::Complete {
                crc32c: Some(_), ..
            } => SHORT_FRAME_BYTES + 4,
            Self::Complete { crc32c: None, .. } | Self::Cancel { .. } => SHORT_FRAME_BYTES,
        }
    }
}

/// Returns what precedes a chunk's data.
pub fn chunk_header(upload: UploadRef, index: u32) -> [u8; CHUNK_HEADER_BYTES] {
    let mut header = [0; CHUNK_HEADER_BYTES];
    header[0] = CHUNK;
    header[1..SHORT_FRAME_BYTES].copy_from_slice(upload.as_bytes());
    header[SHORT_FRAME_BYTES..].copy_from_slice(&index.to_be_bytes());
    header
}

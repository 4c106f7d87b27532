//! Where the bare server puts data: nowhere, or into a file of known size in pieces of 256 KiB.

use std::{
    fs::File,
    io::{IoSlice, Write},
    path::Path,
    sync::Arc,
};

use anyhow::{Result, bail};
use clap::ValueEnum;
use rustix::fs::{FallocateFlags, fallocate};
use tokio_websockets::Payload;

/// How many bytes go into one write.
const PIECE_BYTES: usize = 256 * 1024;

/// How data becomes pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Gather {
    /// Copied into one buffer that stays in the processor's cache
    Copy,
    /// Kept where it was received, written by one vectored call
    Vectored,
    /// Each message by itself
    None,
}

/// Takes the data of one upload.
pub(crate) enum Sink {
    /// Drops it.
    Discard,
    /// Writes it.
    File(Box<Pieces>),
}

/// A file being written, and the data that waits for the next piece to be full.
pub(crate) struct Pieces {
    file: Arc<File>,
    gather: Gather,
    copied: Vec<u8>,
    kept: Vec<(Payload, usize)>,
    kept_bytes: usize,
    written: u64,
}

impl Sink {
    /// Makes the file and reserves its room.
    pub(crate) fn create(path: &Path, size: u64, gather: Gather) -> Result<Self> {
        let file = File::create(path)?;
        if size > 0 {
            fallocate(&file, FallocateFlags::empty(), 0, size)?;
        }
        Ok(Self::File(Box::new(Pieces {
            file: Arc::new(file),
            gather,
            copied: Vec::with_capacity(PIECE_BYTES),
            kept: Vec::new(),
            kept_bytes: 0,
            written: 0,
        })))
    }

    /// Takes one frame, of which the first `header` bytes are no data.
    pub(crate) fn take(&mut self, frame: Payload, header: usize) -> Result<()> {
        match self {
            Self::Discard => Ok(()),
            Self::File(pieces) => pieces.take(frame, header),
        }
    }

    /// Writes what waits, and tells how much was written in all, and to which file.
    pub(crate) fn close(&mut self) -> Result<(u64, Option<Arc<File>>)> {
        match self {
            Self::Discard => Ok((0, None)),
            Self::File(pieces) => {
                pieces.flush()?;
                Ok((pieces.written, Some(Arc::clone(&pieces.file))))
            }
        }
    }
}

impl Pieces {
    fn take(&mut self, frame: Payload, header: usize) -> Result<()> {
        let Some(data) = frame.get(header..) else {
            bail!("a frame that is too short")
        };
        match self.gather {
            Gather::Copy => {
                self.copied.extend_from_slice(data);
                if self.copied.len() >= PIECE_BYTES {
                    self.flush()
                } else {
                    Ok(())
                }
            }
            Gather::Vectored => {
                self.kept_bytes += data.len();
                self.kept.push((frame, header));
                if self.kept_bytes >= PIECE_BYTES {
                    self.flush()
                } else {
                    Ok(())
                }
            }
            Gather::None => {
                self.written += data.len() as u64;
                Ok((&*self.file).write_all(data)?)
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        (&*self.file).write_all(&self.copied)?;
        self.written += self.copied.len() as u64;
        self.copied.clear();

        let mut slices: Vec<_> = self
            .kept
            .iter()
            .filter_map(|(frame, header)| frame.get(*header..))
            .map(IoSlice::new)
            .collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let written = (&*self.file).write_vectored(rest)?;
            if written == 0 {
                bail!("the file takes no more");
            }
            IoSlice::advance_slices(&mut rest, written);
            self.written += written as u64;
        }
        self.kept.clear();
        self.kept_bytes = 0;
        Ok(())
    }
}

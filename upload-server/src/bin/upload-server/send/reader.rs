//! Reads the file on a thread of its own, one piece ahead of the network.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

/// Questions that wait for the disk; more than a sender ever has open.
const QUESTIONS_MAX: usize = 64;

/// Asks the thread, and hears its answers.
pub(super) struct Reader {
    questions: mpsc::Sender<(u64, u32)>,
    answers: mpsc::Receiver<Piece>,
}

/// What stood at an offset; fewer bytes than asked for at the file's end.
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) data: io::Result<Bytes>,
}

impl Reader {
    /// Opens the file and starts the thread; it ends when the reader is dropped.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let (questions, mut asked) = mpsc::channel::<(u64, u32)>(QUESTIONS_MAX);
        let (answer, answers) = mpsc::channel(QUESTIONS_MAX);
        std::thread::Builder::new()
            .name("read".to_owned())
            .spawn(move || {
                let mut buffer = BytesMut::new();
                let mut position = 0;
                while let Some((offset, length)) = asked.blocking_recv() {
                    let data = read(&mut file, &mut position, offset, length, &mut buffer);
                    if answer.blocking_send(Piece { offset, data }).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self { questions, answers })
    }

    /// Asks for a piece; `false` if the thread cannot take more.
    pub(super) fn ask(&self, offset: u64, length: u32) -> bool {
        self.questions.try_send((offset, length)).is_ok()
    }

    /// Waits for the next answer, in the order of the questions.
    pub(super) async fn piece(&mut self) -> Option<Piece> {
        self.answers.recv().await
    }
}

fn read(
    file: &mut File,
    position: &mut u64,
    offset: u64,
    length: u32,
    buffer: &mut BytesMut,
) -> io::Result<Bytes> {
    if *position != offset {
        *position = file.seek(SeekFrom::Start(offset))?;
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // Once the pieces before were sent, their memory is used again.
    buffer.resize(length, 0);
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    *position = position.saturating_add(filled as u64);
    buffer.truncate(filled);
    Ok(buffer.split().freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_come_in_order_and_short_at_the_end() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"0123456789").expect("written");
        let mut reader = Reader::open(file.path()).expect("opened");
        for (offset, length, expected) in [
            (0, 4, "0123"),
            (4, 4, "4567"),
            (8, 4, "89"),
            (2, 3, "234"),
            (99, 1, ""),
        ] {
            assert!(reader.ask(offset, length));
            let piece = reader.piece().await.expect("an answer");
            assert_eq!(piece.offset, offset);
            assert_eq!(piece.data.expect("read"), expected.as_bytes());
        }
    }
}

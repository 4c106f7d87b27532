//! Reads the file on a thread of its own, one piece ahead of the network.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use upload_core::{FileCheck, ReadId};

/// Questions that wait for the disk; more than a sender ever has open.
const QUESTIONS_MAX: usize = 64;

/// Asks the thread, and hears its answers.
pub(super) struct Reader {
    stamp: Stamp,
    questions: mpsc::Sender<Question>,
    answers: mpsc::Receiver<io::Result<Answer>>,
}

/// What a file is known by as long as nobody writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// In bytes.
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
}

/// What the thread is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The bytes at an offset.
    Read {
        id: ReadId,
        offset: u64,
        length: u32,
    },
    /// Whether the file still is what it was when it was opened.
    Check { id: ReadId },
}

/// What the thread found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Fewer bytes than asked for at the file's end.
    Data { id: ReadId, data: Bytes },
    /// Whether the file changed.
    Checked { id: ReadId, check: FileCheck },
}

impl Reader {
    /// Starts the thread of a regular file; it ends when the reader is dropped.
    pub(super) fn start(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let stamp = Stamp::of(&metadata);
        let (questions, mut asked) = mpsc::channel(QUESTIONS_MAX);
        let (answer, answers) = mpsc::channel(QUESTIONS_MAX);
        let mut source = Source {
            file,
            stamp,
            position: 0,
            buffer: BytesMut::new(),
        };
        std::thread::Builder::new()
            .name("read".to_owned())
            .spawn(move || {
                while let Some(question) = asked.blocking_recv() {
                    if answer.blocking_send(source.answer(question)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            stamp,
            questions,
            answers,
        })
    }

    /// Returns size and time of change, as they were when the file was opened.
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Asks the thread; `false` if it cannot take more.
    pub(super) fn ask(&self, question: Question) -> bool {
        self.questions.try_send(question).is_ok()
    }

    /// Waits for the next answer, in the order of the questions.
    pub(super) async fn answer(&mut self) -> Option<io::Result<Answer>> {
        self.answers.recv().await
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

/// The file, on its thread.
struct Source {
    file: File,
    stamp: Stamp,
    position: u64,
    buffer: BytesMut,
}

impl Source {
    fn answer(&mut self, question: Question) -> io::Result<Answer> {
        Ok(match question {
            Question::Read { id, offset, length } => Answer::Data {
                id,
                data: self.read(offset, length)?,
            },
            Question::Check { id } => Answer::Checked {
                id,
                check: self.check()?,
            },
        })
    }

    /// Compares size and time, and reads past the end: some files do not tell how long they are,
    /// and some file systems are slow to tell.
    fn check(&mut self) -> io::Result<FileCheck> {
        let is_same = Stamp::of(&self.file.metadata()?) == self.stamp;
        let is_end = self.read(self.stamp.size, 1)?.is_empty();
        Ok(if is_same && is_end {
            FileCheck::Unchanged
        } else {
            FileCheck::Changed
        })
    }

    fn read(&mut self, offset: u64, length: u32) -> io::Result<Bytes> {
        if self.position != offset {
            self.position = self.file.seek(SeekFrom::Start(offset))?;
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // Once the pieces before were sent, their memory is used again.
        self.buffer.resize(length, 0);
        let mut filled = 0;
        while let Some(rest) = self
            .buffer
            .get_mut(filled..)
            .filter(|rest| !rest.is_empty())
        {
            match self.file.read(rest) {
                Ok(0) => break,
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.position = self.position.saturating_add(filled as u64);
        self.buffer.truncate(filled);
        Ok(self.buffer.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ReadId = ReadId(7);

    #[tokio::test]
    async fn pieces_come_in_order_and_short_at_the_end() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"0123456789").expect("written");
        let mut reader = Reader::start(file.reopen().expect("opened")).expect("started");
        for (offset, length, expected) in [
            (0, 4, "0123"),
            (4, 4, "4567"),
            (8, 4, "89"),
            (2, 3, "234"),
            (99, 1, ""),
        ] {
            let id = ReadId(offset);
            assert!(reader.ask(Question::Read { id, offset, length }));
            let data = Bytes::from_static(expected.as_bytes());
            let answer = reader.answer().await.expect("an answer").expect("read");
            assert_eq!(answer, Answer::Data { id, data });
        }
    }

    async fn check(reader: &mut Reader) -> FileCheck {
        assert!(reader.ask(Question::Check { id: ID }));
        match reader.answer().await.expect("an answer").expect("read") {
            Answer::Checked { id: ID, check } => check,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_write_to_the_file_is_noticed() {
        use std::{fs::OpenOptions, io::Write, time::Duration};

        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"0123456789").expect("written");
        let mut reader = Reader::start(file.reopen().expect("opened")).expect("started");
        assert_eq!(check(&mut reader).await, FileCheck::Unchanged);
        // A clock tick of the file system.
        std::thread::sleep(Duration::from_millis(20));
        let mut other = OpenOptions::new().write(true).open(file.path());
        other
            .as_mut()
            .expect("opened")
            .write_all(b"a")
            .expect("written");
        assert_eq!(check(&mut reader).await, FileCheck::Changed);
    }

    /// Neither size nor time tell, only reading does.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn bytes_of_a_file_without_a_size_are_noticed() {
        let file = File::open("/proc/self/status").expect("opened");
        let mut reader = Reader::start(file).expect("started");
        assert_eq!(reader.stamp().size, 0);
        assert_eq!(check(&mut reader).await, FileCheck::Changed);
    }
}

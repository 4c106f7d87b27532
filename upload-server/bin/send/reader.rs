//! Reads the file on a thread of its own, one piece ahead of the network; a small one is read at once.

use std::{
    collections::VecDeque,
    fs::{File, Metadata},
    future::pending,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use upload_core::{FileCheck, ReadId};

/// Questions that wait for the disk; more than a sender ever has open.
const QUESTIONS_MAX: usize = 64;

/// The largest file that is read at once, in bytes.
pub(super) const SMALL_BYTES: u64 = 256 * 1024;

/// Takes questions about a file, and answers them.
pub(super) struct Reader {
    stamp: Stamp,
    from: Answers,
}

/// Where answers come from.
enum Answers {
    Thread {
        questions: mpsc::Sender<Question>,
        answers: mpsc::Receiver<io::Result<Answer>>,
    },
    Memory {
        small: Small,
        answers: VecDeque<io::Result<Answer>>,
    },
}

/// A file that was read whole.
struct Small {
    file: File,
    stamp: Stamp,
    content: Bytes,
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
    /// Begins to read a regular file, and may wait for its disk. Its thread ends when the reader is dropped.
    pub(super) fn start(mut file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let stamp = Stamp::of(&metadata);
        if stamp.size <= SMALL_BYTES {
            let mut content = Vec::new();
            (&file).take(stamp.size).read_to_end(&mut content)?;
            // One that shrinks meanwhile is left to the thread.
            if u64::try_from(content.len()) == Ok(stamp.size) {
                let small = Small {
                    file,
                    stamp,
                    content: content.into(),
                };
                let answers = VecDeque::new();
                let from = Answers::Memory { small, answers };
                return Ok(Self { stamp, from });
            }
            file.rewind()?;
        }
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
        let from = Answers::Thread { questions, answers };
        Ok(Self { stamp, from })
    }

    /// Returns size and time of change, as they were when the file was opened.
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Asks; `false` if it cannot take more.
    pub(super) fn ask(&mut self, question: Question) -> bool {
        match &mut self.from {
            Answers::Thread { questions, .. } => questions.try_send(question).is_ok(),
            Answers::Memory { small, answers } => {
                answers.push_back(small.answer(question));
                true
            }
        }
    }

    /// Waits for the next answer, in the order of the questions.
    pub(super) async fn answer(&mut self) -> Option<io::Result<Answer>> {
        match &mut self.from {
            Answers::Thread { answers, .. } => answers.recv().await,
            Answers::Memory { answers, .. } => match answers.pop_front() {
                Some(answer) => Some(answer),
                None => pending().await,
            },
        }
    }
}

impl Small {
    fn answer(&self, question: Question) -> io::Result<Answer> {
        Ok(match question {
            Question::Read { id, offset, length } => {
                let place = |offset: u64| {
                    let place = usize::try_from(offset).unwrap_or(usize::MAX);
                    place.min(self.content.len())
                };
                let end = offset.saturating_add(length.into());
                Answer::Data {
                    id,
                    data: self.content.slice(place(offset)..place(end)),
                }
            }
            Question::Check { id } => {
                let is_same = Stamp::of(&self.file.metadata()?) == self.stamp;
                let is_end = self.file.read_at(&mut [0], self.stamp.size)? == 0;
                Answer::Checked {
                    id,
                    check: checked(is_same && is_end),
                }
            }
        })
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
        Ok(checked(is_same && is_end))
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

fn checked(is_unchanged: bool) -> FileCheck {
    match is_unchanged {
        true => FileCheck::Unchanged,
        false => FileCheck::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ReadId = ReadId(7);

    #[tokio::test]
    async fn pieces_come_in_order_and_short_at_the_end() {
        for more in [0, SMALL_BYTES] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            let zeros = vec![0; usize::try_from(more).expect("fits")];
            let content = [b"0123456789", zeros.as_slice(), b"end"].concat();
            std::fs::write(file.path(), content).expect("written");
            let mut reader = Reader::start(file.reopen().expect("opened")).expect("started");
            assert_eq!(matches!(reader.from, Answers::Memory { .. }), more == 0);
            for (offset, length, expected) in [
                (0, 4, "0123"),
                (4, 4, "4567"),
                (10 + more, 9, "end"),
                (2, 3, "234"),
                (99 + more, 1, ""),
            ] {
                let id = ReadId(offset);
                assert!(reader.ask(Question::Read { id, offset, length }));
                let data = Bytes::from_static(expected.as_bytes());
                let answer = reader.answer().await.expect("an answer").expect("read");
                assert_eq!(answer, Answer::Data { id, data });
            }
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

        for size in [10, SMALL_BYTES + 1] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            let content = vec![b'0'; usize::try_from(size).expect("fits")];
            std::fs::write(file.path(), content).expect("written");
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

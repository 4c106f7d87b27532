//! A decorator that has clamd scan files while they arrive, around any other writer.
//!
//! An infected file is refused at its end, before it has its final name: the client is told
//! `storage_denied`, and what was stored is removed. There is no second pass over the file, and no
//! moment at which anyone could read it unscanned.
//!
//! `cargo run -p upload-writers --features testing --example scanning_writer [CLAMD]`: without the
//! address of a clamd it starts a stand-in that speaks its protocol.

use std::{collections::VecDeque, env, error::Error, fs, io, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use upload_writers::{
    AbortReason, BoxWriter, Buffered, Checkpoint, FileWriterConfig, FileWriterFactory, Orphan,
    Reopened, SweepPolicy, UploadFacts, UploadWriter, WriteError, WriteErrorKind, WriterFactory,
    WriterTraits, Written, conformance::facts,
};

/// How long clamd may take to answer or to take a chunk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer of clamd may be.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Scans what the writers of another factory store.
///
/// A scan cannot be taken up in the middle, so nothing can be reopened: such an upload starts over.
pub(crate) struct Scanned<F> {
    pub(crate) inner: F,
    /// Where clamd listens, as `host:port`.
    pub(crate) clamd: String,
}

#[async_trait]
impl<F: WriterFactory> WriterFactory for Scanned<F> {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        let scan = Scan::begin(&self.clamd).await.map_err(unavailable)?;
        let mut facts = facts.clone();
        facts.resumable = false;
        let inner = self.inner.create(&facts).await?;
        Ok(Box::new(ScannedWriter { inner, scan }))
    }

    async fn reopen(
        &self,
        _facts: &UploadFacts,
        _checkpoint: &Checkpoint,
        _offset: u64,
    ) -> Result<Reopened, WriteError> {
        Ok(Reopened::Gone)
    }

    fn traits(&self) -> WriterTraits {
        let mut traits = self.inner.traits();
        traits.resumable = false;
        traits
    }

    async fn delete(&self, facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        self.inner.delete(facts, result).await
    }

    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        self.inner.sweep(policy).await
    }
}

struct ScannedWriter {
    inner: BoxWriter,
    scan: Scan,
}

#[async_trait]
impl UploadWriter for ScannedWriter {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            self.scan.feed(chunk).await.map_err(unavailable)?;
        }
        self.inner.write_chunks(chunks).await
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        self.inner.flush().await
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        let answer = self.scan.end().await.map_err(unavailable)?;
        if answer != "stream: OK" {
            // "stream: NAME FOUND", or that the file is larger than clamd looks at.
            return Err(WriteError::new(WriteErrorKind::Denied, answer));
        }
        self.inner.close().await
    }

    async fn abort(self: Box<Self>, reason: &AbortReason) {
        self.inner.abort(reason).await;
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }

    /// Without it a server would wait for memory that only more of this very file can free.
    fn buffered(&self) -> Buffered {
        self.inner.buffered()
    }

    fn suspend(&mut self) {
        self.inner.suspend();
    }
}

/// Without a scanner nothing is stored; the client may try again later.
fn unavailable(error: io::Error) -> WriteError {
    WriteError::new(WriteErrorKind::Throttled, error)
}

/// One `INSTREAM` of clamd's protocol: pieces, each behind its length in four bytes, the last empty.
struct Scan(TcpStream);

impl Scan {
    async fn begin(clamd: &str) -> io::Result<Self> {
        let mut stream = timeout(ANSWER_TIMEOUT, TcpStream::connect(clamd)).await??;
        stream.write_all(b"zINSTREAM\0").await?;
        Ok(Self(stream))
    }

    async fn feed(&mut self, chunk: &[u8]) -> io::Result<()> {
        let length = u32::try_from(chunk.len()).map_err(io::Error::other)?;
        let piece = async {
            self.0.write_u32(length).await?;
            self.0.write_all(chunk).await
        };
        timeout(ANSWER_TIMEOUT, piece).await?
    }

    /// Returns what clamd says of the whole; asked again, it has nothing more to say.
    async fn end(&mut self) -> io::Result<String> {
        self.0.write_u32(0).await?;
        let mut answer = String::new();
        let mut reader = (&mut self.0).take(ANSWER_BYTES_MAX);
        timeout(ANSWER_TIMEOUT, reader.read_to_string(&mut answer)).await??;
        Ok(answer.trim_end_matches('\0').to_owned())
    }
}

/// A scanner that knows a single virus, the test file of EICAR.
pub(crate) async fn stand_in() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.read_exact(&mut [0; 10]).await?; // the command
                let mut file = Vec::new();
                loop {
                    let length = stream.read_u32().await?;
                    if length == 0 {
                        break;
                    }
                    let mut piece = vec![0; length as usize];
                    stream.read_exact(&mut piece).await?;
                    file.append(&mut piece);
                }
                let is_infected = file.windows(5).any(|bytes| bytes == b"EICAR");
                let answer: &[u8] = match is_infected {
                    true => b"stream: Eicar-Signature FOUND\0",
                    false => b"stream: OK\0",
                };
                stream.write_all(answer).await
            });
        }
    });
    Ok(address)
}

/// Stores a file as a server would.
async fn store(factory: &impl WriterFactory, number: u64, file: &str) -> Result<Value, WriteError> {
    let mut writer = factory.create(&facts(number, file.len())).await?;
    let stored = async {
        let mut chunks = VecDeque::from([Bytes::copy_from_slice(file.as_bytes())]);
        writer.write_chunks(&mut chunks).await?;
        writer.close().await
    };
    let stored = stored.await;
    if let Err(error) = &stored {
        writer.abort(&AbortReason::Storage(error.kind)).await;
    }
    stored
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let clamd = match env::args().nth(1) {
        Some(address) => address,
        None => stand_in().await?,
    };
    let dir = tempfile::tempdir()?;
    let inner = FileWriterFactory::new(FileWriterConfig::new(dir.path()))?;
    let scanned = Scanned { inner, clamd };

    let clean = store(&scanned, 1, "Dear Sir or Madam").await?;
    println!("stored as {clean}");

    // In two halves, so that no scanner takes this source for the test file.
    let infected =
        r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-".to_owned() + "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";
    let refused = store(&scanned, 2, &infected).await;
    let refused = refused.expect_err("clamd knows this one");
    println!(
        "{refused}, because {:?}",
        refused.source().map(ToString::to_string)
    );

    let stored = fs::read_dir(dir.path().join("documents"))?.count();
    let under_way = fs::read_dir(dir.path().join(".tmp"))?.count();
    assert_eq!((stored, under_way), (1, 0), "nothing is left of it");
    Ok(())
}

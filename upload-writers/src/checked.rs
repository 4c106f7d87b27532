//! The one place that keeps a writer's caller to the contract.

use std::{collections::VecDeque, fmt, mem};

use bytes::Bytes;
use serde_json::Value;

use crate::{
    error::{AbortReason, WriteError},
    writer::{BoxWriter, Buffered, Checkpoint, UploadWriter, WriterTraits, Written},
};

/// A writer that refuses calls its contract does not allow, so that writers need not.
///
/// A refused call answers [`WriteErrorKind::Failed`](crate::WriteErrorKind::Failed), changes nothing and
/// does not reach the writer. Closing again answers what the first close did.
pub struct CheckedWriter {
    life: Life,
    traits: WriterTraits,
}

/// What may follow.
enum Life {
    /// Any call.
    Open(BoxWriter),
    /// A call failed or was abandoned: only an abort.
    Broken(BoxWriter),
    /// Only closing again.
    Closed(Value),
}

impl CheckedWriter {
    /// Takes a writer that is ready for bytes, and the traits of its factory.
    pub fn new(writer: BoxWriter, traits: WriterTraits) -> Self {
        Self {
            life: Life::Open(writer),
            traits,
        }
    }

    /// See [`UploadWriter::write_chunks`].
    ///
    /// # Errors
    ///
    /// Those of the writer, or that the call is not allowed.
    pub async fn write_chunks(
        &mut self,
        chunks: &mut VecDeque<Bytes>,
    ) -> Result<Written, WriteError> {
        self.begin()?;
        let written = self.broken()?.write_chunks(chunks).await?;
        self.ready();
        Ok(written)
    }

    /// See [`UploadWriter::flush`]; its future may be dropped.
    ///
    /// # Errors
    ///
    /// Those of the writer, or that the call is not allowed.
    pub async fn flush(&mut self) -> Result<Written, WriteError> {
        let Life::Open(writer) = &mut self.life else {
            return Err(self.refusal());
        };
        let flushed = writer.flush().await;
        if flushed.is_err() {
            self.begin()?;
        }
        flushed
    }

    /// See [`UploadWriter::close`].
    ///
    /// # Errors
    ///
    /// Those of the writer, or that the call is not allowed.
    pub async fn close(&mut self) -> Result<Value, WriteError> {
        if let Life::Closed(result) = &self.life {
            return Ok(result.clone());
        }
        self.begin()?;
        let result = self.broken()?.close().await?;
        self.life = Life::Closed(result.clone());
        Ok(result)
    }

    /// See [`UploadWriter::abort`]; a closed upload stays.
    pub async fn abort(self, reason: &AbortReason) {
        if let Life::Open(writer) | Life::Broken(writer) = self.life {
            writer.abort(reason).await;
        }
    }

    /// See [`UploadWriter::checkpoint`]; there is none any more once it is closed.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.writer()?.checkpoint()
    }

    /// See [`UploadWriter::buffered`].
    pub fn buffered(&self) -> Buffered {
        self.writer().map(|it| it.buffered()).unwrap_or_default()
    }

    /// See [`UploadWriter::suspend`].
    pub fn suspend(&mut self) {
        if let Life::Open(writer) = &mut self.life {
            writer.suspend();
        }
    }

    /// Tells the traits of its factory.
    pub fn traits(&self) -> WriterTraits {
        self.traits
    }

    fn writer(&self) -> Option<&dyn UploadWriter> {
        match &self.life {
            Life::Open(writer) | Life::Broken(writer) => Some(writer.as_ref()),
            Life::Closed(_) => None,
        }
    }

    /// Starts a call: until it is done the writer counts as broken, which it stays should the call fail
    /// or its future be dropped.
    fn begin(&mut self) -> Result<(), WriteError> {
        match mem::replace(&mut self.life, Life::Closed(Value::Null)) {
            Life::Open(writer) => {
                self.life = Life::Broken(writer);
                Ok(())
            }
            other => {
                self.life = other;
                Err(self.refusal())
            }
        }
    }

    fn broken(&mut self) -> Result<&mut BoxWriter, WriteError> {
        match &mut self.life {
            Life::Broken(writer) => Ok(writer),
            Life::Open(_) | Life::Closed(_) => Err(WriteError::misuse("no call is running")),
        }
    }

    /// Ends a call that went well.
    fn ready(&mut self) {
        match mem::replace(&mut self.life, Life::Closed(Value::Null)) {
            Life::Broken(writer) => self.life = Life::Open(writer),
            other => self.life = other,
        }
    }

    fn refusal(&self) -> WriteError {
        WriteError::misuse(match self.life {
            Life::Open(_) => "not allowed here",
            Life::Broken(_) => "called after a failure",
            Life::Closed(_) => "called after close",
        })
    }
}

impl fmt::Debug for CheckedWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.life {
            Life::Open(_) => "CheckedWriter(Open)",
            Life::Broken(_) => "CheckedWriter(Broken)",
            Life::Closed(_) => "CheckedWriter(Closed)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc, sync::Mutex, task::Context, task::Waker};

    use async_trait::async_trait;
    use serde_json::json;

    use super::*;
    use crate::error::WriteErrorKind;

    /// Notes its calls; writes of `fail` fail, and flushes and writes of `hang` never end.
    struct Log(Arc<Mutex<Vec<&'static str>>>);

    impl Log {
        fn note(&self, call: &'static str) {
            self.0.lock().expect("not poisoned").push(call);
        }
    }

    #[async_trait]
    impl UploadWriter for Log {
        async fn write_chunks(
            &mut self,
            chunks: &mut VecDeque<Bytes>,
        ) -> Result<Written, WriteError> {
            self.note("write");
            match chunks.pop_front().as_deref() {
                Some(b"fail") => Err(WriteErrorKind::Full.into()),
                Some(b"hang") => pending().await,
                _ => Ok(Written::default()),
            }
        }

        async fn flush(&mut self) -> Result<Written, WriteError> {
            self.note("flush");
            pending().await
        }

        async fn close(&mut self) -> Result<Value, WriteError> {
            self.note("close");
            Ok(json!({ "done": true }))
        }

        async fn abort(self: Box<Self>, _reason: &AbortReason) {
            self.note("abort");
        }

        fn checkpoint(&self) -> Option<Checkpoint> {
            Some(Checkpoint(json!({})))
        }

        fn buffered(&self) -> Buffered {
            Buffered::default()
        }

        fn suspend(&mut self) {
            self.note("suspend");
        }
    }

    fn log() -> (CheckedWriter, Arc<Mutex<Vec<&'static str>>>) {
        let calls = Arc::default();
        let writer = Box::new(Log(Arc::clone(&calls)));
        let checked = CheckedWriter::new(writer, WriterTraits::default());
        (checked, calls)
    }

    fn batch(text: &'static str) -> VecDeque<Bytes> {
        VecDeque::from([Bytes::from_static(text.as_bytes())])
    }

    fn poll_once(call: impl Future) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(std::pin::pin!(call).poll(&mut cx).is_pending());
    }

    async fn assert_refused(writer: &mut CheckedWriter) {
        let written = writer.write_chunks(&mut batch("x")).await;
        let written = written.expect_err("a write is refused");
        assert_eq!(written.kind, WriteErrorKind::Failed);
        let flushed = writer.flush().await.expect_err("a flush is refused");
        assert_eq!(flushed.kind, WriteErrorKind::Failed);
    }

    #[tokio::test]
    async fn a_failed_or_abandoned_call_is_followed_by_an_abort_only() {
        for last in ["fail", "hang"] {
            let (mut writer, calls) = log();
            writer
                .write_chunks(&mut batch("good"))
                .await
                .expect("writes");
            if last == "fail" {
                let failed = writer.write_chunks(&mut batch(last)).await;
                assert_eq!(failed.expect_err("fails").kind, WriteErrorKind::Full);
            } else {
                poll_once(writer.write_chunks(&mut batch(last)));
            }
            assert_refused(&mut writer).await;
            writer.close().await.expect_err("a close is refused");
            writer.suspend();
            assert!(writer.checkpoint().is_some(), "what was durable still is");
            writer.abort(&AbortReason::Cancelled).await;
            let calls = calls.lock().expect("not poisoned").clone();
            assert_eq!(calls, ["write", "write", "abort"]);
        }
    }

    #[tokio::test]
    async fn a_flush_can_be_abandoned() {
        let (mut writer, _) = log();
        poll_once(writer.flush());
        writer
            .write_chunks(&mut batch("good"))
            .await
            .expect("writes");
    }

    #[tokio::test]
    async fn closing_again_changes_nothing() {
        let (mut writer, calls) = log();
        let first = writer.close().await.expect("closes");
        assert_eq!(writer.close().await.expect("closes again"), first);
        assert_refused(&mut writer).await;
        assert_eq!(writer.checkpoint(), None);
        writer.abort(&AbortReason::Cancelled).await;
        assert_eq!(*calls.lock().expect("not poisoned"), ["close"]);
    }
}

//! A writer for storage that takes a file in parts.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use crate::{
    error::{AbortReason, WriteError},
    parts::{Part, PartCutter},
    writer::{Buffered, Checkpoint, UploadWriter, Written},
};

/// Takes the parts of one file; what one writes to use [`BufferedUploadWriter`].
///
/// Calls come one at a time, and none after `on_complete` answered `Ok` or `on_abort` returned.
/// After an error only `on_abort` may follow.
#[async_trait]
pub trait PartSink: Send {
    /// Takes the next part. Numbers count from 1 without a gap.
    ///
    /// It may return before the part is stored, to have several in flight; then it overrides
    /// [`bytes_durable`](Self::bytes_durable) and [`on_flush`](Self::on_flush) as well.
    ///
    /// # Errors
    ///
    /// When storage fails, with this part or with an earlier one.
    async fn on_part(&mut self, part: Part, number: u32) -> Result<(), WriteError>;

    /// Waits until more of the parts given so far are stored.
    ///
    /// Its future may be dropped half way, when more bytes have come: that changes nothing.
    ///
    /// # Errors
    ///
    /// When storage fails.
    async fn on_flush(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    /// Waits until all parts are stored and publishes the file; answers its `result`.
    ///
    /// There was no part at all if the file is empty.
    ///
    /// # Errors
    ///
    /// When storage fails.
    async fn on_complete(&mut self) -> Result<Value, WriteError>;

    /// Throws everything away; cannot fail. A file that was completed stays.
    async fn on_abort(&mut self, reason: &AbortReason);

    /// Tells how many bytes from the start of the file are stored without a gap; `None`: those of
    /// all parts that were given.
    fn bytes_durable(&self) -> Option<u64> {
        None
    }

    /// Tells how many bytes of the parts given are still held in memory; see
    /// [`UploadWriter::buffered`].
    fn held_bytes(&self) -> u64 {
        0
    }

    /// Returns what it takes to continue elsewhere after the durable bytes; `None` if that is impossible.
    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }
}

/// Cuts an upload into equal parts, the last one shorter, and hands them to a [`PartSink`].
///
/// Bytes are received when they are held here and durable when their part is stored.
#[derive(Debug)]
pub struct BufferedUploadWriter<P> {
    sink: P,
    cutter: PartCutter,
    received: u64,
    /// How many bytes the file has at most.
    file_bytes_max: u64,
    /// How many bytes, and in how many parts, the sink was given.
    given: u64,
    parts: u32,
}

impl<P: PartSink> BufferedUploadWriter<P> {
    /// Makes a writer with parts of `part_bytes` for a sink that is ready for them, as a [`PartPlan`](crate::PartPlan) chooses them.
    pub fn new(sink: P, part_bytes: u64) -> Self {
        Self {
            sink,
            cutter: PartCutter::new(part_bytes),
            received: 0,
            file_bytes_max: u64::MAX,
            given: 0,
            parts: 0,
        }
    }

    /// Makes a writer that continues at `offset`, before which `parts` parts have ended.
    ///
    /// `part_bytes` must be what it was, or parts are not equal any more.
    /// An offset inside a part gives the sink the rest of that part first, under its number.
    pub fn resume(sink: P, part_bytes: u64, offset: u64, parts: u32) -> Self {
        Self {
            received: offset,
            given: offset,
            parts,
            cutter: PartCutter::starting_at(part_bytes, offset),
            ..Self::new(sink, part_bytes)
        }
    }

    /// Says how many bytes the file has at most, as [`UploadFacts::client_size`](crate::UploadFacts::client_size) does.
    ///
    /// Its last part is then no reason to keep room for a whole one, nor is a file that is smaller than a part.
    #[must_use]
    pub fn with_file_bytes_max(self, file_bytes_max: u64) -> Self {
        Self {
            file_bytes_max,
            ..self
        }
    }

    /// The sink.
    pub fn sink(&self) -> &P {
        &self.sink
    }

    async fn give(&mut self, part: Part) -> Result<(), WriteError> {
        let number = self.parts.checked_add(1);
        let number = number.ok_or_else(|| WriteError::misuse("too many parts"))?;
        let given = self.given.saturating_add(part.len());
        self.sink.on_part(part, number).await?;
        (self.parts, self.given) = (number, given);
        Ok(())
    }

    fn written(&self) -> Written {
        let durable = self.sink.bytes_durable().unwrap_or(self.given);
        Written {
            received: self.received,
            durable: durable.min(self.given),
        }
    }
}

#[async_trait]
impl<P: PartSink> UploadWriter for BufferedUploadWriter<P> {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        while let Some(mut chunk) = chunks.pop_front() {
            self.received = self.received.saturating_add(chunk.len() as u64);
            while !chunk.is_empty() {
                if let Some(part) = self.cutter.take_from(&mut chunk) {
                    self.give(part).await?;
                }
            }
        }
        Ok(self.written())
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        self.sink.on_flush().await?;
        Ok(self.written())
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        if let Some(part) = self.cutter.finish() {
            self.give(part).await?;
        }
        self.sink.on_complete().await
    }

    async fn abort(mut self: Box<Self>, reason: &AbortReason) {
        self.cutter.finish();
        self.sink.on_abort(reason).await;
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.sink.checkpoint()
    }

    fn buffered(&self) -> Buffered {
        let incomplete = self.cutter.held_bytes();
        let left = self.file_bytes_max.saturating_sub(self.received);
        Buffered {
            bytes: self.sink.held_bytes().saturating_add(incomplete),
            incomplete,
            missing: self.cutter.missing_bytes().min(left),
        }
    }

    /// Parts continue to arrive by themselves, and keep no one away.
    fn suspend(&mut self) {}
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::WriteErrorKind;

    #[derive(Default)]
    struct Log {
        calls: Vec<String>,
        fail_part: Option<u32>,
    }

    #[async_trait]
    impl PartSink for Log {
        async fn on_part(&mut self, part: Part, number: u32) -> Result<(), WriteError> {
            if self.fail_part == Some(number) {
                return Err(WriteErrorKind::Full.into());
            }
            let text = String::from_utf8(part.into_slices().concat()).expect("text");
            self.calls.push(format!("{number} {text}"));
            Ok(())
        }

        async fn on_complete(&mut self) -> Result<Value, WriteError> {
            self.calls.push("complete".to_owned());
            Ok(json!({ "done": true }))
        }

        async fn on_abort(&mut self, reason: &AbortReason) {
            self.calls.push(format!("abort {reason}"));
        }
    }

    fn opened(part_bytes: u64) -> BufferedUploadWriter<Log> {
        BufferedUploadWriter::new(Log::default(), part_bytes)
    }

    fn buffered(bytes: u64, incomplete: u64, missing: u64) -> Buffered {
        Buffered {
            bytes,
            incomplete,
            missing,
        }
    }

    async fn write(writer: &mut BufferedUploadWriter<Log>, chunk: &'static str) -> Written {
        let mut chunks = VecDeque::from([Bytes::from_static(chunk.as_bytes())]);
        writer.write_chunks(&mut chunks).await.expect("writes")
    }

    #[tokio::test]
    async fn parts_are_numbered_and_the_last_may_be_short() {
        let mut writer = opened(5);
        write(&mut writer, "12345678901234567").await;
        writer.close().await.expect("closes");
        let calls = ["1 12345", "2 67890", "3 12345", "4 67", "complete"];
        assert_eq!(writer.sink().calls, calls);
    }

    #[tokio::test]
    async fn closing_an_even_file_adds_no_part() {
        let mut writer = opened(5);
        write(&mut writer, "12345").await;
        write(&mut writer, "67890").await;
        writer.close().await.expect("closes");
        assert_eq!(writer.sink().calls, ["1 12345", "2 67890", "complete"]);
    }

    #[tokio::test]
    async fn small_parts_cross_chunks() {
        let mut writer = opened(4);
        write(&mut writer, "abcde").await;
        write(&mut writer, "fg").await;
        writer.close().await.expect("closes");
        assert_eq!(writer.sink().calls, ["1 abcd", "2 efg", "complete"]);
    }

    #[tokio::test]
    async fn only_whole_parts_are_durable() {
        let mut writer = opened(5);
        let written = |received, durable| Written { received, durable };
        assert_eq!(write(&mut writer, "aaa").await, written(3, 0));
        assert_eq!(write(&mut writer, "bbb").await, written(6, 5));
        assert_eq!(writer.flush().await.expect("flushes"), written(6, 5));
    }

    /// The bytes of a part that is not full yet are held, and only more bytes can free them.
    #[tokio::test]
    async fn an_unfinished_part_is_incomplete() {
        let mut writer = opened(5);
        write(&mut writer, "1234567").await;
        assert_eq!(writer.buffered(), buffered(2, 2, 3));
        write(&mut writer, "890").await;
        assert_eq!(writer.buffered(), buffered(0, 0, 0));
    }

    /// CREDIT-2: the last part of a file waits for what is left of the file, and not for a whole part.
    #[tokio::test]
    async fn a_part_misses_no_more_than_is_left_of_its_file() {
        let mut writer = opened(5).with_file_bytes_max(2);
        write(&mut writer, "1").await;
        assert_eq!(writer.buffered(), buffered(1, 1, 1));
        write(&mut writer, "2").await;
        assert_eq!(writer.buffered(), buffered(2, 2, 0));
        let writer = BufferedUploadWriter::resume(Log::default(), 5, 7, 1);
        let mut writer = writer.with_file_bytes_max(9);
        write(&mut writer, "a").await;
        assert_eq!(writer.buffered(), buffered(1, 1, 1));
    }

    #[tokio::test]
    async fn a_failed_part_is_the_write_s_failure() {
        let mut writer = opened(5);
        writer.sink.fail_part = Some(2);
        let mut chunks = VecDeque::from([Bytes::from_static(b"1234567890")]);
        let error = writer.write_chunks(&mut chunks).await.expect_err("fails");
        assert_eq!(error.kind, WriteErrorKind::Full);
        assert_eq!(writer.sink().calls, ["1 12345"]);
    }

    #[tokio::test]
    async fn resuming_inside_a_part_gives_its_rest_first() {
        let mut writer = BufferedUploadWriter::resume(Log::default(), 5, 7, 1);
        assert_eq!(write(&mut writer, "ab").await.durable, 7);
        assert_eq!(writer.buffered(), buffered(2, 2, 1));
        assert_eq!(write(&mut writer, "cdefghij").await.durable, 15);
        writer.close().await.expect("closes");
        let calls = ["2 abc", "3 defgh", "4 ij", "complete"];
        assert_eq!(writer.sink().calls, calls);
    }

    #[tokio::test]
    async fn resuming_counts_on() {
        let mut writer = BufferedUploadWriter::resume(Log::default(), 5, 10, 2);
        let written = write(&mut writer, "abcdef").await;
        assert_eq!((written.received, written.durable), (16, 15));
        writer.close().await.expect("closes");
        assert_eq!(writer.sink().calls, ["3 abcde", "4 f", "complete"]);
    }
}

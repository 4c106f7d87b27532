//! Checks: calls the contract does not allow.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Backend, assert_stored, facts, opened, write};
use crate::{
    error::{AbortReason, WriteErrorKind},
    writer::BoxWriter,
};

/// A call that is not allowed answers `Failed`, changes nothing and never panics.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn misuse_answers_errors(backend: &dyn Backend) {
    before_open(backend).await;
    after_close(backend).await;
    after_abort(backend).await;
}

async fn before_open(backend: &dyn Backend) {
    let mut writer = backend.factory().create(&facts(10, 3));
    assert_refused(&mut writer).await;
    let closed = writer.close().await.expect_err("is not open");
    assert_eq!(closed.kind, WriteErrorKind::Failed);
    writer.open().await.expect("a refused call changes nothing");
    assert_open_refused(&mut writer).await;
    write(&mut writer, b"abc").await;
    assert_open_refused(&mut writer).await;
    let result = writer.close().await.expect("closes");
    assert_stored(backend, &result, b"abc").await;
}

async fn after_close(backend: &dyn Backend) {
    let mut writer = opened(backend, &facts(11, 3)).await;
    write(&mut writer, b"abc").await;
    let result = writer.close().await.expect("closes");
    assert_refused(&mut writer).await;
    assert_open_refused(&mut writer).await;
    let again = writer.close().await.expect("closing again is allowed");
    assert_eq!(again, result);
    writer.abort(&AbortReason::Cancelled).await;
    drop(writer);
    assert_stored(backend, &result, b"abc").await;
}

async fn after_abort(backend: &dyn Backend) {
    let mut writer = opened(backend, &facts(12, 3)).await;
    write(&mut writer, b"abc").await;
    writer.abort(&AbortReason::Cancelled).await;
    assert_refused(&mut writer).await;
    assert_open_refused(&mut writer).await;
    let closed = writer.close().await.expect_err("was aborted");
    assert_eq!(closed.kind, WriteErrorKind::Failed);
    assert_eq!(writer.checkpoint(), None, "nothing to go on from");
}

async fn assert_open_refused(writer: &mut BoxWriter) {
    let opened = writer.open().await.expect_err("open comes once");
    assert_eq!(opened.kind, WriteErrorKind::Failed);
}

async fn assert_refused(writer: &mut BoxWriter) {
    let mut chunks = VecDeque::from([Bytes::from_static(b"x")]);
    let written = writer.write_chunks(&mut chunks).await;
    let written = written.expect_err("a write is refused here");
    assert_eq!(written.kind, WriteErrorKind::Failed);
    let flushed = writer.flush().await.expect_err("a flush is refused here");
    assert_eq!(flushed.kind, WriteErrorKind::Failed);
}

//! However a file is split, broken off, repeated and asked about, it arrives as it is.

use std::time::Duration;

use proptest::prelude::*;
use tokio::{runtime::Runtime, time::sleep};

use crate::{
    dice,
    wire::{Answer, MORE, OFFSET_TYPE, Server},
};

const FILES: &str = "/uploads/files/files";
const PARTIAL: (&str, &str) = ("content-type", "application/partial-upload");
/// Longest file: the content gate and some pieces more.
const LENGTH_MAX: usize = 40_000;

/// What a client does next. Numbers are parts of what is left, in 1000.
#[derive(Clone, Debug)]
enum Op {
    /// Sends some of it.
    Append(usize, Body),
    /// Announces some, sends a part of that, and leaves.
    Break(usize, usize),
    /// Sends the content of the request before once more.
    Repeat,
    /// Sends content that belongs elsewhere.
    Misplace(usize),
    /// Asks how far it has come.
    Ask,
}

/// How content is sent.
#[derive(Clone, Copy, Debug)]
enum Body {
    WithLength,
    Chunked,
    /// By the draft.
    Ietf,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let body = prop_oneof![
        3 => Just(Body::WithLength),
        1 => Just(Body::Chunked),
        1 => Just(Body::Ietf)
    ];
    let op = prop_oneof![
        4 => (0..=600_usize, body).prop_map(|(part, body)| Op::Append(part, body)),
        3 => (1..=1000_usize, 0..1000_usize).prop_map(|(all, part)| Op::Break(all, part)),
        1 => Just(Op::Repeat),
        1 => (1..5000_usize).prop_map(Op::Misplace),
        2 => Just(Op::Ask),
    ];
    proptest::collection::vec(op, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// T10, T11, T12, R11: offsets never fall, and the file is what its client has, byte for byte.
    #[test]
    fn t12_splits_breaks_and_repeats_give_the_same_bytes(
        length in prop_oneof![0..100_usize, 0..LENGTH_MAX],
        is_deferred in any::<bool>(),
        ops in ops(),
    ) {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(upload(length, is_deferred, &ops));
    }
}

/// An upload on its way.
struct Upload {
    server: Server,
    path: String,
    file: Vec<u8>,
    is_deferred: bool,
    /// The largest offset in an answer.
    told: usize,
    /// Where the content of the request before began, and its bytes.
    before: (usize, usize),
}

async fn upload(length: usize, is_deferred: bool, ops: &[Op]) {
    let server = Server::start().await;
    let text = length.to_string();
    let size = match is_deferred {
        true => ("upload-defer-length", "1"),
        false => ("upload-length", &*text),
    };
    let created = server.tus("POST", FILES, &[size], b"").await;
    assert_eq!(created.status, 201, "{created:?}");
    let mut upload = Upload {
        path: created.header("location").expect("a location").to_owned(),
        file: dice::file(length as u64, length),
        is_deferred,
        server,
        told: 0,
        before: (0, 0),
    };
    for op in ops {
        upload.act(op).await;
    }
    upload.finish().await;
    assert_eq!(upload.server.stored(), [upload.file]);
}

impl Upload {
    async fn act(&mut self, op: &Op) {
        let at = self.told;
        let left = self.file.len() - at;
        match *op {
            Op::Append(part, body) => {
                let end = at + left * part / 1000;
                // By the draft, what is complete takes nothing more.
                let body = if left == 0 { Body::WithLength } else { body };
                let answer = self.append(at, end, body).await;
                assert_eq!(answer.status, 204, "{answer:?}");
                self.hear(&answer, end..=end);
                self.before = (at, end);
            }
            Op::Break(all, part) => {
                let end = at + left * all / 1000;
                let sent = at + (end - at) * part / 1000;
                let (offset, bytes) = (at.to_string(), (end - at).to_string());
                let mut wire = self.server.connect().await;
                let headers = [
                    ("tus-resumable", "1.0.0"),
                    OFFSET_TYPE,
                    ("upload-offset", &*offset),
                    ("content-length", &bytes),
                    ("expect", "100-continue"),
                ];
                wire.send("PATCH", &self.path, &headers, b"").await;
                // It is served by now, and not when the question has long been answered.
                let status = wire.answer("PATCH").await.status;
                assert_eq!(status, if at == end { 204 } else { 100 });
                wire.write(&self.file[at..sent]).await;
                drop(wire);
                self.ask(at..=sent).await;
            }
            Op::Repeat => {
                let (from, end) = self.before;
                let answer = self.append(from, end, Body::WithLength).await;
                let expected = if from == at { 204 } else { 409 };
                assert_eq!(answer.status, expected, "{answer:?}");
                let told = if from == at { end } else { at };
                self.hear(&answer, told..=told);
            }
            Op::Misplace(by) => {
                let elsewhere = at.saturating_add(by).to_string();
                let headers = [OFFSET_TYPE, ("upload-offset", &*elsewhere)];
                let answer = self
                    .server
                    .tus("PATCH", &self.path, &headers, b"misplaced")
                    .await;
                assert_eq!(answer.status, 409, "{answer:?}");
                self.hear(&answer, at..=at);
            }
            Op::Ask => self.ask(at..=at).await,
        }
    }

    /// Asks how far it has come, which is somewhere in `within`.
    async fn ask(&mut self, within: std::ops::RangeInclusive<usize>) {
        let answer = loop {
            let answer = self.server.tus("HEAD", &self.path, &[], b"").await;
            if answer.status != 423 {
                break answer;
            }
            sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        self.hear(&answer, within);
    }

    fn hear(&mut self, answer: &Answer, within: std::ops::RangeInclusive<usize>) {
        let offset = answer.number("upload-offset");
        assert!(within.contains(&offset), "{within:?}: {answer:?}");
        assert!(offset >= self.told, "it fell from {}", self.told);
        self.told = offset;
    }

    async fn append(&self, at: usize, end: usize, body: Body) -> Answer {
        let content = &self.file[at..end];
        let offset = at.to_string();
        let offset = ("upload-offset", &*offset);
        let mut wire = self.server.connect().await;
        let tus = ("tus-resumable", "1.0.0");
        match body {
            Body::WithLength => {
                let headers = [tus, OFFSET_TYPE, offset];
                wire.send("PATCH", &self.path, &headers, content).await;
            }
            Body::Chunked => {
                let headers = [tus, OFFSET_TYPE, offset, ("transfer-encoding", "chunked")];
                wire.send("PATCH", &self.path, &headers, b"").await;
                for piece in content.chunks(7001) {
                    let size = format!("{:x}\r\n", piece.len());
                    wire.write(size.as_bytes()).await;
                    wire.write(piece).await;
                    wire.write(b"\r\n").await;
                }
                wire.write(b"0\r\n\r\n").await;
            }
            Body::Ietf => {
                let headers = [PARTIAL, MORE, offset];
                wire.send("PATCH", &self.path, &headers, content).await;
            }
        }
        wire.answer("PATCH").await
    }

    /// Brings what is missing, and with it the length where that is not known.
    async fn finish(&self) {
        let (at, length) = (self.told.to_string(), self.file.len().to_string());
        let mut headers = vec![OFFSET_TYPE, ("upload-offset", &*at)];
        headers.extend(self.is_deferred.then_some(("upload-length", &*length)));
        let rest = &self.file[self.told..];
        let answer = self.server.tus("PATCH", &self.path, &headers, rest).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.number("upload-offset"), self.file.len());
        let answer = self.server.tus("HEAD", &self.path, &[], b"").await;
        assert_eq!(answer.number("upload-length"), self.file.len());
    }
}

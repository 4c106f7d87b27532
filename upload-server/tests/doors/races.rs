//! HEAD, PATCH and DELETE of one upload at the same time.

use std::{path::Path, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    dice::{self, Dice},
    wire::{Answer, LAST, MORE, OFFSET_TYPE, Server},
};

const FILES: &str = "/uploads/files/files";
const PARTIAL: (&str, &str) = ("content-type", "application/partial-upload");
/// How long what is left may take to be removed.
const REMOVED_BY: Duration = Duration::from_secs(60);

/// Which protocol a round speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Tus,
    Ietf,
}

/// One of the requests of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Racer {
    Head,
    Delete,
    /// Brings this many bytes from where the upload ended, in two halves.
    Patch(usize),
}

/// What must have become of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    There,
    Gone,
    Either,
}

/// What a round came to.
struct Outcome {
    racer: Racer,
    answer: Answer,
}

/// T7, T10, T14, T33, T34, T45, R13, R17: each answer is one that the protocol has, whatever is asked at the
/// same time. After a 404 or 410 the upload is gone. In the end there is the file, once and byte for byte, or
/// nothing at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t45_requests_that_race_leave_one_file_or_none() {
    let rounds = match std::env::var_os("UPLOAD_LONG_RUN") {
        Some(_) => 1000,
        None => 150,
    };
    let server = Server::start().await;
    let mut dice = Dice::new("requests that race");
    let (mut whole, mut gone) = (0, 0);
    for round in 0..rounds {
        let speech = match round % 4 {
            3 => Speech::Ietf,
            _ => Speech::Tus,
        };
        match race(&server, speech, &mut dice).await {
            true => whole += 1,
            false => gone += 1,
        }
    }
    println!("{rounds} races: {whole} files, {gone} deleted");
    assert!(whole > 0 && gone > 0, "both happen");
    let began = Instant::now();
    while count(&server.dir.path().join(".tmp")) > 0 {
        assert!(began.elapsed() < REMOVED_BY, "something is left");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Has requests race; returns whether there was a file in the end.
async fn race(server: &Server, speech: Speech, dice: &mut Dice) -> bool {
    let mut below = |end: usize| dice.below(end as u64) as usize;
    let file = dice::file(below(1 << 30) as u64, 1 + below(60_000));
    let path = create(server, speech, file.len()).await;
    let at = match below(2) {
        0 => 0,
        _ => below(file.len()),
    };
    let first = append(server, speech, &path, 0, &file[..at], file.len()).await;
    assert_eq!(first.status, 204, "{first:?}");

    let rest = file.len() - at;
    let mut racers: Vec<_> = (0..1 + below(2))
        .map(|_| match below(3) {
            0 => Racer::Patch(below(rest + 1)),
            _ => Racer::Patch(rest),
        })
        .collect();
    racers.extend((0..below(3)).map(|_| Racer::Head));
    racers.extend((0..below(2)).map(|_| Racer::Delete));
    // Who comes first differs.
    for last in (1..racers.len()).rev() {
        racers.swap(last, below(last + 1));
    }
    let pauses: Vec<_> = racers.iter().map(|_| [0, 0, 200, 2000][below(4)]).collect();
    let tasks = racers.into_iter().zip(pauses).map(|(racer, pause)| {
        let content = match racer {
            Racer::Patch(bytes) => &file[at..at + bytes],
            Racer::Head | Racer::Delete => &[],
        };
        run(server, speech, &path, racer, at, content, file.len(), pause)
    });
    let outcomes = futures_util::future::join_all(tasks).await;
    for Outcome { racer, answer } in &outcomes {
        assert!(
            is_allowed(speech, *racer, at, file.len(), answer),
            "{speech:?} {racer:?} at {at} of {}: {answer:?}",
            file.len()
        );
    }

    let was_told_gone = outcomes.iter().any(|outcome| {
        matches!(outcome.answer.status, 404 | 410)
            || (outcome.racer == Racer::Delete && outcome.answer.status == 204)
    });
    let is_deleted = outcomes
        .iter()
        .any(|outcome| outcome.racer == Racer::Delete);
    let fate = match (was_told_gone, is_deleted) {
        (true, _) => Fate::Gone,
        // The answer to a DELETE that a newer request ended says to ask again.
        (false, true) => Fate::Either,
        (false, false) => Fate::There,
    };
    match settle(server, speech, &path, &file, fate).await {
        true => {
            assert_eq!(server.stored(), [file], "once, byte for byte");
            remove_stored(server);
            true
        }
        false => {
            assert!(server.stored().is_empty(), "nothing is stored of it");
            false
        }
    }
}

async fn create(server: &Server, speech: Speech, length: usize) -> String {
    let length = length.to_string();
    let length = ("upload-length", &*length);
    let answer = match speech {
        Speech::Tus => server.tus("POST", FILES, &[length], b"").await,
        Speech::Ietf => server.ask("POST", FILES, &[MORE, length], b"").await,
    };
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.header("location").expect("a location").to_owned()
}

/// Returns the headers of a request that appends.
fn headers<'a>(
    speech: Speech,
    at: &'a str,
    bytes: &'a str,
    is_last: bool,
) -> Vec<(&'a str, &'a str)> {
    let mut headers = match speech {
        Speech::Tus => vec![("tus-resumable", "1.0.0"), OFFSET_TYPE],
        Speech::Ietf => vec![PARTIAL, if is_last { LAST } else { MORE }],
    };
    headers.extend([("upload-offset", at), ("content-length", bytes)]);
    headers
}

async fn append(
    server: &Server,
    speech: Speech,
    path: &str,
    at: usize,
    content: &[u8],
    length: usize,
) -> Answer {
    let racer = Racer::Patch(content.len());
    let outcome = run(server, speech, path, racer, at, content, length, 0).await;
    outcome.answer
}

#[expect(clippy::too_many_arguments, reason = "one request, in its parts")]
async fn run(
    server: &Server,
    speech: Speech,
    path: &str,
    racer: Racer,
    at: usize,
    content: &[u8],
    length: usize,
    pause_us: u64,
) -> Outcome {
    let pause = Duration::from_micros(pause_us);
    let mut wire = server.connect().await;
    sleep(pause).await;
    let tus: &[_] = match speech {
        Speech::Tus => &[("tus-resumable", "1.0.0")],
        Speech::Ietf => &[("upload-draft-interop-version", "8")],
    };
    let method = match racer {
        Racer::Head => "HEAD",
        Racer::Delete => "DELETE",
        Racer::Patch(_) => "PATCH",
    };
    match racer {
        Racer::Head | Racer::Delete => wire.send(method, path, tus, b"").await,
        Racer::Patch(bytes) => {
            let (offset, size) = (at.to_string(), bytes.to_string());
            let headers = headers(speech, &offset, &size, at + bytes == length);
            let (first, second) = content.split_at(bytes / 2);
            wire.send(method, path, &headers, first).await;
            sleep(pause).await;
            wire.write(second).await;
        }
    }
    let answer = wire.answer(method).await;
    Outcome { racer, answer }
}

/// Tells whether the protocol has this answer.
fn is_allowed(speech: Speech, racer: Racer, at: usize, length: usize, answer: &Answer) -> bool {
    let told = |name: &str| {
        answer
            .header(name)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let offset = told("upload-offset");
    let is_within = offset.is_some_and(|offset| (at..=length).contains(&offset));
    let is_later = answer.header("retry-after").is_some();
    match (racer, answer.status) {
        (_, 404 | 410) => offset.is_none(),
        (_, 423) => speech == Speech::Tus && is_later && offset.is_none(),
        (_, 503) => speech == Speech::Ietf && is_later,
        (Racer::Head, 200) => speech == Speech::Tus && is_within,
        (Racer::Head, 204) => speech == Speech::Ietf && is_within,
        (Racer::Delete, 204) => true,
        (Racer::Patch(bytes), 204) => offset == Some(at + bytes),
        (Racer::Patch(bytes), 200) => speech == Speech::Ietf && at + bytes == length,
        (Racer::Patch(_), 409) => is_within,
        // Its content is there twice, and the upload complete.
        (Racer::Patch(_), 400) => speech == Speech::Ietf && offset == Some(length),
        _ => false,
    }
}

/// Brings what is missing; returns whether there is an upload.
async fn settle(server: &Server, speech: Speech, path: &str, file: &[u8], fate: Fate) -> bool {
    let began = Instant::now();
    loop {
        let head = run(server, speech, path, Racer::Head, 0, b"", 0, 0).await;
        let answer = head.answer;
        match answer.status {
            404 | 410 => {
                assert_ne!(fate, Fate::There, "no one deleted it: {answer:?}");
                let late = append(server, speech, path, 0, file, file.len()).await;
                assert!(matches!(late.status, 404 | 410), "{late:?}");
                return false;
            }
            200 | 204 => {
                assert_ne!(fate, Fate::Gone, "it is back: {answer:?}");
                let at = answer.number("upload-offset");
                let is_complete = match speech {
                    Speech::Tus => at == file.len(),
                    Speech::Ietf => answer.header("upload-complete") == Some("?1"),
                };
                if is_complete {
                    return true;
                }
                let appended = append(server, speech, path, at, &file[at..], file.len()).await;
                assert!(matches!(appended.status, 200 | 204), "{appended:?}");
            }
            status => {
                assert!(matches!(status, 423 | 503), "{answer:?}");
                assert!(began.elapsed() < REMOVED_BY, "{answer:?}");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Returns how many files there are below a folder.
pub(crate) fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, |entries| {
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .map(|path| match path.is_dir() {
                true => count(&path),
                false => 1,
            })
            .sum()
    })
}

fn remove_stored(server: &Server) {
    let folder = server.dir.path().join("files");
    for entry in std::fs::read_dir(folder).expect("a folder") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
}

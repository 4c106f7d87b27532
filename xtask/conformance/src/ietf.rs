//! The IETF's draft of resumable uploads (PROTOCOL section 12, rules R), at an address that takes uploads.
//!
//! The requests are those of interop version 8, with the differences of 5 and 6 where a check names them.
//! The draft has no way to say what a server leaves out, so nothing but limits counts as not announced.

mod appending;
mod creation;
mod ending;

use std::{thread, time::Duration};

use crate::{
    check::{Check, Outcome, Stop, ensure},
    report::Report,
    wire::{Answer, Site},
};

/// How often an upload that is not ready is asked about.
const TRIES: u32 = 40;
const BETWEEN_TRIES: Duration = Duration::from_millis(250);

const PARTIAL: (&str, &str) = ("content-type", "application/partial-upload");
const VERSION: (&str, &str) = ("upload-draft-interop-version", "8");
/// The content ends the file, or more follows.
const LAST: (&str, &str) = ("upload-complete", "?1");
const MORE: (&str, &str) = ("upload-complete", "?0");

/// A server of the draft.
pub struct Ietf {
    site: Site,
}

impl Ietf {
    /// Takes a server.
    pub fn new(site: Site) -> Self {
        Self { site }
    }

    /// Returns all checks.
    pub fn checks() -> impl Iterator<Item = &'static Check<Self>> {
        let lists = [creation::CHECKS, appending::CHECKS, ending::CHECKS];
        lists.into_iter().flatten()
    }

    /// Runs all checks.
    pub fn run(&self) -> Report {
        Report::of("ietf", self, Self::checks())
    }

    /// Sends one request of version 8 over a new connection.
    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Outcome<Answer> {
        let headers = [&[VERSION], headers].concat();
        self.site.ask(method, path, &headers, body)
    }

    /// Asks for an upload with these headers and this content.
    fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Outcome<Answer> {
        self.ask("POST", self.site.path(), headers, body)
    }

    /// Returns the path of an upload that an answer tells.
    fn path_in(&self, created: &Answer) -> Outcome<String> {
        Ok(self.site.address.path_of(created.wanted("location")?))
    }

    /// Creates an upload without content, and returns its path.
    fn create(&self, length: usize) -> Outcome<String> {
        let length = length.to_string();
        let created = self.post(&[MORE, ("upload-length", &length)], b"")?;
        created.is(201)?;
        self.path_in(&created)
    }

    /// Appends content.
    fn append(
        &self,
        path: &str,
        at: usize,
        complete: (&str, &str),
        data: &[u8],
    ) -> Outcome<Answer> {
        let at = at.to_string();
        let headers = [PARTIAL, complete, ("upload-offset", &at)];
        self.ask("PATCH", path, &headers, data)
    }

    /// Asks how far an upload has come, again while the server is not ready.
    fn head(&self, path: &str) -> Outcome<Answer> {
        for _ in 0..TRIES {
            let answer = self.ask("HEAD", path, &[], b"")?;
            if answer.status != 503 {
                return Ok(answer);
            }
            thread::sleep(BETWEEN_TRIES);
        }
        Err(Stop::failed("HEAD is answered 503 for too long"))
    }

    /// Returns the offset that `HEAD` answers with.
    fn offset(&self, path: &str) -> Outcome<usize> {
        let answer = self.head(path)?;
        answer.one_of(&[200, 204])?;
        Ok(usize::try_from(answer.number("upload-offset")?).unwrap_or(usize::MAX))
    }

    /// Fails unless an upload has come this far and is not complete.
    fn is_at(&self, path: &str, offset: usize) -> Outcome {
        let answer = self.head(path)?;
        answer.one_of(&[200, 204])?;
        answer.counts("upload-offset", offset)?;
        answer.says("upload-complete", "?0")
    }

    /// Returns the path of an upload that was never created.
    fn unknown(&self) -> String {
        let base = self.site.path().trim_end_matches('/');
        format!("{base}/11111111-2222-4333-8444-555555555555")
    }
}

/// Fails unless the request succeeded.
fn succeeded(answer: &Answer) -> Outcome {
    ensure!(
        (200..300).contains(&answer.status),
        "the request was answered {}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    Ok(())
}

/// Fails unless the answer is a problem (RFC 9457) whose type ends so.
fn is_problem(answer: &Answer, kind: &str) -> Outcome {
    answer.says("content-type", "application/problem+json")?;
    let problem = answer.json()?;
    let found = problem["type"].as_str().unwrap_or_default();
    ensure!(
        found.ends_with(kind),
        "the problem has the type {found:?}, and not {kind}"
    );
    Ok(())
}

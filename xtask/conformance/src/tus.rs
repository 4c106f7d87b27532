//! tus 1.0.0 (PROTOCOL section 12, rules T), at the address where uploads are created.
//!
//! What the specification requires is a MUST.
//! What it recommends is a SHOULD, and so is what it leaves open and clients in use need.

mod around;
mod core;
mod creation;
mod extensions;

use std::{thread, time::Duration};

use crate::{
    check::{Check, Outcome, Stop, ensure},
    report::Report,
    wire::{Answer, Site},
};

/// How often an upload that is locked is asked about.
const TRIES: u32 = 40;
const BETWEEN_TRIES: Duration = Duration::from_millis(250);

const OFFSET_TYPE: (&str, &str) = ("content-type", "application/offset+octet-stream");
const VERSION: (&str, &str) = ("tus-resumable", "1.0.0");

/// A tus server, and what it announces.
pub struct Tus {
    site: Site,
    extensions: Vec<String>,
    max_size: Option<u64>,
}

impl Tus {
    /// Asks a server what it has; one that does not answer has nothing.
    pub fn new(site: Site) -> Self {
        let told = site.ask("OPTIONS", site.path(), &[], b"").ok();
        let list = |name: &str| {
            let told = told.as_ref().and_then(|told| told.header(name));
            let words = told.unwrap_or_default().split(',').map(str::trim);
            words.map(str::to_owned).collect()
        };
        let max_size = told
            .as_ref()
            .and_then(|told| told.number("tus-max-size").ok());
        Self {
            extensions: list("tus-extension"),
            max_size,
            site,
        }
    }

    /// Returns all checks.
    pub fn checks() -> impl Iterator<Item = &'static Check<Self>> {
        let lists = [
            core::CHECKS,
            creation::CHECKS,
            extensions::CHECKS,
            around::CHECKS,
        ];
        lists.into_iter().flatten()
    }

    /// Runs all checks.
    pub fn run(&self) -> Report {
        Report::of("tus", self, Self::checks())
    }

    /// Stops a check of what the server does not announce.
    fn need(&self, extension: &str) -> Outcome {
        if self.extensions.iter().any(|known| known == extension) {
            return Ok(());
        }
        Err(Stop::not_announced(format!("the extension {extension}")))
    }

    /// Sends one request of this version over a new connection.
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
        self.need("creation")?;
        self.ask("POST", self.site.path(), headers, body)
    }

    /// Returns the path of an upload that was created.
    fn path_in(&self, created: &Answer) -> Outcome<String> {
        created.is(201)?;
        Ok(self.site.address.path_of(created.wanted("location")?))
    }

    /// Creates an upload, and returns its path.
    fn create(&self, length: usize) -> Outcome<String> {
        let length = length.to_string();
        self.path_in(&self.post(&[("upload-length", &length)], b"")?)
    }

    /// Appends content.
    fn append(&self, path: &str, at: usize, data: &[u8]) -> Outcome<Answer> {
        let at = at.to_string();
        self.ask("PATCH", path, &[OFFSET_TYPE, ("upload-offset", &at)], data)
    }

    /// Asks how far an upload has come, again while it is locked.
    fn head(&self, path: &str) -> Outcome<Answer> {
        for _ in 0..TRIES {
            let answer = self.ask("HEAD", path, &[], b"")?;
            if answer.status != 423 {
                return Ok(answer);
            }
            thread::sleep(BETWEEN_TRIES);
        }
        Err(Stop::failed("HEAD is answered 423 for too long"))
    }

    /// Returns the offset that `HEAD` answers with.
    fn offset(&self, path: &str) -> Outcome<usize> {
        let answer = self.head(path)?;
        answer.one_of(&[200, 204])?;
        Ok(usize::try_from(answer.number("upload-offset")?).unwrap_or(usize::MAX))
    }

    /// Fails unless an upload has come this far.
    fn has_come(&self, path: &str, offset: usize) -> Outcome {
        let found = self.offset(path)?;
        ensure!(
            found == offset,
            "HEAD has upload-offset: {found}, and not {offset}"
        );
        Ok(())
    }

    /// Returns the path of an upload that was never created.
    fn unknown(&self) -> String {
        let base = self.site.path().trim_end_matches('/');
        format!("{base}/11111111-2222-4333-8444-555555555555")
    }
}

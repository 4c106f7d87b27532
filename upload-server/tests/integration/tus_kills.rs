//! SIGKILL at random points of uploads by tus: within a body, between requests, before an answer.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::support::{
    http::{Answer, Http, ask},
    pattern::{self, Dice},
    server::{EMBEDDED, Server, is_long_run, slots},
};

const FILES: &str = "/uploads/files/kept";
/// Longest file of the test.
const SIZE_MAX: u64 = 6 << 20;
/// Longest content of one request.
const CONTENT_MAX: u64 = 1 << 20;
/// How long a question may be told to come later after a restart.
const LATER_MAX: Duration = Duration::from_secs(60);
/// Server endings of which one is a SIGTERM, which keeps every offset that was answered.
const TERM_EVERY: u64 = 12;

const VERSION: (&str, &str) = ("tus-resumable", "1.0.0");
const OFFSET_TYPE: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// T8, T11, T12, T18: what an answer said before a kill is true after it. A created upload is still there. It
/// continues at an offset that never falls below one that an earlier restart answered. A whole offset means a
/// stored file. Each upload becomes one file, byte for byte.
#[test]
fn an_upload_by_tus_outlives_kills_at_random_points() {
    let kills = if is_long_run() { 500 } else { 25 };
    let mut world = World {
        server: Server::start(&slots(EMBEDDED)),
        dice: Dice::new("kills of uploads by tus"),
        figures: Figures::default(),
    };
    while world.figures.kills < kills {
        world.upload();
    }
    let Figures {
        kills,
        terms,
        uploads,
        in_bodies,
        unanswered,
        sent_again,
        most_again,
    } = world.figures;
    println!(
        "tus: {kills} kills and {terms} drains in {uploads} uploads, {in_bodies} within bodies, {unanswered} \
         before an answer; of what a 204 told {} KiB were sent again, {} KiB at most after one kill; all \
         byte-exact",
        sent_again >> 10,
        most_again >> 10
    );
}

#[derive(Default)]
struct Figures {
    kills: u64,
    terms: u64,
    uploads: u64,
    in_bodies: u64,
    unanswered: u64,
    /// Bytes that a 204 told of and a later server did not.
    sent_again: u64,
    most_again: u64,
}

struct World {
    server: Server,
    dice: Dice,
    figures: Figures,
}

/// An upload as its client knows it.
struct Sent {
    path: String,
    file: Vec<u8>,
    /// The server does not know the length yet.
    is_deferred: bool,
    /// Where the next content belongs.
    at: u64,
    /// The most that an answer told since the last restart.
    told: u64,
    /// What an answer told after a restart, and is durable.
    floor: u64,
    is_complete: bool,
}

impl Sent {
    fn length(&self) -> u64 {
        self.file.len() as u64
    }

    /// Takes in an answer to content, which belongs where the upload ends.
    fn hear(&mut self, answer: &Answer) {
        assert_eq!(answer.status, 204, "{answer:?}");
        let offset = answer.number("upload-offset").expect("an offset");
        assert!((self.at..=self.length()).contains(&offset), "{answer:?}");
        // Who sends the last bytes declares the length with them.
        self.is_complete = offset == self.length();
        (self.at, self.told) = (offset, self.told.max(offset));
    }

    /// An answer that was sent before the server was killed counts, even if it is read later.
    fn hear_late(&mut self, answer: Option<&Answer>) {
        match answer {
            Some(answer) if answer.status == 204 => self.hear(answer),
            // The server that drains lets no more in.
            Some(answer) => assert!(matches!(answer.status, 423 | 503), "{answer:?}"),
            None => {}
        }
    }
}

impl World {
    /// Uploads one file, with up to three kills.
    fn upload(&mut self) {
        let length = match self.dice.below(8) {
            0 => self.dice.below(20_000),
            _ => self.dice.below(SIZE_MAX),
        };
        let file = pattern::file(self.dice.below(1 << 40), length as usize);
        let mut kills = 1 + self.dice.below(3);
        let mut sent = loop {
            match self.create(&file) {
                Some(sent) => break sent,
                // The answer is lost, so its client begins anew.
                None => kills = kills.saturating_sub(1).max(1),
            }
        };
        while !sent.is_complete {
            if kills > 0 && self.dice.below(4) == 0 {
                kills -= 1;
                self.interrupt(&mut sent);
            } else {
                let answer = self.append(&sent);
                sent.hear(&answer);
            }
        }
        if kills > 0 {
            // What is complete stays so.
            self.end_server(&mut sent, "after the end");
            self.resume(&mut sent);
        }
        assert!(sent.is_complete);
        self.server.assert_stored_once("kept", &sent.file);
        fs::remove_file(&self.server.stored("kept")[0]).expect("removed");
        self.figures.uploads += 1;
    }

    /// Creates an upload; nothing where the server is killed before it answers.
    fn create(&mut self, file: &[u8]) -> Option<Sent> {
        let length = file.len().to_string();
        let is_deferred = self.dice.below(4) == 0;
        let size = match is_deferred {
            true => ("upload-defer-length", "1"),
            false => ("upload-length", &*length),
        };
        let first = match self.dice.below(3) {
            0 => self.dice.below(CONTENT_MAX).min(file.len() as u64),
            _ => 0,
        };
        let content = first.to_string();
        let mut headers = vec![VERSION, size, ("content-length", &content)];
        headers.extend((first > 0).then_some(OFFSET_TYPE));
        let mut http = Http::connect(self.server.port).expect("the server listens");
        http.head("POST", FILES, &headers);
        let is_killed = self.dice.below(8) == 0;
        let body = &file[..first as usize];
        if is_killed {
            let part = self.dice.below(first + 1) as usize;
            http.write(&body[..part]);
            self.pause();
            self.server.kill();
            self.figures.kills += 1;
        } else {
            http.write(body);
        }
        let answer = http.answer("POST");
        if is_killed {
            self.server.restart();
            self.figures.unanswered += u64::from(answer.is_none());
            if answer.is_none() {
                // All of it may have come, without an answer.
                let unknown = self.server.stored("kept");
                unknown
                    .iter()
                    .for_each(|path| fs::remove_file(path).expect("removed"));
            }
        }
        let answer = answer?;
        assert_eq!(answer.status, 201, "{answer:?}");
        let path = answer.header("location").expect("a location").to_owned();
        let at = answer.number("upload-offset").unwrap_or_default();
        assert_eq!(at, first, "all of the content is taken");
        let mut sent = Sent {
            path,
            file: file.to_vec(),
            is_deferred,
            at,
            told: at,
            floor: 0,
            is_complete: !is_deferred && at == file.len() as u64,
        };
        if is_killed {
            self.ask_where(&mut sent);
        }
        Some(sent)
    }

    /// Begins to append; returns the connection and what is to follow of its content.
    fn begin<'a>(&mut self, sent: &'a Sent) -> (Http, &'a [u8]) {
        let left = sent.length() - sent.at;
        let content = match self.dice.below(4) {
            0 => left.min(self.dice.below(4096)),
            _ => left.min(1 + self.dice.below(CONTENT_MAX)),
        };
        let (at, bytes, length) = (
            sent.at.to_string(),
            content.to_string(),
            sent.length().to_string(),
        );
        let mut headers = vec![
            VERSION,
            OFFSET_TYPE,
            ("upload-offset", &at),
            ("content-length", &bytes),
        ];
        // The length comes with the last bytes.
        headers
            .extend((sent.is_deferred && content == left).then_some(("upload-length", &*length)));
        let mut http = Http::connect(self.server.port).expect("the server listens");
        http.head("PATCH", &sent.path, &headers);
        let from = sent.at as usize;
        (http, &sent.file[from..from + content as usize])
    }

    fn append(&mut self, sent: &Sent) -> Answer {
        let (mut http, content) = self.begin(sent);
        http.write(content);
        http.answer("PATCH").expect("an answer")
    }

    /// Ends the server at a random point of a request, or between two.
    fn interrupt(&mut self, sent: &mut Sent) {
        match self.dice.below(4) {
            // Between two requests.
            0 => self.end_server(sent, "between requests"),
            // Within a body.
            1 => {
                let (mut http, content) = self.begin(sent);
                let part = self.dice.below(content.len() as u64 + 1) as usize;
                http.write(&content[..part]);
                self.pause();
                self.end_server(sent, "within a body");
                self.figures.in_bodies += 1;
                sent.hear_late(http.answer("PATCH").as_ref());
            }
            // While an answer is awaited.
            2 => {
                let (mut http, content) = self.begin(sent);
                http.write(content);
                self.pause();
                self.end_server(sent, "before an answer");
                let answer = http.answer("PATCH");
                self.figures.unanswered += u64::from(answer.is_none());
                sent.hear_late(answer.as_ref());
            }
            // While a question is asked, within a body.
            _ => {
                let (mut http, content) = self.begin(sent);
                http.write(&content[..content.len() / 2]);
                let mut question = Http::connect(self.server.port).expect("the server listens");
                question.head("HEAD", &sent.path, &[VERSION]);
                self.pause();
                self.end_server(sent, "within a question");
                if let Some(answer) = question.answer("HEAD")
                    && answer.status == 200
                {
                    let offset = answer.number("upload-offset").expect("an offset");
                    sent.told = sent.told.max(offset);
                }
            }
        }
        self.resume(sent);
    }

    /// Kills the server, or now and then has it drain.
    fn end_server(&mut self, sent: &mut Sent, when: &str) {
        let endings = self.figures.kills + self.figures.terms;
        if endings % TERM_EVERY == TERM_EVERY - 1 {
            self.server.terminate();
            self.figures.terms += 1;
            // Every answered offset is durable then.
            sent.floor = sent.floor.max(sent.told);
        } else {
            self.server.kill();
            self.figures.kills += 1;
        }
        println!(
            "{when}: {} of {}, told {}",
            sent.at,
            sent.length(),
            sent.told
        );
    }

    /// Starts the server again, and asks where to continue.
    fn resume(&mut self, sent: &mut Sent) {
        self.server.restart();
        self.ask_where(sent);
    }

    /// Asks a server that was restarted how far an upload has come.
    fn ask_where(&mut self, sent: &mut Sent) {
        let began = Instant::now();
        let answer = loop {
            let answer = ask(self.server.port, "HEAD", &sent.path, &[VERSION], b"");
            if answer.status != 423 {
                break answer;
            }
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            assert!(began.elapsed() < LATER_MAX, "{answer:?}");
            thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(answer.status, 200, "told {}: {answer:?}", sent.told);
        let offset = answer.number("upload-offset").expect("an offset");
        assert!(
            (sent.floor..=sent.length()).contains(&offset),
            "{} of {}: {answer:?}",
            sent.floor,
            sent.length()
        );
        let length = answer.number("upload-length");
        assert!(length.is_none_or(|length| length == sent.length()));
        assert!(length.is_some() || sent.is_deferred, "{answer:?}");
        let is_complete = length == Some(offset);
        assert!(
            is_complete || !sent.is_complete,
            "it was complete: {answer:?}"
        );
        if is_complete {
            self.server.assert_stored_once("kept", &sent.file);
        } else {
            assert!(self.server.stored("kept").is_empty(), "{answer:?}");
        }
        let again = sent.told.saturating_sub(offset);
        self.figures.sent_again += again;
        self.figures.most_again = self.figures.most_again.max(again);
        sent.is_complete = is_complete;
        (sent.at, sent.told, sent.floor) = (offset, offset, offset);
    }

    /// Lets some of what was sent arrive, or none.
    fn pause(&mut self) {
        let longest = [0, 500, 20_000][self.dice.below(3) as usize];
        thread::sleep(Duration::from_micros(self.dice.below(longest)));
    }
}

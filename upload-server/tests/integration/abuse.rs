//! Thousands of bad inputs, each with the one right answer, while honest uploads are under way.
//!
//! What is right is computed here from the rules of the protocol, by nothing that the server uses.

mod canary;
mod case;
mod frames;
mod registrations;
mod requests;
mod sockets;
mod texts;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use tokio::time::timeout;
use uuid::Uuid;

use self::{
    canary::Canary,
    case::{Input, LIVE, Right, Table},
};
use crate::support::{
    client::{Client, Ended},
    pattern,
    server::{EMBEDDED, Server, slots},
};

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Texts on one connection, below what it may say at once (CONN-4).
const TEXTS_PER_CONNECTION: usize = 350;
/// Inputs between two chunks of the canaries.
const CASES_PER_STEP: usize = 25;
/// Wrong answers that are shown.
const SHOWN: usize = 20;
/// Inputs there must be at least.
const CASES_MIN: usize = 3_000;

fn config() -> String {
    let limits = "[limits]\nmax_refused_per_minute = 1000000";
    let bytes = registrations::FILE_BYTES_MAX;
    let png = format!("accept = \".png\"\nmax_file_size = {bytes}\n");
    slots(EMBEDDED).replace("[limits]", limits)
        + &format!(
            "[webhook]\nsecret = \"{}\"\n[slots.png]\nmax_entries = 64\n{png}\
             [slots.full]\nmax_entries = 1\n{png}[slots.direct]\ndirect = true\n{png}\
             [slots.direct.s3]\nbucket = \"bucket\"\nregion = \"here\"\n",
            requests::SECRET
        )
}

/// FRAME-1, CHUNK-6, CTRL-1, CTRL-2, MSG-1, MSG-1a, CONN-1, FRAME-3: each bad input has one answer,
/// nobody else notices, and nothing of it harms the log.
#[tokio::test]
async fn every_bad_input_has_one_answer() {
    let mut server = Server::start_logging(&config(), "debug");
    let pid = server.pid();
    let port = server.port;
    let fill = |fillers: &[fn(&mut Table)]| {
        let mut table = Table::default();
        fillers.iter().for_each(|filler| filler(&mut table));
        table
    };
    let mut messages = fill(&[
        frames::unknown,
        texts::forms,
        texts::types,
        texts::depths,
        texts::duplicates,
        texts::surrogates,
        texts::fields,
        registrations::fields,
        registrations::names,
    ]);
    let beside_live = fill(&[frames::of_the_live_one, registrations::orders]);
    let closing = fill(&[sockets::frames, sockets::texts, sockets::sizes]);
    let mut http = Table::default();
    for filler in [
        requests::origins,
        requests::handshakes,
        requests::statuses,
        requests::signatures,
        requests::events,
        requests::presigns,
    ] {
        filler(&mut http, port);
    }
    // Connections of 350 texts each, the frames among them.
    let batches: Vec<_> = messages.cases.drain(..).collect();
    let counts = [batches.len(), beside_live.len(), closing.len(), http.len()];
    let all: usize = counts.iter().sum();
    assert!(all >= CASES_MIN, "{all} inputs");

    // One canary belongs to the very owner who misbehaves.
    let mut abuser = Client::connect(&server.ws()).await;
    let cookie = abuser.cookie.clone();
    let steps = all / CASES_PER_STEP + 2;
    let mut canaries = [
        Canary::begin(&server, "", "any", steps).await,
        Canary::begin(&server, &cookie, "resumable", steps).await,
    ];
    let mut run = Run {
        canaries: &mut canaries,
        done: 0,
        wrong: Vec::new(),
    };
    run.sing().await;

    let mut said = 0;
    for (input, right) in &batches {
        let says = matches!(input, Input::Text(_));
        if says && said == TEXTS_PER_CONNECTION {
            run.expect_silence(&mut abuser).await;
            abuser = Client::connect_as(&server.ws(), &cookie, true)
                .await
                .expect("a connection");
            said = 0;
        }
        said += usize::from(says);
        run.exchange(&mut abuser, input, right).await;
    }

    let live: Uuid = LIVE.parse().expect("a UUID");
    let mut file = pattern::file(5, 300_000);
    file[..8].copy_from_slice(b"\x89PNG\r\n\x1a\n");
    let mut holder = Client::connect_as(&server.ws(), &cookie, true)
        .await
        .expect("a connection");
    let held = holder
        .register(live, "full", "live.png", file.len() as u64)
        .await;
    assert_eq!(held["type"], "upload_registered", "{held}");
    for (input, right) in &beside_live.cases {
        run.exchange(&mut holder, input, right).await;
    }
    run.expect_silence(&mut holder).await;
    holder.send_file(live, &file, 65_536).await;
    assert_eq!(holder.ending(live).await["status"], "complete");
    server.assert_stored_once("full", &file);

    for (input, right) in closing.cases.iter().chain(&http.cases) {
        run.request(port, input, right).await;
    }

    let Run { wrong, done, .. } = run;
    for line in wrong.iter().take(SHOWN) {
        eprintln!("{line}");
    }
    assert!(
        wrong.is_empty(),
        "{} of {done} answers are wrong",
        wrong.len()
    );
    assert_eq!(done, all);
    for canary in canaries {
        canary.finish(&server).await;
    }
    assert!(
        server.is_running() && server.pid() == pid,
        "the same process"
    );
    assert_log_is_clean(&server.log());
    let [messages, held, closing, http] = counts;
    // Past the capture of output, so that the figure is seen in every run.
    let line = format!(
        "abuse: {done} distinct inputs answered rightly: {messages} messages, {held} beside a live \
         upload, {closing} that close their socket, {http} requests\n"
    );
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// CONN-4: the default limit itself: a thousand refusals are answered, one more closes with 4429.
#[tokio::test]
async fn one_refusal_too_many() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    for _ in 0..1_000 {
        client.send_binary(vec![9]).await;
        assert_eq!(client.next().await["code"], "bad_frame");
    }
    client.send_binary(vec![9]).await;
    assert_eq!(client.next().await["code"], "bad_frame");
    assert_eq!(client.until_closed().await, Ended::Closed(4429));
}

/// How far the table has come.
struct Run<'a> {
    canaries: &'a mut [Canary; 2],
    done: usize,
    wrong: Vec<String>,
}

impl Run<'_> {
    async fn sing(&mut self) {
        for canary in self.canaries.iter_mut() {
            canary.step().await;
        }
    }

    async fn count(&mut self, input: &Input, right: &Right, answer: Result<(), String>) {
        self.done += 1;
        if let Err(answer) = answer {
            let mut shown = format!("{input:?}");
            shown.truncate(shown.floor_char_boundary(400));
            self.wrong
                .push(format!("{shown}\n    wants {right:?}\n    has   {answer}"));
        }
        if self.done.is_multiple_of(CASES_PER_STEP) {
            self.sing().await;
        }
    }

    /// Sends one message and takes the one that comes back.
    async fn exchange(&mut self, client: &mut Client, input: &Input, right: &Right) {
        match input {
            Input::Binary(bytes) => client.send_binary(bytes.clone()).await,
            Input::Text(text) => client.send_text(text.clone()).await,
            Input::Http(_) | Input::Raw(_) => unreachable!("no message"),
        }
        if let Right::Stored(_) = right {
            let registered = timeout(PATIENCE, client.next()).await.expect("an answer");
            let upload = registered["ref"]
                .as_str()
                .and_then(|text| text.parse().ok());
            client.complete(upload.expect("a ref"), None).await;
        }
        let answer = match timeout(PATIENCE, client.next()).await {
            Ok(message) if right.is(&message) => Ok(()),
            Ok(message) => {
                // What else was said belongs to this input, not to the next.
                client.send_text("{\"type\":\"ping\"}").await;
                client.until(|message| message["type"] == "pong").await;
                Err(message.to_string())
            }
            Err(_) => Err("nothing".to_owned()),
        };
        self.count(input, right, answer).await;
    }

    /// MSG-1: exactly one answer each, so that nothing is left to be said.
    async fn expect_silence(&mut self, client: &mut Client) {
        client.send_text("{\"type\":\"ping\"}").await;
        let message = client.next().await;
        if message["type"] != "pong" {
            self.wrong.push(format!("one answer too many: {message}"));
        }
    }

    /// Sends bytes on a connection of their own.
    async fn request(&mut self, port: u16, input: &Input, right: &Right) {
        let answer = match (input, right) {
            (Input::Http(bytes), _) => {
                let (status, body) = ask(port, bytes);
                match right.is_response(status, &body) {
                    true => Ok(()),
                    false => Err(format!("{status} {body}")),
                }
            }
            (Input::Raw(bytes), Right::Close(code)) => match close_code(port, bytes) {
                closed if closed == Some(*code) => Ok(()),
                closed => Err(format!("{closed:?}")),
            },
            _ => unreachable!("a message"),
        };
        self.count(input, right, answer).await;
    }
}

/// Sends a request and returns the status and body of its answer.
fn ask(port: u16, request: &[u8]) -> (u16, String) {
    let mut stream = connect(port);
    // An answer may come before all of a large body is sent.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    while !is_whole(&bytes) && read_some(&mut stream, &mut bytes).is_some() {}
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.unwrap_or_default(), body.to_owned())
}

/// Whether a response is here with as much body as it says; one that was not asked for a close keeps
/// its connection open.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().expect("a length"))
}

/// Opens a WebSocket, sends bytes, and returns the code of the close frame that comes.
fn close_code(port: u16, bytes: &[u8]) -> Option<u16> {
    let mut stream = connect(port);
    let mut head = format!("GET /uploads/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n");
    for (name, value) in requests::handshake(&[]) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    // Not before the upgrade: the server has to be speaking WebSocket.
    let mut said = Vec::new();
    while !contains(&said, b"upload_configs") {
        read_some(&mut stream, &mut said)?;
    }
    let _ = stream.write_all(bytes);
    loop {
        // Servers do not mask, and close frames are short.
        let close = said
            .windows(4)
            .find(|four| four[0] == 0x88 && (2..=125).contains(&four[1]));
        if let Some(close) = close {
            return Some(u16::from_be_bytes([close[2], close[3]]));
        }
        read_some(&mut stream, &mut said)?;
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit");
    stream
}

fn read_some(stream: &mut TcpStream, said: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    let length = stream.read(&mut piece).ok().filter(|length| *length > 0)?;
    said.extend_from_slice(&piece[..length]);
    Some(())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Nobody panicked, and no input wrote what moves a terminal's cursor or begins another line.
fn assert_log_is_clean(log: &str) {
    assert!(log.lines().count() > 100, "the log says something");
    assert!(!log.contains("panicked"), "{log}");
    let raw = log.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(raw, None, "a raw control character in the log");
    for line in log.lines() {
        let is_ours = line.starts_with("20") || line.starts_with("listening on");
        assert!(is_ours, "a line that an input began: {line:?}");
    }
}

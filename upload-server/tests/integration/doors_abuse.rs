//! One address does harm at each route of HTTP uploads, one way after the other, while another owner uploads.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    http::{Answer, Http, ask},
    pattern,
    server::{EMBEDDED, Server, is_long_run, slots},
};

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const OFFSET_TYPE: (&str, &str) = ("content-type", "application/offset+octet-stream");
/// Where the one does harm, and the other uploads.
const SLOT: &str = "/uploads/files/resumable";
const OWN_SLOT: &str = "/uploads/files/kept";
/// As the one trusted proxy says.
const ABUSER: (&str, &str) = ("x-forwarded-for", "198.51.100.7");
const VICTIM: (&str, &str) = ("x-forwarded-for", "203.0.113.9");
/// Connections of the abuser at a time.
const CONNECTIONS: usize = 16;
/// Between two bytes of a slow one.
const SLOW: Duration = Duration::from_millis(20);
/// Between two pieces of the other owner's files, of which three or fewer begin in a second.
const PACE: Duration = Duration::from_millis(30);
/// Creations of one address a second; ten times as many at once.
const CREATIONS: u64 = 4;
/// The act that meets that limit, within this time.
const FLOOD: &str = "creations without end";
const FLOOD_MAX: Duration = Duration::from_secs(60);
/// What memory may grow by.
const MEMORY_KIB_MAX: u64 = 96 << 10;

/// What one connection of the abuser does until the test is over.
type Act = fn(&Abuser);

const ACTS: [(&str, Act); 15] = [
    ("a byte of a head", slow_head),
    ("a byte of an append by tus", |it| {
        it.slow_body("PATCH", &[TUS, OFFSET_TYPE], b"")
    }),
    ("a byte of a creation by tus", |it| {
        it.slow_body("POST", &[TUS, OFFSET_TYPE, ("upload-length", "65536")], b"");
    }),
    ("a byte of a creation by the draft", |it| {
        it.slow_body("POST", &[("upload-complete", "?1")], b"")
    }),
    ("a byte of a plain body", |it| it.slow_body("PUT", &[], b"")),
    ("a byte of a form", |it| {
        let form = [("content-type", "multipart/form-data; boundary=b")];
        let head = b"--b\r\ncontent-disposition: form-data; name=f; filename=a.txt\r\n\r\n";
        it.slow_body("POST", &form, head);
    }),
    ("a byte of a page's registration", |it| {
        let json = [("content-type", "application/json")];
        it.slow_body_to("POST", "/uploads/files", &json, b"{\"type\":");
    }),
    ("questions whose answers are never read", |it| {
        it.unread("OPTIONS", SLOT)
    }),
    ("slots of a page that are never read", |it| {
        it.unread("GET", "/uploads/slots")
    }),
    (FLOOD, creations),
    ("creations and deletions", deletions),
    ("guessed addresses", guesses),
    ("content of a wrong type", wrong_types),
    ("appends that break off", breaks),
    ("malformed fields", malformed),
];

/// T44, T46, CONN-4: whatever one address does, another owner's files arrive byte for byte and each of its
/// requests succeeds. The server does not panic, answers no 5xx but 503, and its memory stays bounded.
#[test]
fn another_owner_is_served_whatever_one_address_does_over_http() {
    let limits = format!("[limits]\nregistrations_per_address = {CREATIONS}");
    let config = slots(EMBEDDED).replace("[limits]", &limits);
    let mut server = Server::start_logging(&format!("trust_proxy = true\n{config}"), "info");
    let (port, pid) = (server.port, server.pid());
    let time = Duration::from_millis(if is_long_run() { 20_000 } else { 700 });
    let before = memory_kib(pid);
    for (name, act) in ACTS {
        let abuser = Abuser {
            port,
            is_over: AtomicBool::new(false),
            acts: AtomicU64::new(0),
            answers: Mutex::default(),
        };
        let began = Instant::now();
        let files = thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    while !abuser.is_over() {
                        act(&abuser);
                    }
                });
            }
            // The others stop, whatever the test finds.
            let _over = Over(&abuser.is_over);
            let mut files = 0;
            while files == 0
                || began.elapsed() < time
                || (name == FLOOD && !abuser.has_heard(503) && began.elapsed() < FLOOD_MAX)
            {
                upload(&server, files);
                files += 1;
            }
            files
        });
        let answers = abuser.answers.into_inner().expect("whole");
        let acts = abuser.acts.into_inner();
        println!("{name}: {acts} acts, answers {answers:?}; {files} files of another owner");
        assert!(acts > 0, "{name}: it did something");
        for status in answers.keys() {
            assert!(*status < 500 || *status == 503, "{name}: {answers:?}");
        }
        if name == FLOOD {
            let created = answers.get(&201).copied().unwrap_or_default();
            let most = CREATIONS * (10 + 1 + began.elapsed().as_secs());
            assert!(created <= most, "{created} of {most}");
            assert!(answers.contains_key(&503), "there is a limit");
        }
        assert!(
            server.is_running() && server.pid() == pid,
            "{name}: the same process"
        );
    }
    let grown = memory_kib(pid).saturating_sub(before);
    println!("memory grew by {} MiB", grown >> 10);
    assert!(grown < MEMORY_KIB_MAX, "{} MiB", grown >> 10);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Uploads a file as another owner, and sees to it that all of it is there.
fn upload(server: &Server, number: u64) {
    let file = pattern::file(number, 600_000);
    let length = file.len().to_string();
    let headers = [TUS, VICTIM, ("upload-length", &length)];
    let created = ask(server.port, "POST", OWN_SLOT, &headers, b"");
    assert_eq!(created.status, 201, "{created:?}");
    let path = created.header("location").expect("a location");
    let mut at = 0;
    for piece in file.chunks(50_000) {
        // Slowly, so that the limits of an address are not met.
        thread::sleep(PACE);
        let offset = at.to_string();
        let headers = [TUS, VICTIM, OFFSET_TYPE, ("upload-offset", &*offset)];
        let answer = ask(server.port, "PATCH", path, &headers, piece);
        at += piece.len();
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.number("upload-offset"), Some(at as u64));
        let answer = ask(server.port, "HEAD", path, &[TUS, VICTIM], b"");
        assert_eq!(
            answer.number("upload-offset"),
            Some(at as u64),
            "{answer:?}"
        );
    }
    server.assert_stored_once("kept", &file);
    fs::remove_file(&server.stored("kept")[0]).expect("removed");
}

/// Ends what others do, even where a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Abuser {
    port: u16,
    is_over: AtomicBool,
    acts: AtomicU64,
    answers: Mutex<BTreeMap<u16, u64>>,
}

impl Abuser {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.acts.fetch_add(1, Ordering::Relaxed);
    }

    fn has_heard(&self, status: u16) -> bool {
        self.answers.lock().expect("whole").contains_key(&status)
    }

    fn hear(&self, answer: Option<&Answer>) {
        if let Some(answer) = answer {
            let mut answers = self.answers.lock().expect("whole");
            *answers.entry(answer.status).or_default() += 1;
        }
    }

    /// Asks once; nothing where there is no connection to be had.
    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        self.count();
        let mut http = Http::connect(self.port)?;
        let length = body.len().to_string();
        let headers = [&[ABUSER, ("content-length", &*length)][..], headers].concat();
        http.head(method, path, &headers);
        http.write(body);
        let answer = http.answer(method);
        self.hear(answer.as_ref());
        answer
    }

    fn create(&self) -> Option<String> {
        let headers = [TUS, ("upload-length", "65536")];
        let answer = self.ask("POST", SLOT, &headers, b"")?;
        Some(answer.header("location")?.to_owned())
    }

    /// Sends a byte now and then of content that is announced as longer.
    fn slow_body(&self, method: &str, headers: &[(&str, &str)], first: &[u8]) {
        let path = match method {
            "PATCH" => self.create(),
            "PUT" => Some(format!("{SLOT}/by-name/a.txt")),
            _ => Some(SLOT.to_owned()),
        };
        match path {
            Some(path) => self.slow_body_to(method, &path, headers, first),
            None => thread::sleep(SLOW),
        }
    }

    fn slow_body_to(&self, method: &str, path: &str, headers: &[(&str, &str)], first: &[u8]) {
        let Some(mut http) = Http::connect(self.port) else {
            return;
        };
        let more = [ABUSER, ("content-length", "60000"), ("upload-offset", "0")];
        let mut headers = [&more[..], headers].concat();
        // Only an append has an offset.
        headers.retain(|(name, _)| *name != "upload-offset" || method == "PATCH");
        http.head(method, path, &headers);
        http.write(first);
        while !self.is_over() && http.write(b"a") {
            self.count();
            thread::sleep(SLOW);
        }
    }

    /// Asks as often as the connection takes it, and reads nothing.
    fn unread(&self, method: &str, path: &str) {
        let Some(mut http) = Http::connect(self.port) else {
            return;
        };
        http.write_within(Duration::from_millis(50));
        while !self.is_over() {
            if http.head(method, path, &[ABUSER]) {
                self.count();
            } else {
                // Nothing more is taken, or the server has left.
                thread::sleep(SLOW);
            }
        }
    }
}

fn slow_head(it: &Abuser) {
    let Some(mut http) = Http::connect(it.port) else {
        return;
    };
    http.write(format!("POST {SLOT} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-long: ").as_bytes());
    while !it.is_over() && http.write(b"a") {
        it.count();
        thread::sleep(SLOW);
    }
}

fn creations(it: &Abuser) {
    it.create();
}

fn deletions(it: &Abuser) {
    if let Some(path) = it.create() {
        it.ask("DELETE", &path, &[TUS], b"");
    }
}

fn guesses(it: &Abuser) {
    let path = format!("{SLOT}/{}", uuid::Uuid::new_v4());
    it.ask(
        "PATCH",
        &path,
        &[TUS, OFFSET_TYPE, ("upload-offset", "0")],
        b"abc",
    );
    it.ask("DELETE", &path, &[TUS], b"");
    it.ask("GET", &path, &[("upload-draft-interop-version", "8")], b"");
}

fn wrong_types(it: &Abuser) {
    let body = vec![7; 300_000];
    let headers = [
        TUS,
        ("upload-length", "300000"),
        ("content-type", "text/plain"),
    ];
    it.ask("POST", SLOT, &headers, &body);
}

fn breaks(it: &Abuser) {
    let Some(path) = it.create() else {
        return thread::sleep(SLOW);
    };
    for _ in 0..8 {
        it.count();
        let Some(mut http) = Http::connect(it.port) else {
            return;
        };
        let headers = [
            ABUSER,
            TUS,
            OFFSET_TYPE,
            ("upload-offset", "0"),
            ("content-length", "60000"),
        ];
        http.head("PATCH", &path, &headers);
        http.write(&[7; 1000]);
    }
}

fn malformed(it: &Abuser) {
    for headers in [
        &[TUS, ("upload-length", "1e9")][..],
        &[TUS, ("upload-length", "1"), ("upload-metadata", "a *")],
        &[
            TUS,
            ("upload-length", "1"),
            ("x-http-method-override", "BREW"),
        ],
        &[("upload-complete", "yes"), ("upload-length", "-")],
        &[("content-type", "multipart/form-data")],
    ] {
        it.ask("POST", SLOT, headers, b"");
    }
}

fn memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let mut words = line.expect("Linux tells it").split_whitespace();
    let kib = words.nth(1).expect("a number");
    kib.parse().expect("a number")
}

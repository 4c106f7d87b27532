//! Random bytes, and the HTML standard's tokenizer: what begins with a tag, and what only looks like it.

use std::thread;

use upload_validate::{Accept, FileFacts, Head, Refusal, Rules, Verdict};

/// Bytes of a random file that are looked at.
const HEAD: usize = 512;
const HEADS: u64 = 1_000_000;
const TAGS: u64 = 100_000;

/// SplitMix64: seeded, so that every run asks about the same bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

fn inspect(rules: &Rules, name: &str, bytes: &[u8], is_whole: bool) -> Verdict {
    let facts = FileFacts {
        name,
        media_type: "",
        size: bytes.len() as u64,
    };
    rules.inspect(&facts, &Head { bytes, is_whole })
}

const ACTIVE: Verdict = Verdict::Refuse(Refusal::ActiveContent);

/// A million files of random bytes, with an extension that says nothing and without one, are all taken.
#[test]
fn random_files_are_no_active_content() {
    let rules = Rules::new(Accept::default());
    let workers = 4;
    thread::scope(|scope| {
        for worker in 0..workers {
            let rules = &rules;
            scope.spawn(move || {
                let mut random = Random(0x5EED ^ worker);
                let mut bytes = [0; HEAD];
                for number in 0..HEADS / workers {
                    random.fill(&mut bytes);
                    let name = if number % 2 == 0 { "f.bin" } else { "f" };
                    let verdict = inspect(rules, name, &bytes, true);
                    assert_eq!(
                        verdict,
                        Verdict::Accept,
                        "{number} of {worker}: {:?}",
                        &bytes[..16]
                    );
                    if bytes[0] != b'<' {
                        continue;
                    }
                    // The same bytes in a file that is longer.
                    let verdict = inspect(rules, name, &bytes, false);
                    assert_ne!(verdict, ACTIVE, "{number} of {worker}: {:?}", &bytes[..16]);
                }
            });
        }
    });
}

/// What a page begins with for us: elements that begin a document or that browsers look for.
const ELEMENTS: &[&str] = &[
    "a",
    "audio",
    "b",
    "base",
    "body",
    "br",
    "details",
    "div",
    "embed",
    "font",
    "form",
    "frameset",
    "h1",
    "head",
    "html",
    "iframe",
    "img",
    "input",
    "link",
    "math",
    "meta",
    "object",
    "p",
    "rdf",
    "script",
    "style",
    "stylesheet",
    "svg",
    "table",
    "title",
    "transform",
    "video",
];

/// The states of the HTML standard's tokenizer (13.2.5) that lead to the name of a first start tag.
enum State {
    Data,
    TagOpen,
    TagName(String),
}

/// Reads the name of the start tag that a page begins with, one character after another as the standard has it.
fn tag_name(bytes: &[u8]) -> Option<String> {
    let mut state = State::Data;
    for byte in bytes {
        state = match (state, byte) {
            (State::Data, b'<') => State::TagOpen,
            (State::Data, _) => return None,
            (State::TagOpen, letter) if letter.is_ascii_alphabetic() => {
                State::TagName(char::from(letter.to_ascii_lowercase()).to_string())
            }
            (State::TagOpen, _) => return None,
            (State::TagName(name), b'\t' | b'\n' | b'\r' | b'\x0C' | b' ' | b'/' | b'>') => {
                return Some(name);
            }
            (State::TagName(mut name), 0) => {
                name.push(char::REPLACEMENT_CHARACTER);
                State::TagName(name)
            }
            (State::TagName(mut name), other) => {
                name.push(char::from(other.to_ascii_lowercase()));
                State::TagName(name)
            }
        };
    }
    None
}

/// `<`, a letter and a random byte are judged as the standard's tokenizer reads them.
#[test]
fn tags_are_read_as_the_html_standard_reads_them() {
    let rules = Rules::new(Accept::default());
    let mut random = Random(0x7A65);
    let mut found = 0;
    for _ in 0..TAGS {
        let element = ELEMENTS[random.below(ELEMENTS.len())].as_bytes();
        let mut bytes = vec![b'<', element[0], random.next() as u8];
        if random.below(8) == 0 {
            bytes[1] = b'a' + random.below(26) as u8;
        }
        if random.below(2) == 0 {
            bytes[1] = bytes[1].to_ascii_uppercase();
        }
        bytes.extend(element.iter().skip(2));
        let end = [
            ">", " ", "/", "\n", "\r", "\t", "\x0C", "-", "\u{E9}", "\0", "\x0B",
        ];
        bytes.extend(end[random.below(end.len())].as_bytes());
        bytes.extend(b"id=x>words</script>");
        let name = tag_name(&bytes);
        let is_page = name.as_deref().is_some_and(|name| ELEMENTS.contains(&name));
        found += u32::from(is_page);
        // A byte that no text has leaves one letter undecided: it may be there by chance.
        let is_binary = |b: &u8| *b < b' ' && !b"\t\n\x0C\r\x1B".contains(b);
        let is_chance = name.is_some_and(|name| name.len() == 1) && bytes.iter().any(is_binary);
        if !is_chance {
            let verdict = inspect(&rules, "f.bin", &bytes, true);
            assert_eq!(
                verdict == ACTIVE,
                is_page,
                "{:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
    assert!(found > 500, "only {found} begin a page");
}

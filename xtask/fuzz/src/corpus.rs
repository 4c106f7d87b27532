//! The corpus in the tree: one file per target, one input per line, written as Rust writes bytes.
//!
//! So a corpus can be read and reviewed, and a line can be copied into a test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{Target, targets::Seeds};

/// The longest input that is kept, in bytes.
const INPUT_BYTES_MAX: usize = 1024;

const FRAMES: &str = include_str!("../../../upload-proto/vectors/frames.json");
const CLIENT: &str = include_str!("../../../upload-proto/vectors/client_messages.json");
const SERVER: &str = include_str!("../../../upload-proto/vectors/server_messages.json");

/// Returns every input of a target: the golden vectors that fit it, and its corpus.
///
/// # Errors
///
/// A line of the corpus is not written as `pack` writes it, or a vector makes no sense.
pub fn seeds(target: &Target) -> Result<BTreeSet<Vec<u8>>> {
    let mut inputs = match target.seeds {
        Seeds::None => BTreeSet::new(),
        Seeds::Frames => vectors(FRAMES, "hex", unhex)?,
        Seeds::ClientMessages => vectors(CLIENT, "text", |text| Ok(text.into()))?,
        Seeds::ServerMessages => vectors(SERVER, "text", |text| Ok(text.into()))?,
    };
    let file = file(target);
    let text = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
    for line in text.lines() {
        inputs.insert(unescape(line).with_context(|| format!("{}: {line}", file.display()))?);
    }
    Ok(inputs)
}

/// Writes every input of a target into `folder`, a file each, as libFuzzer wants them.
///
/// # Errors
///
/// As [`seeds`], or the folder cannot be written.
pub fn unpack(target: &Target, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for input in seeds(target)? {
        let name = format!("{:08x}-{}", crc32c::crc32c(&input), input.len());
        fs::write(folder.join(name), input)?;
    }
    Ok(())
}

/// Makes the inputs in `folder`, as far as they are short and no vectors, the corpus of a target.
///
/// # Errors
///
/// The folder cannot be read or the corpus not be written.
pub fn pack(target: &Target, folder: &Path) -> Result<usize> {
    let empty = Target {
        corpus: Some(Path::new("/dev/null")),
        ..*target
    };
    let known = seeds(&empty)?;
    let mut lines = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let input = fs::read(entry?.path())?;
        if input.len() <= INPUT_BYTES_MAX && !known.contains(&input) {
            lines.insert((input.len(), input.escape_ascii().to_string()));
        }
    }
    let text: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
    fs::write(file(target), text)?;
    Ok(lines.len())
}

fn file(target: &Target) -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/{}.txt", target.name));
    target.corpus.map_or_else(own, Path::to_path_buf)
}

fn vectors(
    json: &str,
    field: &str,
    read: impl Fn(&str) -> Result<Vec<u8>>,
) -> Result<BTreeSet<Vec<u8>>> {
    let file: Value = serde_json::from_str(json)?;
    let cases = file["cases"].as_array().context("no cases")?;
    cases
        .iter()
        .map(|case| read(case[field].as_str().context("a case without input")?))
        .collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    bytes.collect()
}

/// Reads what `escape_ascii` writes.
fn unescape(line: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(plain @ (b'\\' | b'"' | b'\'')) => plain,
            Some(b'x') => {
                let digits = [rest.next(), rest.next()].map(Option::unwrap_or_default);
                u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?
            }
            other => bail!("no escape: {other:?}"),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_reads_back() {
        let all: Vec<u8> = (0..=255).collect();
        let line = all.escape_ascii().to_string();
        assert!(!line.contains('\n'));
        assert_eq!(unescape(&line).expect("written by us"), all);
        assert!(unescape("\\q").is_err() && unescape("\\x0").is_err());
    }
}

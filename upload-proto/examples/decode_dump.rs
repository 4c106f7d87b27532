//! Decodes a dump of binary frames, one per line in hexadecimal, and prints what each says.
//!
//! `cargo run -p upload-proto --example decode_dump [FILE | -]`; `-` reads the standard input, and
//! without an argument a bundled sample is shown.
//! Blanks between digits, empty lines and lines that begin with `#` do not count.

use std::{env, error::Error, fs, io};

use bytes::Bytes;
use upload_proto::{Frame, crc32c_hex};

fn main() -> Result<(), Box<dyn Error>> {
    let dump = match env::args().nth(1).as_deref() {
        None => include_str!("sample.hex").to_owned(),
        Some("-") => io::read_to_string(io::stdin())?,
        Some(path) => fs::read_to_string(path)?,
    };
    for (number, line) in (1..).zip(dump.lines()) {
        if !line.trim().is_empty() && !line.starts_with('#') {
            println!("{number:>4}  {}", describe(line));
        }
    }
    Ok(())
}

fn describe(line: &str) -> String {
    let Some(bytes) = from_hex(line) else {
        return "not hexadecimal".to_owned();
    };
    match Frame::decode(bytes) {
        Ok(Frame::Chunk {
            upload,
            index,
            data,
        }) => {
            format!(
                "chunk     {upload}  index {index}, {} bytes: {:?}",
                data.len(),
                preview(&data)
            )
        }
        Ok(Frame::Complete {
            upload,
            crc32c: Some(crc32c),
        }) => {
            format!("complete  {upload}  crc32c {}", crc32c_hex(crc32c))
        }
        Ok(Frame::Complete {
            upload,
            crc32c: None,
        }) => format!("complete  {upload}"),
        Ok(Frame::Cancel { upload }) => format!("cancel    {upload}"),
        Err(error) => match error.upload {
            Some(upload) => format!("refused   {upload}  {error}"),
            None => format!("refused   {error}"),
        },
    }
}

/// Shows the beginning of the data as text.
fn preview(data: &Bytes) -> String {
    String::from_utf8_lossy(data).chars().take(32).collect()
}

fn from_hex(line: &str) -> Option<Bytes> {
    let digits: Option<Vec<u32>> = line
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|character| character.to_digit(16))
        .collect();
    let digits = digits?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    pairs.collect()
}

//! Prints a table of all codes as Markdown, for the documentation.
//!
//! Without an argument it is the one of the protocol's document; with the path of the browser client's `texts.js`,
//! the one of the error reference.

use std::{env, error::Error, fs};

use upload_proto::{Code, code_table, error_table};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(path) = env::args().nth(1) else {
        print!("{}", code_table());
        return Ok(());
    };
    let texts = fs::read_to_string(path)?;
    print!("{}", error_table(|code| seen(&texts, code)));
    Ok(())
}

/// Returns what the page shows for a code: the fullest of its English texts.
fn seen(texts: &str, code: Code) -> Option<String> {
    let begin = format!("    {code}: ");
    let entry = texts.lines().find_map(|line| line.strip_prefix(&begin))?;
    let entry = entry
        .split_once("other: ")
        .map_or(entry, |(_, other)| other);
    let text = entry.split('"').nth(1)?;
    Some(text.replace(['{', '}'], "*"))
}

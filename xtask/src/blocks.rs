//! The generated parts of documents: what is between `<!-- begin NAME -->` and `<!-- end NAME -->`.

use anyhow::{Context, Result};

/// Returns the text between the marks.
///
/// # Errors
///
/// A mark is missing.
pub(crate) fn find<'a>(document: &'a str, name: &str) -> Result<&'a str> {
    split(document, name).map(|(_, block, _)| block)
}

/// Returns the document with another text between the marks.
///
/// # Errors
///
/// A mark is missing.
pub(crate) fn replace(document: &str, name: &str, block: &str) -> Result<String> {
    let (before, _, after) = split(document, name)?;
    Ok(format!("{before}{block}{after}"))
}

fn split<'a>(document: &'a str, name: &str) -> Result<(&'a str, &'a str, &'a str)> {
    let (begin, end) = (
        format!("<!-- begin {name} -->\n"),
        format!("<!-- end {name} -->"),
    );
    let from = document
        .find(&begin)
        .with_context(|| format!("no line {begin}"))?
        + begin.len();
    let to = document
        .find(&end)
        .filter(|to| *to >= from)
        .with_context(|| format!("no line {end}"))?;
    Ok((&document[..from], &document[from..to], &document[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_and_replaced() {
        let document = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n";
        assert_eq!(find(document, "x").unwrap(), "old\n");
        let new = replace(document, "x", "new\nlines\n").unwrap();
        assert_eq!(new, "a\n<!-- begin x -->\nnew\nlines\n<!-- end x -->\nb\n");
        assert!(find(document, "y").is_err());
    }
}

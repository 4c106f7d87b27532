//! Errors in one line, for people.

/// Writes an error and what caused it; a cause that an error says itself is not repeated.
pub(crate) fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.ends_with(&text) {
            line += ": ";
            line += &text;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::line;

    #[test]
    fn each_cause_is_said_once() {
        let error = anyhow!("refused").context("cannot connect: refused");
        assert_eq!(
            line(&error.context("localhost")),
            "localhost: cannot connect: refused"
        );
    }
}

//! What a running server counts, from `/metrics`.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result};

/// Returns the sum of one metric over all its labels.
///
/// # Errors
///
/// The server does not answer.
pub(crate) fn metric(address: &str, name: &str) -> Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    sum(&answer, name).with_context(|| format!("a strange {name}"))
}

fn sum(text: &str, name: &str) -> Result<f64> {
    let own = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        matches!(rest.as_bytes().first(), Some(b' ' | b'{')).then_some(rest)
    });
    let mut sum = 0.0;
    for line in own {
        let value = line.rsplit(' ').next().unwrap_or_default();
        sum += value.parse::<f64>()?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# TYPE a counter\na{code=\"x\"} 2\na{code=\"y z\"} 3\nab 7\n";
        assert_eq!(sum(text, "a").expect("numbers"), 5.0);
        assert_eq!(sum(text, "b").expect("none"), 0.0);
    }
}

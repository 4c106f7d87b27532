//! The range of a file that a request asks for (RFC 9110, 14.2).

use http::HeaderValue;

/// What to send of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ranged {
    /// All of it: nothing else was asked for, or not in a way that is served.
    Whole,
    /// Some bytes, at least one.
    Part {
        /// The first one's offset.
        first: u64,
        /// How many.
        bytes: u64,
    },
    /// There are no such bytes.
    Nothing,
}

/// Reads a range; several at once are answered with the whole file, as a server may.
pub(crate) fn ranged(wanted: Option<&HeaderValue>, length: u64) -> Ranged {
    let spec = wanted.and_then(|value| value.to_str().ok()?.trim().strip_prefix("bytes="));
    let Some((first, last)) = spec.and_then(|spec| spec.trim().split_once('-')) else {
        return Ranged::Whole;
    };
    let part = match (number(first), number(last)) {
        (Some(Number::None), Some(Number::Of(suffix))) => {
            let bytes = suffix.min(length);
            Some((length.saturating_sub(bytes), bytes))
        }
        (Some(Number::Of(first)), Some(Number::None)) => {
            Some((first, length.saturating_sub(first)))
        }
        (Some(Number::Of(first)), Some(Number::Of(last))) if first <= last => {
            let end = last.saturating_add(1).min(length);
            Some((first, end.saturating_sub(first)))
        }
        _ => None,
    };
    match part {
        Some((_, 0)) => Ranged::Nothing,
        Some((first, bytes)) => Ranged::Part { first, bytes },
        None => Ranged::Whole,
    }
}

enum Number {
    None,
    Of(u64),
}

fn number(text: &str) -> Option<Number> {
    match text.trim() {
        "" => Some(Number::None),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Number::Of(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let of = |text: &str| ranged(Some(&HeaderValue::from_str(text).expect("text")), 10);
        let part = |first, bytes| Ranged::Part { first, bytes };
        for (text, wanted) in [
            ("bytes=0-3", part(0, 4)),
            ("bytes=4-", part(4, 6)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-99", part(0, 10)),
            ("bytes=8-99", part(8, 2)),
            ("bytes=9-99999999999999999999999", part(9, 1)),
            ("bytes=10-", Ranged::Nothing),
            ("bytes=-0", Ranged::Nothing),
            ("bytes=5-4", Ranged::Whole),
            ("bytes=0-1,3-4", Ranged::Whole),
            ("bytes=-", Ranged::Whole),
            ("bytes=a-b", Ranged::Whole),
            ("lines=0-3", Ranged::Whole),
        ] {
            assert_eq!(of(text), wanted, "{text}");
        }
        assert_eq!(ranged(None, 10), Ranged::Whole);
        let empty = ranged(Some(&HeaderValue::from_static("bytes=0-")), 0);
        assert_eq!(empty, Ranged::Nothing);
    }
}

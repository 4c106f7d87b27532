//! Times, written as numbers of seconds or as text with a unit.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// A time: `90`, `"90s"`, `"10m"` or `"1h 30m"`; numbers are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

impl Time {
    /// Returns how many seconds are over in it.
    pub(super) fn whole_seconds(self) -> u64 {
        self.0.as_secs()
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text).map(Self)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as 90, \"90s\", \"10m\" or \"1h 30m\"")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
        let seconds = u64::try_from(seconds);
        seconds
            .map(Duration::from_secs)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(-1), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        let invalid = || E::invalid_value(de::Unexpected::Str(text), &self);
        let time: jiff::SignedDuration = text.parse().map_err(|_| invalid())?;
        time.try_into().map_err(|_| invalid())
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, I64Deserializer, StrDeserializer};

    use super::*;

    #[test]
    fn times_are_numbers_of_seconds_or_text_with_a_unit() {
        let text = |text| Time::deserialize(StrDeserializer::<Error>::new(text));
        let number = |number| Time::deserialize(I64Deserializer::<Error>::new(number));
        let time = |seconds| Ok(Time(Duration::from_secs_f64(seconds)));
        assert_eq!(number(90), time(90.0));
        assert_eq!(text("90s"), time(90.0));
        assert_eq!(text("250ms"), time(0.25));
        assert_eq!(text("1h 30m"), time(5400.0));
        assert!(number(-1).is_err());
        for bad in ["", "soon", "5", "-3s", "1 parsec"] {
            let error = text(bad).expect_err(bad).to_string();
            assert!(error.contains("\"1h 30m\""), "{error}");
        }
    }
}

//! Figures next to what was promised.

use serde_json::{Value, json};

/// A promise, and what became of it.
pub(crate) struct Bar {
    what: String,
    measured: f64,
    limit: Limit,
}

enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    /// Promises that a figure is at most `limit`.
    pub(crate) fn at_most(limit: f64, what: impl Into<String>, measured: f64) -> Self {
        Self {
            what: what.into(),
            measured,
            limit: Limit::AtMost(limit),
        }
    }

    /// Promises that a figure is at least `limit`.
    pub(crate) fn at_least(limit: f64, what: impl Into<String>, measured: f64) -> Self {
        Self {
            what: what.into(),
            measured,
            limit: Limit::AtLeast(limit),
        }
    }

    fn is_met(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.measured <= limit,
            Limit::AtLeast(limit) => self.measured >= limit,
        }
    }

    fn limit(&self) -> String {
        match self.limit {
            Limit::AtMost(limit) => format!("at most {limit}"),
            Limit::AtLeast(limit) => format!("at least {limit}"),
        }
    }

    /// Returns the bar as JSON.
    pub(crate) fn json(&self) -> Value {
        json!({
            "what": self.what,
            "measured": self.measured,
            "limit": self.limit(),
            "is_met": self.is_met(),
        })
    }
}

/// Returns the table of bars; a figure that was not measured is not met.
pub(crate) fn table(bars: &[Bar]) -> String {
    let width = bars.iter().map(|bar| bar.what.len()).max().unwrap_or(0);
    let lines = bars.iter().map(|bar| {
        let verdict = if bar.is_met() { "met" } else { "MISSED" };
        format!(
            "{:<width$}  {:>9.2}  {:<14} {verdict}\n",
            bar.what,
            bar.measured,
            bar.limit()
        )
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_missed() {
        let met = [
            Bar::at_most(2.0, "a", 2.0),
            Bar::at_least(2.0, "b", 2.0),
            Bar::at_most(2.0, "c", f64::NAN),
            Bar::at_least(2.0, "d", 1.9),
        ];
        assert_eq!(met.each_ref().map(Bar::is_met), [true, true, false, false]);
        assert_eq!(table(&met).matches("MISSED").count(), 2);
    }
}

//! What became of the checks: a table by rule, and the score.

use crate::check::{Check, Level, Outcome, Stop};

/// All checks of one protocol, and how a server did.
pub struct Report {
    protocol: &'static str,
    rows: Vec<Row>,
}

/// One check, and how a server did.
pub struct Row {
    /// Names of the rules.
    pub rules: &'static [&'static str],
    /// How strongly they are meant.
    pub level: Level,
    /// What a server does that passes.
    pub says: &'static str,
    /// How the server did.
    pub outcome: Outcome,
}

impl Report {
    /// Runs the checks, one after the other.
    pub(crate) fn of<'a, T: 'a>(
        protocol: &'static str,
        target: &T,
        checks: impl Iterator<Item = &'a Check<T>>,
    ) -> Self {
        let rows = checks.map(|check| Row {
            rules: check.rules,
            level: check.level,
            says: check.says,
            outcome: (check.run)(target),
        });
        Self {
            protocol,
            rows: rows.collect(),
        }
    }

    /// Returns the checks in their order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Tells whether no MUST failed.
    pub fn meets_every_must(&self) -> bool {
        let mut failed = self.rows.iter().filter(|row| row.has_failed());
        failed.all(|row| row.level != Level::Must)
    }

    /// Returns the score, such as `tus: 31 of 34 MUST, 5 of 6 SHOULD, 3 not announced`.
    pub fn score(&self) -> String {
        let of = |level| {
            let rows = self.rows.iter().filter(|row| row.level == level);
            let (mut passed, mut checked) = (0, 0);
            for row in rows.filter(|row| row.was_checked()) {
                checked += 1;
                passed += usize::from(!row.has_failed());
            }
            format!("{passed} of {checked} {level}")
        };
        let left = self.rows.iter().filter(|row| !row.was_checked()).count();
        format!(
            "{}: {}, {}, {left} not announced",
            self.protocol,
            of(Level::Must),
            of(Level::Should)
        )
    }

    /// Returns a line for each check, what was wrong below it, and the score.
    pub fn table(&self) -> String {
        let rules = |row: &Row| row.rules.join(" ");
        let widths = self.rows.iter().map(|row| rules(row).len());
        let width = widths.max().unwrap_or(0);
        let mut table = String::new();
        for row in &self.rows {
            let (result, why) = match &row.outcome {
                Ok(()) => ("passed", None),
                Err(Stop::Failed(why)) => ("FAILED", Some(why)),
                Err(Stop::NotAnnounced(why)) => ("-", Some(why)),
            };
            table += &format!(
                "{:<width$}  {:<6}  {result:<6}  {}\n",
                rules(row),
                row.level,
                row.says
            );
            if let Some(why) = why {
                let why = if row.was_checked() {
                    why.clone()
                } else {
                    format!("not announced: {why}")
                };
                table += &format!("{:<width$}                  {why}\n", "");
            }
        }
        table + &self.score() + "\n"
    }
}

impl Row {
    /// Tells whether the server did something else.
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, Err(Stop::Failed(_)))
    }

    /// Tells whether the server announces what the check needs.
    pub fn was_checked(&self) -> bool {
        !matches!(self.outcome, Err(Stop::NotAnnounced(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKS: &[Check<()>] = &[
        Check {
            rules: &["A1", "A2"],
            level: Level::Must,
            says: "one",
            run: |()| Ok(()),
        },
        Check {
            rules: &["A3"],
            level: Level::Should,
            says: "two",
            run: |()| Err(Stop::failed("it was three")),
        },
        Check {
            rules: &["A4"],
            level: Level::Must,
            says: "four",
            run: |()| Err(Stop::not_announced("fours")),
        },
    ];

    #[test]
    fn what_is_not_announced_is_neither_passed_nor_failed() {
        let report = Report::of("numbers", &(), CHECKS.iter());
        assert_eq!(
            report.score(),
            "numbers: 1 of 1 MUST, 0 of 1 SHOULD, 1 not announced"
        );
        assert!(report.meets_every_must());
        let table = report.table();
        assert_eq!(table.lines().count(), 6, "{table}");
        assert!(table.contains("not announced: fours"), "{table}");
    }

    #[test]
    fn a_must_that_failed_is_seen() {
        let failing = Check {
            level: Level::Must,
            ..CHECKS[1]
        };
        let report = Report::of("numbers", &(), [failing].iter());
        assert!(!report.meets_every_must());
    }
}

//! Bars in an SVG: one group per load, one bar per subject.

use std::fmt::Write as _;

/// Pixels of a bar's height.
const BAR_PX: usize = 16;
/// Pixels between two groups.
const GAP_PX: usize = 14;
/// Pixels left of the bars, for the names of groups and subjects.
const LEFT_PX: usize = 250;
/// Pixels of the longest bar.
const LONGEST_PX: f64 = 420.0;
/// Pixels of the whole width.
const WIDTH_PX: usize = 780;
/// Pixels above the first group.
const TOP_PX: usize = 44;
/// Fills of the subjects, in their order.
const FILLS: [&str; 5] = ["#2f6f9f", "#b9772e", "#5b8c5a", "#8a5a83", "#777777"];

/// A chart.
pub(crate) struct Chart {
    /// What is shown, with its unit.
    pub(crate) title: String,
    /// Groups of bars: a name, and what each subject has.
    pub(crate) groups: Vec<(String, Vec<(String, f64)>)>,
    /// Command and machine.
    pub(crate) caption: String,
}

impl Chart {
    /// Draws the chart.
    pub(crate) fn svg(&self) -> String {
        let values = self.groups.iter().flat_map(|(_, bars)| bars);
        let most = values.map(|(_, value)| *value).fold(0.0, f64::max);
        let mut subjects: Vec<&str> = Vec::new();
        let mut shapes = String::new();
        let mut y = TOP_PX;
        for (group, bars) in &self.groups {
            let _ = writeln!(
                shapes,
                r#"<text x="8" y="{}" class="group">{}</text>"#,
                y + 12,
                escaped(group)
            );
            for (subject, value) in bars {
                let known = subjects.iter().position(|known| known == subject);
                let number = known.unwrap_or_else(|| {
                    subjects.push(subject);
                    subjects.len() - 1
                });
                let fill = FILLS[number % FILLS.len()];
                let width = if most > 0.0 && value.is_finite() {
                    value / most * LONGEST_PX
                } else {
                    0.0
                };
                let _ = writeln!(
                    shapes,
                    "<text x=\"{}\" y=\"{}\" class=\"subject\">{}</text>\n\
                     <rect x=\"{LEFT_PX}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{fill}\"/>\n\
                     <text x=\"{:.1}\" y=\"{}\">{}</text>",
                    LEFT_PX - 6,
                    y + 12,
                    escaped(subject),
                    BAR_PX - 2,
                    LEFT_PX as f64 + width + 5.0,
                    y + 12,
                    rounded(*value),
                );
                y += BAR_PX;
            }
            y += GAP_PX;
        }
        let captions: String =
            self.caption
                .lines()
                .enumerate()
                .fold(String::new(), |mut text, (line, caption)| {
                    let _ = writeln!(
                        text,
                        r#"<text x="8" y="{}" class="caption">{}</text>"#,
                        y + 10 + line * 15,
                        escaped(caption)
                    );
                    text
                });
        let height = y + 16 + self.caption.lines().count() * 15;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH_PX}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH_PX} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <style>.group{{font-weight:600}}.subject{{text-anchor:end;fill:#444}}.caption{{font-size:11px;fill:#666}}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"8\" y=\"24\" font-size=\"15\" font-weight=\"600\">{}</text>\n{shapes}{captions}</svg>\n",
            escaped(&self.title)
        )
    }
}

fn rounded(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_the_largest_value() {
        let chart = Chart {
            title: "a < b".to_owned(),
            groups: vec![(
                "load".to_owned(),
                vec![("one".to_owned(), 2.0), ("two".to_owned(), 1.0)],
            )],
            caption: "command\nmachine".to_owned(),
        };
        let svg = chart.svg();
        assert!(svg.contains("a &lt; b"));
        assert!(svg.contains("width=\"420.0\""));
        assert!(svg.contains("width=\"210.0\""));
        assert_eq!(svg.matches("class=\"caption\"").count(), 2);
    }
}

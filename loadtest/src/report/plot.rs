//! Plots as SVG: lines over time, and distributions over percentiles.

use std::fmt::Write;

use super::axis::Axis;
use super::page::escaped;

/// The plot's size; the page scales it.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 270.0;
/// Room for what is written around it.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;
/// The most points of a line: more than the plot has pixels. Of more, each is the largest of some.
const POINTS_MAX: usize = 600;
/// How many colours the page has.
const COLOURS: usize = 6;

/// One line of a plot.
pub(super) struct Line {
    /// What it is.
    pub(super) label: String,
    /// Where it goes.
    pub(super) points: Vec<[f64; 2]>,
    /// Which of the page's colours it has; more than there are go round.
    pub(super) colour: usize,
    /// Whether it is drawn in the background of another.
    pub(super) faint: bool,
}

impl Line {
    fn class(&self) -> String {
        format!("c{}{}", self.colour % COLOURS, if self.faint { " faint" } else { "" })
    }
}

/// A plot.
pub(super) struct Plot {
    /// What it shows.
    pub(super) title: String,
    /// Of what, upwards.
    pub(super) unit: String,
    /// Along.
    pub(super) along: String,
    /// The lines.
    pub(super) lines: Vec<Line>,
    /// How marks stand along.
    pub(super) across: Axis,
    /// How marks stand upwards.
    pub(super) upwards: Axis,
}

impl Plot {
    /// Lines over seconds.
    pub(super) fn over_time(title: &str, unit: &str, lines: Vec<Line>) -> Self {
        let most = |index: usize| {
            lines.iter().flat_map(|line| &line.points).filter_map(|point| point.get(index)).copied().fold(0.0, f64::max)
        };
        let (across, upwards) = (Axis::linear(most(0), 8.0), Axis::linear(most(1), 5.0));
        // The last mark along may stand beyond the run; the line should fill the width.
        let across = across.up_to(most(0).max(f64::MIN_POSITIVE));
        Self { title: title.into(), unit: unit.into(), along: "seconds".into(), lines, across, upwards }
    }

    /// The plot, with a legend below.
    pub(super) fn html(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        _ = write!(
            out,
            r#"<figure><figcaption>{} <span class="unit">{}</span></figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
            escaped(&self.title),
            escaped(&self.unit),
            escaped(&self.title)
        );
        self.grid(&mut out);
        for line in &self.lines {
            self.line(&mut out, line);
        }
        out.push_str("</svg><p class=\"legend\">");
        for line in &self.lines {
            _ = write!(out, r#"<span><i class="{}"></i>{}</span>"#, line.class(), escaped(&line.label));
        }
        out.push_str("</p></figure>");
        out
    }

    fn grid(&self, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in &self.upwards.marks {
            let y = self.y(*value);
            _ = write!(
                out,
                r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="up" x="{:.1}" y="{:.1}">{text}</text>"#,
                LEFT - 8.0,
                y + 4.0
            );
        }
        for (value, text) in self.across.marks.iter().filter(|(value, _)| *value <= self.across.most) {
            let x = self.x(*value);
            _ = write!(
                out,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom}"/><text x="{x:.1}" y="{:.1}">{text}</text>"#,
                bottom + 17.0
            );
        }
        let middle = LEFT.midpoint(right);
        _ = write!(
            out,
            r#"<text class="along" x="{middle:.1}" y="{:.1}">{}</text>"#,
            HEIGHT - 5.0,
            escaped(&self.along)
        );
    }

    fn line(&self, out: &mut String, line: &Line) {
        let (points, class) = (thinned(&line.points), line.class());
        _ = write!(out, r#"<polyline class="{class}" points=""#);
        for [x, y] in &points {
            _ = write!(out, "{:.1},{:.1} ", self.x(*x), self.y(*y));
        }
        out.push_str("\"/>");
        if let ([[x, y]], true) = (points.as_slice(), line.points.len() == 1) {
            // A line of one point would not be seen.
            let (x, y) = (self.x(*x), self.y(*y));
            _ = write!(out, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3"/>"#);
        }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.across.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.upwards.place(value) * (HEIGHT - TOP - BOTTOM)
    }
}

/// As many points as can be seen; peaks stay.
fn thinned(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let each = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |some: &[[f64; 2]]| some.iter().copied().max_by(|[_, one], [_, other]| one.total_cmp(other));
    points.chunks(each).filter_map(highest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_not_thinned_out() {
        let mut points: Vec<_> = (0..10_000).map(|at| [f64::from(at), 1.0]).collect();
        points[5_003][1] = 99.0;
        let thin = thinned(&points);
        assert!(thin.len() <= POINTS_MAX);
        assert!(thin.iter().any(|[x, y]| *x > 5_002.0 && *y > 98.0));
    }

    #[test]
    fn a_plot_holds_its_lines_and_what_they_are() {
        let lines = vec![
            Line { label: "a < b".into(), points: vec![[0.0, 0.0], [10.0, 50.0]], colour: 0, faint: true },
            Line { label: "one".into(), points: vec![[5.0, 25.0]], colour: 7, faint: false },
        ];
        let html = Plot::over_time("Latency", "ms", lines).html();
        assert!(html.contains("a &lt; b") && html.contains("<circle class=\"c1\""), "{html}");
        assert!(html.contains(r#"points="58.0,230.0 746.0,14.0 ""#), "corner to corner: {html}");
    }
}

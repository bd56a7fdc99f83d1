//! The page: what was run, what it came to, how long things took, and how it went over time.

use std::fmt::Write;

use super::axis::Axis;
use super::plot::{Line, Plot};
use crate::result::{Latency, RunResult, Series, written};

/// Light and dark, without a script or a font of somebody else's.
const STYLE: &str = include_str!("page.css");
/// The percentiles that a distribution is drawn at: what is left above, halved each time.
const PERCENTILE_STEPS: u32 = 16;

/// The whole page.
pub(super) fn page(result: &RunResult) -> String {
    let mut out = String::new();
    let title = format!("loadtest {}", result.command);
    // Writing to a string does not fail.
    _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{0}</title><style>{STYLE}</style></head>\
         <body><main><header><h1>{0} <b class=\"{1}\">{1}</b></h1><p>{2} · {3} s</p></header>",
        escaped(&title),
        if result.passed { "passed" } else { "failed" },
        escaped(&result.started_at),
        written(result.seconds)
    );
    failures(&mut out, result);
    figures(&mut out, result);
    latencies(&mut out, result);
    out.push_str("<section class=\"plots\">");
    for plot in plots(result) {
        out.push_str(&plot.html());
    }
    out.push_str("</section>");
    settings(&mut out, result);
    out.push_str("</main></body></html>\n");
    out
}

fn failures(out: &mut String, result: &RunResult) {
    if !result.failures.is_empty() {
        out.push_str("<section class=\"failures\"><h2>What was not as it must be</h2><ul>");
        for failure in &result.failures {
            _ = write!(out, "<li>{}</li>", escaped(failure));
        }
        out.push_str("</ul></section>");
    }
}

fn figures(out: &mut String, result: &RunResult) {
    out.push_str("<section class=\"figures\">");
    for figure in &result.figures {
        _ = write!(
            out,
            "<div><dt>{}</dt><dd>{} <span class=\"unit\">{}</span></dd></div>",
            escaped(&figure.label),
            grouped(&written(figure.value)),
            escaped(&figure.unit)
        );
    }
    out.push_str("</section>");
}

fn latencies(out: &mut String, result: &RunResult) {
    if result.latencies.is_empty() {
        return;
    }
    out.push_str(
        "<section><h2>How long it took <span class=\"unit\">ms</span></h2><div class=\"wide\"><table><thead><tr>\
         <th></th><th>count</th><th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th>\
         </tr></thead><tbody>",
    );
    for Latency { label, millis, .. } in &result.latencies {
        _ = write!(out, "<tr><td>{}</td><td>{}</td>", escaped(label), grouped(&millis.count.to_string()));
        for value in [millis.mean, millis.p50, millis.p90, millis.p99, millis.p999, millis.max] {
            _ = write!(out, "<td>{}</td>", grouped(&written(value)));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div></section>");
}

fn settings(out: &mut String, result: &RunResult) {
    out.push_str("<section><h2>What was run</h2><dl class=\"settings\">");
    for setting in &result.settings {
        _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escaped(&setting.name), escaped(&setting.value));
    }
    out.push_str("</dl></section>");
}

/// Percentiles first, then what has the same unit together, over time.
fn plots(result: &RunResult) -> Vec<Plot> {
    let mut plots = Vec::new();
    plots.extend(percentiles(&result.latencies));
    for (title, unit) in
        [("Latency over time", "ms"), ("Rate", "/s"), ("Processor", "% of a core"), ("Memory of the server", "MiB")]
    {
        let of_unit = result.series.iter().filter(|series| series.unit == unit && !series.points.is_empty());
        let lines = lines(of_unit);
        if !lines.is_empty() {
            plots.push(Plot::over_time(title, unit, lines));
        }
    }
    plots
}

/// Lines of series; the median of something has the colour of its 99th of 100, and stays behind it.
fn lines<'a>(series: impl Iterator<Item = &'a Series>) -> Vec<Line> {
    let mut names: Vec<&str> = Vec::new();
    series
        .map(|Series { name, label, points, .. }| {
            let (thing, quantile) = name.rsplit_once('.').unwrap_or((name, ""));
            let faint = quantile == "p50";
            let thing = if faint || quantile == "p99" { thing } else { name };
            let known = names.iter().position(|known| *known == thing);
            let colour = known.unwrap_or_else(|| {
                names.push(thing);
                names.len() - 1
            });
            Line { label: label.clone(), points: points.clone(), colour, faint }
        })
        .collect()
}

/// Distributions: along what share of all stays below, the last ones widest; upwards by powers of ten.
fn percentiles(latencies: &[Latency]) -> Option<Plot> {
    let filled = || latencies.iter().filter(|latency| latency.millis.count > 0);
    let steps = |latency: &Latency| (latency.millis.count.ilog2() + 1).min(PERCENTILE_STEPS);
    let most_steps = filled().map(steps).max()?;
    let lines: Vec<_> = filled()
        .enumerate()
        .map(|(colour, latency)| {
            // Beyond one in as many as there are, nothing is known.
            let points = (0..=steps(latency)).map(|step| {
                let left = 0.5_f64.powi(i32::try_from(step).unwrap_or(i32::MAX));
                // Never 0: an axis by powers of ten has none.
                [f64::from(step), latency.histogram.quantile(1.0 - left).max(0.001)]
            });
            Line { label: latency.label.clone(), points: points.collect(), colour, faint: false }
        })
        .collect();
    let values = || lines.iter().flat_map(|line| &line.points).map(|[_, value]| *value);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if lines.is_empty() || !least.is_finite() {
        return None;
    }
    let mark = |left: f64, text: &str| (-left.log2(), text.to_owned());
    let marks =
        vec![mark(0.5, "50 %"), mark(0.1, "90 %"), mark(0.01, "99 %"), mark(0.001, "99.9 %"), mark(0.0001, "99.99 %")];
    let across = Axis::linear(1.0, 1.0).up_to(f64::from(most_steps)).marked(marks);
    Some(Plot {
        title: "Percentiles".into(),
        unit: "ms".into(),
        along: "share that stays below".into(),
        upwards: Axis::logarithmic(least, most),
        across,
        lines,
    })
}

/// Text that is safe in HTML and in attributes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A number with its digits in groups of three.
fn grouped(number: &str) -> String {
    let (sign, rest) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) =
        rest.split_once('.').map_or((rest, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    format!("{sign}{out}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A result that a run wrote.
    const STORED: &str = include_str!("stored.json");

    #[test]
    fn a_stored_result_becomes_a_page_that_stands_alone() {
        let result: RunResult = serde_json::from_str(STORED).unwrap();
        let page = page(&result);
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        for outside in ["http://www", "https://", "src=", "<script", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        for plot in ["Percentiles", "Latency over time", "Rate", "Processor", "Memory of the server"] {
            assert!(page.contains(&format!("<figcaption>{plot} ")), "{plot}");
        }
        for figure in &result.figures {
            assert!(page.contains(&escaped(&figure.label)), "{}", figure.label);
        }
        assert!(page.contains("<b class=\"passed\">"));
        assert!(page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn what_others_wrote_stays_text() {
        let mut result: RunResult = serde_json::from_str(STORED).unwrap();
        result.fail("<img src=x onerror=alert(1)>");
        result.setting("\"><script>", "it's");
        let page = page(&result);
        assert!(!page.contains("<img") && !page.contains("<script"));
        assert!(page.contains("&lt;img") && page.contains("<b class=\"failed\">"));
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [("15000", "15\u{202f}000"), ("999", "999"), ("-1234567.5", "-1\u{202f}234\u{202f}567.5")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}

//! `loadtest compare`: two results side by side, as ratios.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::result::{Better, RunResult, written};

/// What to compare.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The result that the other is measured by.
    before: PathBuf,
    /// The other.
    after: PathBuf,
    /// Fail if something is worse by more than this: `10%`.
    #[arg(long, value_parser = percent)]
    fail_above: Option<f64>,
}

/// One line of the table.
#[derive(Debug, PartialEq)]
struct Row {
    label: String,
    unit: String,
    before: f64,
    after: f64,
    /// By how much it is worse, in percent; below zero if it is better, nothing if neither way is.
    worse: Option<f64>,
}

/// Compares two results. Fails if something is worse than it may be.
#[allow(clippy::print_stdout, reason = "this is what the command is for")]
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (before, after) = (RunResult::read(&options.before)?, RunResult::read(&options.after)?);
    anyhow::ensure!(
        before.command == after.command,
        "a result of {} and one of {} have nothing to compare",
        before.command,
        after.command
    );
    for line in differing(&before, &after) {
        println!("differs: {line}");
    }
    println!("{:<44} {:>12} {:>12} {:>8}  {:>8}", "", "before", "after", "ratio", "worse by");
    let mut regressions = 0;
    for row in rows(&before, &after) {
        let too_much = row.worse.zip(options.fail_above).is_some_and(|(worse, most)| worse > most);
        regressions += u32::from(too_much);
        let ratio = if row.before == 0.0 { "-".to_owned() } else { format!("{:.3}", row.after / row.before) };
        let worse = row.worse.map_or_else(|| "-".to_owned(), |worse| format!("{worse:+.1} %"));
        let (mark, unit) = (if too_much { " !" } else { "" }, &row.unit);
        let name = if unit.is_empty() { row.label.clone() } else { format!("{} ({unit})", row.label) };
        println!("{name:<44} {:>12} {:>12} {ratio:>8}  {worse:>8}{mark}", written(row.before), written(row.after));
    }
    if !after.passed && before.passed {
        println!("the run itself failed, where it passed before");
        regressions += u32::from(options.fail_above.is_some());
    }
    if regressions > 0 {
        println!("{regressions} regressions");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Settings that were not the same.
fn differing(before: &RunResult, after: &RunResult) -> Vec<String> {
    let of = |result: &RunResult, name: &str| {
        result.settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.clone())
    };
    let names = before.settings.iter().chain(&after.settings).map(|setting| setting.name.as_str());
    let names: std::collections::BTreeSet<_> = names.filter(|name| *name != "url").collect();
    let pairs = names.into_iter().map(|name| (name, of(before, name), of(after, name)));
    let differing = pairs.filter(|(_, before, after)| before != after);
    let shown = |value: Option<String>| value.unwrap_or_else(|| "not said".to_owned());
    differing.map(|(name, before, after)| format!("{name}: {} / {}", shown(before), shown(after))).collect()
}

/// What both have.
fn rows(before: &RunResult, after: &RunResult) -> Vec<Row> {
    let mut rows = Vec::new();
    for figure in &before.figures {
        if let Some(other) = after.figures.iter().find(|other| other.name == figure.name) {
            let worse = figure.better.and_then(|better| worse(figure.value, other.value, better));
            let (label, unit) = (figure.label.clone(), figure.unit.clone());
            rows.push(Row { label, unit, before: figure.value, after: other.value, worse });
        }
    }
    for latency in &before.latencies {
        let Some(other) = after.latencies.iter().find(|other| other.name == latency.name) else { continue };
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let (before, after) = (latency.histogram.quantile(quantile), other.histogram.quantile(quantile));
            let label = format!("{}, {name}", latency.label);
            rows.push(Row { label, unit: "ms".into(), before, after, worse: worse(before, after, Better::Lower) });
        }
    }
    rows
}

/// By how much `after` is worse, in percent of `before`; nothing where there was nothing.
fn worse(before: f64, after: f64, better: Better) -> Option<f64> {
    let change = (after - before) / before * 100.0;
    let worse = if better == Better::Lower { change } else { -change };
    worse.is_finite().then_some(worse)
}

/// A percentage as people write it.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim().parse().ok();
    number.filter(|number: &f64| (0.0..=1000.0).contains(number)).ok_or_else(|| format!("{text}: like 10%"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::course::Course;
    use crate::meter::Meter;
    use crate::usage::Sampler;

    fn result(folder: &std::path::Path, name: &str, rate: f64, millis: u64) -> PathBuf {
        let meter = Meter::default();
        meter.time("answer", Duration::from_millis(millis));
        let mut course = Course::start(Sampler::of(None, Vec::new()));
        course.add(&meter.take()).unwrap();
        let mut result = RunResult::of("transfers", String::new(), &course);
        result.setting("rate", "closed");
        result.figure("rate", "transfers a second", rate, "/s", Some(Better::Higher));
        result.figure("count", "completed", rate * 10.0, "", None);
        result.latency(&course, "answer", "to the answer");
        let path = folder.join(name);
        assert_eq!(result.finish(Some(&path)).unwrap(), ExitCode::SUCCESS);
        path
    }

    #[test]
    fn what_is_worse_decides() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name, rate, millis| result(folder.path(), name, rate, millis);
        let before = of("before", 1000.0, 10);
        for (after, code) in [
            (of("same", 1000.0, 10), ExitCode::SUCCESS),
            (of("better", 2000.0, 5), ExitCode::SUCCESS),
            (of("little", 950.0, 10), ExitCode::SUCCESS),
            (of("fewer", 800.0, 10), ExitCode::FAILURE),
            (of("slower", 1000.0, 20), ExitCode::FAILURE),
        ] {
            let options = Options { before: before.clone(), after: after.clone(), fail_above: Some(10.0) };
            assert_eq!(run(&options).unwrap(), code, "{}", after.display());
            let shown = Options { fail_above: None, ..options };
            assert_eq!(run(&shown).unwrap(), ExitCode::SUCCESS, "without a limit it only shows");
        }
    }

    #[test]
    fn figures_without_a_better_way_never_fail() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: PathBuf| RunResult::read(&path).unwrap();
        let (before, after) =
            (read(result(folder.path(), "a", 100.0, 10)), read(result(folder.path(), "b", 150.0, 10)));
        let rows = rows(&before, &after);
        assert_eq!(rows.len(), 5, "two figures and three quantiles: {rows:?}");
        assert_eq!(rows[0].worse, Some(-50.0));
        assert_eq!(rows[1].worse, None);
        assert!(differing(&before, &after).is_empty());
    }

    #[test]
    fn percentages_are_read_as_people_write_them() {
        for (text, percentage) in
            [("10%", Some(10.0)), ("2.5 %", Some(2.5)), ("5", Some(5.0)), ("x", None), ("-1%", None)]
        {
            assert_eq!(percent(text).ok(), percentage, "{text}");
        }
    }
}

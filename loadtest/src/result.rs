//! The result of a run: one form for every subcommand, written as JSON, read by `report` and `compare`.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::course::Course;
use crate::timing::{Millis, Timing};

/// The form that is written. A reader refuses another.
const FORM: u32 = 1;
/// The largest file that is read: hours of a run with every series.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The result of a run.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunResult {
    form: u32,
    /// Which subcommand it was.
    pub(crate) command: String,
    /// When it began, RFC 3339.
    pub(crate) started_at: String,
    /// How long it took.
    pub(crate) seconds: f64,
    /// What it was asked to do.
    pub(crate) settings: Vec<Setting>,
    /// Whether all was as it must be.
    pub(crate) passed: bool,
    /// Why not.
    pub(crate) failures: Vec<String>,
    /// The figures.
    pub(crate) figures: Vec<Figure>,
    /// How long things took.
    pub(crate) latencies: Vec<Latency>,
    /// The course of it.
    pub(crate) series: Vec<Series>,
}

/// Something that was asked for, or that the run depends on.
#[derive(Serialize, Deserialize)]
pub(crate) struct Setting {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// More of it.
    Higher,
    /// Less of it.
    Lower,
}

/// One figure.
#[derive(Serialize, Deserialize)]
pub(crate) struct Figure {
    /// A stable name.
    pub(crate) name: String,
    /// For people.
    pub(crate) label: String,
    /// The value.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: String,
    /// Which way is better, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) better: Option<Better>,
}

/// How long something took.
#[derive(Serialize, Deserialize)]
pub(crate) struct Latency {
    /// A stable name.
    pub(crate) name: String,
    /// For people.
    pub(crate) label: String,
    /// The usual figures, in milliseconds.
    pub(crate) millis: Millis,
    /// The whole distribution, in microseconds.
    pub(crate) histogram: Timing,
}

/// Something over time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    /// A stable name.
    pub(crate) name: String,
    /// For people.
    pub(crate) label: String,
    /// Of what.
    pub(crate) unit: String,
    /// Seconds since the start, and the value.
    pub(crate) points: Vec<[f64; 2]>,
}

impl Series {
    /// A series.
    pub(crate) fn of(name: &str, label: &str, unit: &str, points: Vec<[f64; 2]>) -> Self {
        Self { name: name.to_owned(), label: label.to_owned(), unit: unit.to_owned(), points }
    }
}

impl RunResult {
    /// A result of a run that ends now, with nothing in it but what the server and the tool used.
    pub(crate) fn of(command: &str, started_at: String, course: &Course) -> Self {
        Self {
            form: FORM,
            command: command.to_owned(),
            started_at,
            seconds: course.elapsed().as_secs_f64(),
            settings: Vec::new(),
            passed: true,
            failures: course.whole().faults.clone(),
            figures: Vec::new(),
            latencies: Vec::new(),
            series: course.sampler.series(),
        }
    }

    /// Adds what was asked for.
    pub(crate) fn setting(&mut self, name: &str, value: impl std::fmt::Display) {
        self.settings.push(Setting { name: name.to_owned(), value: value.to_string() });
    }

    /// Adds a figure.
    pub(crate) fn figure(&mut self, name: &str, label: &str, value: f64, unit: &str, better: Option<Better>) {
        // JSON has no other numbers.
        if value.is_finite() {
            let (name, label, unit) = (name.to_owned(), label.to_owned(), unit.to_owned());
            self.figures.push(Figure { name, label, value, unit, better });
        }
    }

    /// Adds how long something took and its course, if it happened at all.
    pub(crate) fn latency(&mut self, course: &Course, name: &str, label: &str) {
        if let Some(timing) = course.whole().timings.get(name) {
            self.distribution(name, label, timing);
            self.series.extend(course.times(name, label));
        }
    }

    /// Adds how long something took.
    pub(crate) fn distribution(&mut self, name: &str, label: &str, timing: &Timing) {
        let (name, label, millis) = (name.to_owned(), label.to_owned(), timing.millis());
        self.latencies.push(Latency { name, label, millis, histogram: timing.clone() });
    }

    /// Something was not as it must be.
    pub(crate) fn fail(&mut self, why: impl Into<String>) {
        self.passed = false;
        self.failures.push(why.into());
    }

    /// Writes it, if a file is named, and tells it to a person.
    pub(crate) fn finish(&self, json: Option<&Path>) -> anyhow::Result<std::process::ExitCode> {
        self.print();
        if let Some(path) = json {
            std::fs::write(path, serde_json::to_vec_pretty(self)?).with_context(|| path.display().to_string())?;
        }
        Ok(if self.passed { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE })
    }

    /// Reads a result that was written before.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let bytes = std::fs::metadata(path).with_context(named)?.len();
        ensure!(bytes <= FILE_BYTES_MAX, "{} has {bytes} bytes: too large for a result", path.display());
        let text = std::fs::read_to_string(path).with_context(named)?;
        let read: Self = serde_json::from_str(&text).with_context(|| format!("{} is no result", path.display()))?;
        ensure!(read.form == FORM, "{} has form {}, this tool reads {FORM}", path.display(), read.form);
        Ok(read)
    }

    #[allow(clippy::print_stdout, reason = "this is what the command is for")]
    fn print(&self) {
        let settings: Vec<_> = self.settings.iter().map(|it| format!("{} {}", it.name, it.value)).collect();
        println!("{}: {}", self.command, settings.join(" · "));
        for Figure { label, value, unit, .. } in &self.figures {
            println!("  {label:<32} {:>12} {unit}", written(*value));
        }
        for Latency { label, millis, .. } in &self.latencies {
            let Millis { count, mean, p50, p90, p99, p999, max } = millis;
            println!(
                "  {label:<32} mean {mean:.2}  p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms  ({count})"
            );
        }
        for failure in &self.failures {
            println!("  ! {failure}");
        }
        println!("{}", if self.passed { "passed" } else { "FAILED" });
    }
}

/// A value with as many digits as mean something.
pub(crate) fn written(value: f64) -> String {
    let digits = if value.abs() >= 100.0 || value.fract() == 0.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::meter::Meter;
    use crate::usage::Sampler;

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let meter = Meter::default();
        meter.time("welcome", Duration::from_millis(3));
        meter.fault("lost", || "one lost".into());
        let mut course = Course::start(Sampler::of(None, Vec::new()));
        course.add(&meter.take()).unwrap();
        let mut result = RunResult::of("flood", "2026-01-01T00:00:00Z".into(), &course);
        result.setting("sessions", 3);
        result.figure("rate", "connects a second", 1.5, "/s", Some(Better::Higher));
        result.figure("none", "no number", f64::NAN, "", None);
        result.latency(&course, "welcome", "to the welcome");
        result.fail("1 lost");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        assert_eq!(result.finish(Some(&path)).unwrap(), std::process::ExitCode::FAILURE);
        let read = RunResult::read(&path).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&result).unwrap());
        assert_eq!((read.figures.len(), read.latencies[0].millis.count), (1, 1));
        assert_eq!(read.failures, ["one lost", "1 lost"]);
        std::fs::write(&path, r#"{"form":1}"#).unwrap();
        assert!(RunResult::read(&path).is_err());
    }

    #[test]
    fn values_have_the_digits_that_mean_something() {
        for (value, text) in [(15_000.0, "15000"), (0.0, "0"), (3.456, "3.46"), (34.56, "34.6"), (345.6, "346")] {
            assert_eq!(written(value), text);
        }
    }
}

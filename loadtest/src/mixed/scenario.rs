//! A mix of scenarios as a file describes it. A bad file is refused with the name of the field.

use std::time::Duration;

use anyhow::{Context, ensure};
use http::Method;
use serde::Deserialize;

use crate::length;

/// The mix that comes with the tool.
const WALLET: &str = include_str!("../../scenarios/wallet.toml");
/// The largest file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most load of a phase, in percent.
const LOAD_MAX: u32 = 1_000;
/// The longest phase.
const PHASE_MAX: Duration = Duration::from_hours(2);
/// What may stand in braces in a path or body.
pub(super) const PLACEHOLDERS: [&str; 7] = ["email", "password", "handle", "id", "name", "other", "amount"];

/// Scenarios, and the phases in which they are played.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mix {
    /// What it is called.
    pub(super) name: String,
    /// Scenarios begun a second at a load of 100 %.
    pub(super) rate: u32,
    /// How many people take part.
    pub(super) people: u16,
    /// How many connections they share.
    pub(super) connections: u16,
    /// One after the other.
    #[serde(rename = "phase")]
    pub(super) phases: Vec<Phase>,
    /// Drawn by weight.
    #[serde(rename = "scenario")]
    pub(super) scenarios: Vec<Scenario>,
}

/// A time of one load.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Phase {
    /// What it is called.
    pub(super) name: String,
    /// In percent of the rate.
    pub(super) load: u32,
    /// How long it lasts.
    #[serde(rename = "for", deserialize_with = "length::read")]
    pub(super) length: Duration,
    /// Whether it counts.
    #[serde(default = "yes")]
    pub(super) measured: bool,
}

/// Something people do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// What it is called.
    pub(super) name: String,
    /// How often it is drawn, beside the others' weights.
    pub(super) weight: u32,
    /// One after the other.
    #[serde(rename = "step")]
    pub(super) steps: Vec<Step>,
}

/// One request, and what it must be like.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// What it is called; its own in the whole mix.
    pub(super) name: String,
    /// As in `GET /health`.
    pub(super) request: String,
    /// A JSON body.
    pub(super) body: Option<String>,
    /// Who asks.
    #[serde(default, rename = "as")]
    pub(super) by: By,
    /// Whether it carries an idempotency key.
    #[serde(default)]
    pub(super) key: bool,
    /// The statuses of a success.
    pub(super) expect: Vec<u16>,
    /// 99 of 100 take no longer, in the measured phases.
    #[serde(deserialize_with = "length::read")]
    pub(super) p99: Duration,
    /// At most so many fail, in percent.
    pub(super) errors: f64,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum By {
    /// A person, with an access token.
    #[default]
    Person,
    /// Anybody, without one.
    Nobody,
}

fn yes() -> bool {
    true
}

impl Mix {
    /// The mix of this name, or of this file.
    pub(super) fn load(name: &str) -> anyhow::Result<Self> {
        if name == "wallet" {
            return Self::parse(WALLET).context("the wallet mix");
        }
        let bytes = std::fs::metadata(name).with_context(|| format!("no scenario and no file: {name}"))?.len();
        ensure!(bytes <= FILE_BYTES_MAX, "{name} has {bytes} bytes, at most {FILE_BYTES_MAX} are read");
        let text = std::fs::read_to_string(name).with_context(|| name.to_owned())?;
        Self::parse(&text).with_context(|| name.to_owned())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let reader = toml::Deserializer::parse(text)?;
        let mix: Self = serde_path_to_error::deserialize(reader)
            .map_err(|error| anyhow::anyhow!("`{}`: {}", error.path(), error.inner().message()))?;
        mix.check()?;
        Ok(mix)
    }

    /// What types do not say.
    fn check(&self) -> anyhow::Result<()> {
        ensure!((1..=100_000).contains(&self.rate), "`rate`: 1 to 100000");
        ensure!((2..=10_000).contains(&self.people), "`people`: 2 to 10000");
        ensure!((1..=10_000).contains(&self.connections), "`connections`: 1 to 10000");
        ensure!(self.phases.iter().any(|phase| phase.measured), "`phase`: at least one is measured");
        for (index, phase) in self.phases.iter().enumerate() {
            let at = format!("phase[{index}]");
            ensure!((1..=LOAD_MAX).contains(&phase.load), "`{at}.load`: 1 to {LOAD_MAX} percent");
            ensure!(!phase.length.is_zero() && phase.length <= PHASE_MAX, "`{at}.for`: above 0 and at most 2 hours");
        }
        let mut names = std::collections::HashSet::new();
        for (index, scenario) in self.scenarios.iter().enumerate() {
            ensure!((1..=10_000).contains(&scenario.weight), "`scenario[{index}].weight`: 1 to 10000");
            ensure!(!scenario.steps.is_empty(), "`scenario[{index}].step`: {} has none", scenario.name);
            for (number, step) in scenario.steps.iter().enumerate() {
                let at = format!("scenario[{index}].step[{number}]");
                step.check(&at)?;
                ensure!(names.insert(&step.name), "`{at}.name`: another step is called {}, too", step.name);
            }
        }
        ensure!(!self.scenarios.is_empty(), "`scenario`: there is none");
        Ok(())
    }

    /// The scenario of a number drawn from all weights.
    pub(super) fn pick(&self, drawn: u64) -> Option<&Scenario> {
        let all: u64 = self.scenarios.iter().map(|scenario| u64::from(scenario.weight)).sum();
        let mut left = drawn.checked_rem(all)?;
        self.scenarios.iter().find(|scenario| {
            let weight = u64::from(scenario.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        })
    }
}

impl Step {
    fn check(&self, at: &str) -> anyhow::Result<()> {
        self.line().with_context(|| format!("`{at}.request`: as in `GET /health`, not `{}`", self.request))?;
        for (field, text) in [("request", Some(&self.request)), ("body", self.body.as_ref())] {
            for name in text.into_iter().flat_map(|text| placeholders(text)) {
                ensure!(PLACEHOLDERS.contains(&name), "`{at}.{field}`: {{{name}}} is none of {PLACEHOLDERS:?}");
            }
        }
        ensure!(!self.expect.is_empty(), "`{at}.expect`: at least one status");
        ensure!(self.expect.iter().all(|status| (100..600).contains(status)), "`{at}.expect`: a status is 100 to 599");
        ensure!((0.0..=100.0).contains(&self.errors), "`{at}.errors`: 0 to 100 percent");
        ensure!(!self.p99.is_zero(), "`{at}.p99`: above 0");
        Ok(())
    }

    /// The method and the path.
    pub(super) fn line(&self) -> Option<(Method, &str)> {
        let (method, path) = self.request.split_once(' ')?;
        let method = ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method).then(|| method.parse().ok())??;
        (path.starts_with('/') && !path.contains(char::is_whitespace)).then_some((method, path))
    }
}

/// What stands in braces, if it is one word: JSON's own braces never are.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        (!name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase())).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wallet_mix_is_what_it_is_said_to_be() {
        let mix = Mix::load("wallet").unwrap();
        let weights: Vec<_> = mix.scenarios.iter().map(|it| (it.name.as_str(), it.weight)).collect();
        assert_eq!(weights, [("sign-in", 30), ("balance and deposit", 25), ("search", 25), ("health", 20)]);
        let loads: Vec<_> = mix.phases.iter().map(|phase| (phase.load, phase.measured)).collect();
        assert_eq!(loads, [(10, false), (10, true), (30, true), (50, true), (80, true), (100, true), (10, false)]);
        let drawn: Vec<_> =
            [0, 29, 30, 54, 55, 79, 80, 99, 100].iter().map(|at| mix.pick(*at).unwrap().weight).collect();
        assert_eq!(drawn, [30, 30, 25, 25, 25, 25, 20, 20, 30]);
    }

    #[test]
    fn bad_files_are_refused_by_the_name_of_the_field() {
        for (change, to, named) in [
            ("rate = 80", "rate = \"many\"", "`rate`"),
            ("rate = 80", "rate = 0", "`rate`"),
            ("rate = 80", "speed = 80", "speed"),
            ("for = \"20s\"", "for = \"20 parsecs\"", "`phase[5].for`"),
            ("load = 80", "load = 0", "`phase[4].load`"),
            ("weight = 20", "weight = -1", "`scenario[3].weight`"),
            ("\"GET /health\"", "\"FETCH /health\"", "`scenario[3].step[0].request`"),
            ("{email}", "{mail}", "`scenario[0].step[0].body`"),
            ("expect = [201]", "expect = []", "`scenario[1].step[1].expect`"),
            ("expect = [201]", "", "expect"),
            ("p99 = \"300ms\"", "p99 = 300", "`scenario[3].step[0].p99`"),
            ("name = \"search\"\nrequest", "name = \"health\"\nrequest", "called health"),
        ] {
            assert!(WALLET.contains(change), "{change}");
            let error = Mix::parse(&WALLET.replacen(change, to, 1)).map(|_| ()).unwrap_err();
            assert!(format!("{error:#}").contains(named), "{to}: {error:#}");
        }
        assert!(Mix::parse("name = [").is_err());
        assert!(Mix::load("no/such/file.toml").is_err());
    }
}

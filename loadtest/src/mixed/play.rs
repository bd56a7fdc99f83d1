//! Playing scenarios, each when it is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::http::{Ask, Client, Target};
use crate::length::float;
use crate::meter::Meter;
use crate::pace::{Pace, Ticket};
use crate::person::{PASSWORD, Person};

use super::scenario::{By, Mix, Phase, Step};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The count of all steps.
pub(super) const STEPS: &str = "steps";

/// The name of a step's time.
pub(super) fn timed(step: &str) -> String {
    format!("step {step}")
}

/// The name of the count of a step's successes.
pub(super) fn done(step: &str) -> String {
    format!("done {step}")
}

/// The name of the count of a step's failures.
pub(super) fn failed(step: &str) -> String {
    format!("failed {step}")
}

/// The name of a phase's time.
pub(super) fn phase(phase: &str) -> String {
    format!("phase {phase}")
}

/// What all connections of a phase share.
pub(super) struct Player {
    target: Target,
    run: String,
    people: Arc<[Person]>,
    mix: Arc<Mix>,
    phase: String,
    load: u32,
    measured: bool,
    meter: Arc<Meter>,
}

impl Player {
    /// For one phase.
    pub(super) fn of(
        target: &Target,
        run: &str,
        people: &Arc<[Person]>,
        mix: &Arc<Mix>,
        phase: &Phase,
        meter: &Arc<Meter>,
    ) -> Self {
        Self {
            target: target.clone(),
            run: format!("{run}-{}", rand::random::<u16>()),
            people: Arc::clone(people),
            mix: Arc::clone(mix),
            phase: phase.name.clone(),
            load: phase.load,
            measured: phase.measured,
            meter: Arc::clone(meter),
        }
    }

    /// Scenarios a second in this phase; at least one.
    pub(super) fn rate(&self) -> u32 {
        (u64::from(self.mix.rate) * u64::from(self.load)).div_ceil(100).try_into().unwrap_or(u32::MAX)
    }

    /// Plays one scenario after the other, each when it is due.
    pub(super) async fn play(self: Arc<Self>, pace: Arc<Pace>) {
        let mut client = Client::new(self.target.clone(), PATIENCE);
        while let Some(Ticket { number, due }) = pace.next().await {
            // Spread by the golden ratio, so that neither people nor scenarios come in turns.
            let drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let Some(scenario) = self.mix.pick(drawn >> 32) else { return };
            let mut due = due;
            for (at, step) in scenario.steps.iter().enumerate() {
                let key = format!("{}-{number}-{at}", self.run);
                let right = self.step(&mut client, step, drawn, &key).await;
                if self.measured {
                    self.meter.count(if right { done(&step.name) } else { failed(&step.name) });
                    if right {
                        self.meter.time(timed(&step.name), due.elapsed());
                        self.meter.time(phase(&self.phase), due.elapsed());
                    }
                }
                self.meter.count(STEPS);
                due = Instant::now();
                if !right {
                    break;
                }
            }
        }
    }

    /// Whether a step is answered as it must be.
    async fn step(&self, client: &mut Client, step: &Step, drawn: u64, key: &str) -> bool {
        let person = |number: u64| {
            let index = usize::try_from(number).unwrap_or(0).checked_rem(self.people.len())?;
            self.people.get(index)
        };
        let (Some(one), Some(other)) = (person(drawn & 0xffff), person((drawn & 0xffff) + 1)) else { return false };
        let Some((method, path)) = step.line() else { return false };
        let fill = |text: &str| filled(text, one, other, drawn);
        let (path, body) = (fill(path), step.body.as_deref().map(fill));
        let ask = Ask {
            method,
            path: &path,
            token: (step.by == By::Person).then_some(one.token.as_str()),
            key: step.key.then_some(key),
            body: body.map(Into::into),
        };
        client.ask(ask).await.is_ok_and(|answer| step.expect.contains(&answer.status.as_u16()))
    }
}

/// Text with what stands in braces put in.
fn filled(text: &str, person: &Person, other: &Person, drawn: u64) -> String {
    let cents = drawn % 10_000 + 1;
    text.replace("{email}", person.email())
        .replace("{password}", PASSWORD)
        .replace("{handle}", &person.handle)
        .replace("{id}", &person.id.to_string())
        .replace("{name}", person.first_name())
        .replace("{other}", &other.handle)
        .replace("{amount}", &format!("{:.2}", float(cents) / 100.0))
}

#[cfg(test)]
mod tests {
    use super::super::scenario::PLACEHOLDERS;
    use super::*;

    #[test]
    fn every_placeholder_is_filled() {
        let (one, other) = (Person::named(1), Person::named(2));
        for name in PLACEHOLDERS {
            let text = format!(r#"{{"it":"{{{name}}}"}}"#);
            let filled = filled(&text, &one, &other, 122);
            assert!(!filled.contains(&format!("{{{name}}}")), "{filled}");
            assert!(serde_json::from_str::<serde_json::Value>(&filled).is_ok(), "{filled}");
        }
        assert_eq!(filled("{amount} {other}", &one, &other, 122), format!("1.23 {}", other.handle));
    }
}

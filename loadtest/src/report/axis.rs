//! Axes: which values stand at them.

/// The most digits behind the point of a mark.
const DIGITS_MAX: usize = 4;

/// A range of values with round marks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// The smallest value.
    pub(super) least: f64,
    /// The largest.
    pub(super) most: f64,
    /// Where marks stand, and what is written there.
    pub(super) marks: Vec<(f64, String)>,
    logarithmic: bool,
}

impl Axis {
    /// From 0 to at least `most`, with about `count` marks.
    pub(super) fn linear(most: f64, count: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let rough = most / count;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let steps = (most / step - 1e-9).ceil().max(1.0);
        let mut marks = Vec::new();
        let mut at = 0.0;
        while at <= steps {
            marks.push((at * step, shown(at * step, step)));
            at += 1.0;
        }
        Self { least: 0.0, most: steps * step, marks, logarithmic: false }
    }

    /// By powers of ten, from below `least` to above `most`; both must be above 0.
    pub(super) fn logarithmic(least: f64, most: f64) -> Self {
        let (first, last) = (least.log10().floor(), most.log10().ceil());
        let last = if last > first { last } else { first + 1.0 };
        let mut marks = Vec::new();
        let mut power = first;
        while power <= last {
            let value = 10_f64.powf(power);
            marks.push((value, shown(value, value)));
            power += 1.0;
        }
        Self { least: 10_f64.powf(first), most: 10_f64.powf(last), marks, logarithmic: true }
    }

    /// The same up to another value, which need not be round.
    pub(super) fn up_to(self, most: f64) -> Self {
        Self { most, ..self }
    }

    /// The same with other marks.
    pub(super) fn marked(self, marks: Vec<(f64, String)>) -> Self {
        Self { marks, ..self }
    }

    /// Where a value stands: 0 at the least, 1 at the most.
    pub(super) fn place(&self, value: f64) -> f64 {
        let at = if self.logarithmic {
            (value.max(self.least).log10() - self.least.log10()) / (self.most.log10() - self.least.log10())
        } else {
            (value - self.least) / (self.most - self.least)
        };
        at.clamp(0.0, 1.0)
    }
}

/// A mark as it is written, with as many digits as its step needs.
fn shown(value: f64, step: f64) -> String {
    if value.abs() >= 10_000.0 {
        let thousands = value / 1000.0;
        let digits = usize::from(thousands.fract() != 0.0);
        return format!("{thousands:.digits$}k");
    }
    let is_whole = |digits: &usize| {
        let scaled = step * 10_f64.powi(i32::try_from(*digits).unwrap_or(0));
        (scaled - scaled.round()).abs() < 1e-6
    };
    let digits = (0..DIGITS_MAX).find(is_whole).unwrap_or(DIGITS_MAX);
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(axis: &Axis) -> Vec<&str> {
        axis.marks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn marks_are_round_and_hold_all_values() {
        assert_eq!(written(&Axis::linear(9.3, 5.0)), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(written(&Axis::linear(1.0, 5.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(written(&Axis::linear(15_000.0, 4.0)), ["0", "5000", "10k", "15k"]);
        assert_eq!(written(&Axis::linear(0.0, 2.0)), ["0.0", "0.5", "1.0"]);
        assert_eq!(written(&Axis::linear(0.5, 2.0)), ["0.00", "0.25", "0.50"]);
        assert_eq!(written(&Axis::logarithmic(0.3, 250.0)), ["0.1", "1", "10", "100", "1000"]);
    }

    #[test]
    fn values_have_their_places() {
        let axis = Axis::linear(100.0, 5.0);
        assert!((axis.place(25.0) - 0.25).abs() < 1e-9);
        assert!((axis.place(900.0) - 1.0).abs() < 1e-9, "what is beyond stands at the edge");
        let axis = Axis::logarithmic(1.0, 100.0);
        assert!((axis.place(10.0) - 0.5).abs() < 1e-9);
        assert!(axis.place(0.0).abs() < 1e-9);
    }
}

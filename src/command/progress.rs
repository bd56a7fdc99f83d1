//! A progress bar on stderr, for a person who waits.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::node::stores::Progress;

/// A bar over bytes of log. Draws nothing where stderr is no terminal.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar for this work, drawn once there is progress.
    pub fn new(what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let template = "{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    /// The work is so far.
    pub fn at(&self, progress: Progress) {
        self.0.set_length(progress.of);
        self.0.set_position(progress.done.min(progress.of));
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

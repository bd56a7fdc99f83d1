//! What an operation says while it runs: lines for stdout, and progress for a bar on stderr.

use std::io::Write;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::command::progress::Bar;
use crate::node::stores::Progress;

/// How much may wait to be printed or sent; then lines wait, and progress is passed over.
const WAITING_MAX: usize = 256;

/// One thing that an operation says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "said")]
pub enum Said {
    /// A line.
    Line {
        /// The line.
        text: String,
    },
    /// How far it is.
    Progress {
        /// Of `of`.
        done: u64,
        /// All of it.
        of: u64,
    },
}

/// Where an operation says something.
#[derive(Clone, Debug)]
pub struct Output(mpsc::Sender<Said>);

impl Output {
    /// An output, and what is said on it.
    pub fn new() -> (Self, mpsc::Receiver<Said>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), receiver)
    }

    /// Says a line. One that nobody hears any more is lost.
    pub async fn line(&self, text: impl Into<String>) {
        self.0.send(Said::Line { text: text.into() }).await.ok();
    }

    /// Says how far it is, unless too much waits already.
    pub fn progress(&self, progress: Progress) {
        self.0.try_send(Said::Progress { done: progress.done, of: progress.of }).ok();
    }

    /// Says what was said elsewhere.
    pub async fn repeat(&self, said: Said) {
        self.0.send(said).await.ok();
    }

    /// Whether nobody listens any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// An output to the terminal, with a bar of this name. It ends when the output is dropped.
pub fn printer(name: &'static str) -> (Output, JoinHandle<()>) {
    let (output, mut said) = Output::new();
    let printing = tokio::spawn(async move {
        let bar = Bar::new(name);
        while let Some(said) = said.recv().await {
            match said {
                Said::Progress { done, of } => bar.at(Progress { done, of, records: 0 }),
                Said::Line { text } => {
                    bar.clear();
                    // A reader that has gone away, as of `| head`, hears no more.
                    writeln!(std::io::stdout().lock(), "{text}").ok();
                }
            }
        }
        bar.clear();
    });
    (output, printing)
}

//! Reading streams for followers that are behind, at their own pace, and for what is sent again.

use std::sync::Arc;
use std::time::Duration;

use protocol::frame::GapReason;

use crate::outbox::lane::{Heard, Spliced};
use crate::outbox::{CloseCode, frame};
use crate::streams::Streams;
use crate::streams::follow::Follow;
use crate::streams::topic::Unreadable;

/// Events read at a time for a follower that is behind.
const PAGE: usize = 64;

/// The most messages that are replayed. Beyond it the client is told of a gap and pages by HTTP.
pub(crate) const REPLAY_MAX: u64 = 1_000;

/// Bytes in the outbox above which a follower that is behind is not given more: it would be closed as
/// too slow for what it could not know of.
pub(super) const OUTBOX_BYTES: usize = 64 << 10;

/// How long a follower that is behind waits before it looks whether its outbox has drained: the first time, and at
/// most, so that a thousand clients that do not read cost nothing that others feel.
const OUTBOX_WAIT: Duration = Duration::from_millis(5);
const OUTBOX_WAIT_MAX: Duration = Duration::from_millis(320);

/// How long to wait when a stream cannot be read.
const RETRY: Duration = Duration::from_millis(500);

/// Whether reading goes on.
enum Step {
    On,
    End,
}

/// Reads until nothing is left that was not heard, then goes live; or until the window is full, or it is over.
pub(super) async fn bring_up(streams: &Streams, follow: &Arc<Follow>) {
    let mut wait = OUTBOX_WAIT;
    while !follow.is_over() {
        if follow.outbox_bytes() > OUTBOX_BYTES {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(OUTBOX_WAIT_MAX);
            continue;
        }
        wait = OUTBOX_WAIT;
        match page(streams, follow).await {
            Ok(Step::On) => {
                // A store that answers at once gives no other task a turn.
                tokio::task::yield_now().await;
            }
            Ok(Step::End) => return,
            Err(error) => {
                tracing::warn!(%error, stream = %follow.topic().stream, "a follower cannot be brought up");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Reads one page.
async fn page(streams: &Streams, follow: &Arc<Follow>) -> Result<Step, Unreadable> {
    let (topic, policy) = (follow.topic(), streams.policy(follow.class()));
    let heard = follow.heard();
    let room = usize::try_from(follow.room(policy)).unwrap_or(usize::MAX).max(1);
    let messages = topic.source.after(topic, heard, PAGE.min(room)).await?;
    // Asked after reading: who was put out before any of these became durable is not let in by an older answer.
    if !topic.source.may_hear(topic, follow.follower().user).await? {
        streams.put_out(follow);
        return Ok(Step::End);
    }
    let Some(first) = messages.first() else {
        return Ok(match follow.splice(streams.at(follow.class())) {
            Spliced::Done => Step::End,
            Spliced::ReadOn => Step::On,
        });
    };
    if first.offset != heard.saturating_add(1) {
        let floor = topic.source.floor(topic.stream).await?;
        if floor > heard {
            follow.skip_to(heard.saturating_add(1), floor, GapReason::Expired);
            return Ok(Step::On);
        }
        // Views and journal disagree. Nothing may be skipped in silence, so nothing more is said.
        tracing::error!(stream = %topic.stream, after = heard, "a stream has a hole");
        follow.close(CloseCode::SessionFailed, "the stream cannot be read");
        return Ok(Step::End);
    }
    if !follow.class().is_tracked() && messages.len() == PAGE {
        let head = topic.source.head(topic.stream).await?;
        if head.saturating_sub(heard) > REPLAY_MAX {
            follow.skip_to(heard.saturating_add(1), head, GapReason::Shed);
            return Ok(Step::On);
        }
    }
    for message in messages {
        let at = streams.at(follow.class());
        if follow.hear(message.offset, frame::text(message.text.as_str()), at) == Heard::Paused {
            return Ok(Step::End);
        }
        streams.stats().sent(follow.class(), 1);
    }
    Ok(Step::On)
}

/// Sends messages again: offsets in order, each with its attempt.
pub(super) async fn resend(streams: &Streams, follow: &Arc<Follow>, due: &[(u64, u32)]) -> Result<(), Unreadable> {
    let topic = follow.topic();
    let mut rest = due;
    while let Some((first, _)) = rest.first() {
        if follow.is_over() {
            return Ok(());
        }
        // One read for all that lie close together.
        let near = rest.partition_point(|(offset, _)| offset.saturating_sub(*first) < PAGE as u64);
        let messages = topic.source.after(topic, first.saturating_sub(1), PAGE).await?;
        for (offset, attempt) in &rest[..near] {
            // What retention has taken since is not sent again; the client hears of it when it resumes.
            let Some(message) = messages.iter().find(|message| message.offset == *offset) else { continue };
            if follow.resend(*offset, *attempt, frame::text(&message.text.attempt(*attempt))) {
                streams.stats().retried(follow.class());
            }
        }
        rest = &rest[near..];
    }
    Ok(())
}

//! What a session follows: where each stream begins for it, and how far its device is.

use std::sync::Arc;

use protocol::code::Code;
use protocol::frame::client::Subscription;
use protocol::frame::server::{Gap, Subscribed};
use protocol::frame::{GapReason, Place, ServerFrame, StreamName};

use super::cursor::DeviceCursor;
use super::{SessionContext, SessionState};
use crate::streams::REPLAY_MAX;
use crate::streams::follow::{Follow, Follower};
use crate::streams::topic::Topic;

/// A stream that a session follows.
pub(super) struct Following {
    pub(super) follow: Arc<Follow>,
    /// The device's place in it, if the client said its name.
    pub(super) cursor: Option<DeviceCursor>,
}

impl Following {
    /// Writes how far the device is.
    pub(super) async fn settle(&mut self, context: &SessionContext) {
        if let Some(cursor) = &mut self.cursor {
            cursor.write(context, self.follow.cursor()).await;
        }
    }
}

impl SessionState {
    /// The stream of this name, and the device's place in it if the server knows one.
    pub(super) async fn known(&self, name: &StreamName) -> Result<(Arc<Topic>, Option<Place>), Code> {
        let topic = self.context.topics.topic(&self.rights, name).await?;
        let Some(device) = self.device else { return Ok((topic, None)) };
        match self.context.deliveries.cursor(self.rights.user, device, topic.stream).await {
            Ok(cursor) => {
                let place = cursor.map(|cursor| Place { epoch: cursor.epoch.into(), offset: cursor.offset });
                Ok((topic, place))
            }
            Err(error) => {
                tracing::error!(%error, "a cursor cannot be read");
                Err(Code::Busy)
            }
        }
    }

    /// Follows a stream: from `after`, else from the place remembered, else from its head. Following what is followed
    /// already begins it anew.
    pub(super) async fn subscribe(
        &mut self,
        id: Option<Box<str>>,
        subscription: &Subscription,
        known: Result<(Arc<Topic>, Option<Place>), Code>,
    ) {
        let name = subscription.stream.clone();
        let followed = match known {
            Ok((topic, remembered)) => {
                self.unsubscribe(&name).await;
                self.follow(id.clone(), topic, subscription, remembered.as_ref()).await
            }
            Err(code) => Err(code),
        };
        match followed {
            Ok(following) => {
                self.followed.add(&following.follow);
                self.following.push(following);
            }
            Err(code) => self.refuse(id, Some(name), code),
        }
    }

    async fn follow(
        &self,
        id: Option<Box<str>>,
        topic: Arc<Topic>,
        subscription: &Subscription,
        remembered: Option<&Place>,
    ) -> Result<Following, Code> {
        let streams = &self.context.streams;
        let follower = Follower { user: self.rights.user, device: self.device };
        // Followed first, and the head read after: what is durable later is buffered, what was before is
        // at or below the head.
        let follow = streams.follow(Arc::clone(&topic), follower, Arc::clone(&self.outbox));
        let follow = follow.ok_or(Code::TooManyStreams)?;
        let begun = self.place(&topic, subscription, remembered).await;
        let (head, from, gap, cursor) = begun.inspect_err(|_| streams.unfollow(&follow))?;
        let epoch = streams.epoch().into();
        self.send(&ServerFrame::Subscribed(Subscribed { id, stream: topic.name.clone(), epoch, head, from }));
        if let Some((from, to, reason)) = gap {
            self.send(&ServerFrame::Gap(Gap { stream: topic.name.clone(), from, to, reason }));
        }
        streams.begin(&follow, from, head);
        if follow.is_cancelled() {
            // They left and came back while this began, and were told of the first only.
            self.refuse(None, Some(topic.name.clone()), Code::NotAMember);
        }
        self.offer_again(&follow).await;
        Ok(Following { follow, cursor })
    }

    /// Dead letters that tell of the stream: those that are redriven are offered now.
    async fn offer_again(&self, follow: &Arc<Follow>) {
        if !follow.class().is_tracked() {
            return;
        }
        let streams = &self.context.streams;
        match self.context.deliveries.open_dead_letters(self.rights.user, follow.topic().stream).await {
            Ok(letters) if letters.is_empty() => {}
            Ok(letters) => {
                streams.mark_dead(self.rights.user, follow.topic().stream);
                letters
                    .iter()
                    .filter(|letter| letter.redrive)
                    .for_each(|letter| streams.offer_to(follow, letter, false));
            }
            // They are offered at the next connection.
            Err(error) => tracing::warn!(%error, "dead letters cannot be read"),
        }
    }

    /// Where a subscription begins: the stream's head, the offset after which messages follow, what is skipped, and
    /// the place of the device, durable if it is its first.
    async fn place(
        &self,
        topic: &Topic,
        subscription: &Subscription,
        remembered: Option<&Place>,
    ) -> Result<(u64, u64, Option<Skipped>, Option<DeviceCursor>), Code> {
        let epoch = self.context.streams.epoch();
        let head = topic.source.head(topic.stream).await.map_err(|error| {
            tracing::warn!(%error, "a stream's head cannot be read");
            Code::Busy
        })?;
        // Asked again, now that what puts the follower out finds it.
        let allowed = topic.source.may_hear(topic, self.rights.user).await.map_err(|error| {
            tracing::warn!(%error, "who may follow a stream cannot be known");
            Code::Busy
        })?;
        if !allowed {
            return Err(Code::StreamUnknown);
        }
        let (from, gap) = match (&subscription.after, subscription.last) {
            (Some(after), _) => start(epoch, head, Some(after)),
            (None, Some(last)) => (head.saturating_sub(u64::from(last).min(REPLAY_MAX)), None),
            (None, None) => start(epoch, head, remembered),
        };
        let Some(device) = self.device else { return Ok((head, from, gap, None)) };
        let mut cursor = DeviceCursor::new(self.rights.user, device, topic.stream, epoch.to_owned());
        if remembered.is_some() {
            cursor.resume(from);
        } else {
            cursor.begin(&self.context, from).await.map_err(|_| Code::Busy)?;
        }
        // After the place: who forgets a person without one then finds it, or is done before.
        self.context.streams.subscribe(topic).await.map_err(|error| {
            tracing::error!(%error, "a subscription cannot be written");
            Code::Busy
        })?;
        Ok((head, from, gap, Some(cursor)))
    }

    /// Follows a stream no more. What was acknowledged of it is written.
    pub(super) async fn unsubscribe(&mut self, stream: &StreamName) {
        let Some(index) = self.following.iter().position(|other| other.follow.topic().name == *stream) else { return };
        let mut following = self.following.swap_remove(index);
        self.followed.remove(&following.follow);
        following.settle(&self.context).await;
        self.context.streams.unfollow(&following.follow);
    }

    pub(super) fn following(&mut self, stream: &StreamName) -> Option<&mut Following> {
        self.following.iter_mut().find(|following| following.follow.topic().name == *stream)
    }
}

/// A range of offsets that will not come, and why.
type Skipped = (u64, u64, GapReason);

/// The offset after which a subscription begins, and what it skips.
fn start(epoch: &str, head: u64, place: Option<&Place>) -> (u64, Option<Skipped>) {
    let Some(place) = place else { return (head, None) };
    if *place.epoch != *epoch {
        return (head, Some((1.min(head), head, GapReason::Epoch)));
    }
    if place.offset > head {
        return (head, Some((head.saturating_add(1), place.offset, GapReason::Ahead)));
    }
    if head - place.offset > REPLAY_MAX {
        return (head, Some((place.offset + 1, head, GapReason::Behind)));
    }
    (place.offset, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_begins_where_it_should() {
        let at = |epoch: &str, offset| Some(Place { epoch: epoch.into(), offset });
        let cases = [
            (10, None, (10, None)),
            (10, at("e", 10), (10, None)),
            (10, at("e", 4), (4, None)),
            (0, at("e", 0), (0, None)),
            (10, at("e", 11), (10, Some((11, 11, GapReason::Ahead)))),
            (10, at("other", 4), (10, Some((1, 10, GapReason::Epoch)))),
            (1_000, at("e", 0), (0, None)),
            (1_001, at("e", 0), (1_001, Some((1, 1_001, GapReason::Behind)))),
        ];
        for (head, place, expected) in cases {
            assert_eq!(start("e", head, place.as_ref()), expected, "head {head}, {place:?}");
        }
    }
}

//! How far each device of a person is in a stream of theirs: from cursors, dead letters and connections.

use domain::delivery::person::DevicePlace;
use domain::ids::UserId;
use storage::Error;
use storage::deliveries::{Deliveries, Reason};
use uuid::Uuid;

use crate::streams::Streams;

/// How far each device is. What a connection did not acknowledge is no place of it; one that did not say its name may
/// apply a message and is owed none.
///
/// # Errors
/// The store does not answer.
pub async fn places(
    deliveries: &dyn Deliveries,
    streams: &Streams,
    user: UserId,
    stream: Uuid,
) -> Result<Vec<DevicePlace>, Error> {
    // Connections, cursors, dead letters, in this order: a place passes what is dead only after its letter is written.
    let live = streams.places(user, stream);
    let mut places = Vec::new();
    for device in deliveries.devices(user).await? {
        let cursor = deliveries.cursor(user, device.id, stream).await?;
        if let Some(cursor) = cursor.filter(|cursor| cursor.epoch == streams.epoch()) {
            places.push((Some(device.id), DevicePlace { upto: cursor.offset, counts: true, ..Default::default() }));
        }
    }
    for here in live {
        let known = places.iter_mut().find(|(device, place)| place.counts && *device == here.device);
        if let Some((_, place)) = known {
            place.upto = place.upto.max(here.upto);
            place.also.extend(here.also);
            place.also.sort_unstable();
        } else {
            // Without a name, or so new that its cursor is not to be seen.
            let counts = here.device.is_some();
            places.push((here.device, DevicePlace { upto: here.upto, also: here.also, dead: Vec::new(), counts }));
        }
    }
    let letters = deliveries.open_dead_letters(user, stream).await?;
    for letter in letters.iter().filter(|letter| letter.reason != Reason::Deadline) {
        for (_, place) in places.iter_mut().filter(|(device, _)| *device == letter.device) {
            place.dead.extend(letter.offsets);
        }
    }
    Ok(places.into_iter().map(|(_, place)| place).collect())
}

//! Names of people, cached.
//!
//! Owns at most [`CARDS_MAX`] cards, each for at most [`CARD_AGE_MAX`]. Who changes or erases a person on this node
//! calls [`People::forget`]; another node follows when the card's time is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::ids::{QuickpeId, UserId};
use moka::sync::Cache;
use protocol::http::user::Party;
use protocol::value::Handle;
use storage::Error;
use storage::identity::{Identity, Person, Status};

/// How many people's cards are kept: about 200 bytes each, so 13 MiB.
const CARDS_MAX: u64 = 65_536;

/// How long a card is shown before the identity store is asked again.
const CARD_AGE_MAX: Duration = Duration::from_mins(1);

/// What stands for the name of an erased person.
const ERASED: &str = "erased";

/// What others see of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// First and last name, or what stands for an erased person.
    pub name: Box<str>,
    /// The public handle; none if the person was erased.
    pub quickpe_id: Option<QuickpeId>,
    /// Whether money may be sent to them: neither erased nor about to be.
    pub payable: bool,
}

/// The cards of people.
pub struct People {
    identity: Arc<dyn Identity>,
    cards: Cache<UserId, Arc<Card>>,
    /// Who has a handle never changes, so this is never wrong.
    handles: Cache<QuickpeId, UserId>,
    /// How often a card was forgotten. One that was read before that and arrives after it is not kept.
    forgotten: AtomicU64,
}

impl People {
    /// The people of an identity store.
    pub fn new(identity: Arc<dyn Identity>) -> Self {
        let cards = Cache::builder().max_capacity(CARDS_MAX).time_to_live(CARD_AGE_MAX).build();
        Self { identity, cards, handles: Cache::new(CARDS_MAX), forgotten: AtomicU64::new(0) }
    }

    /// The card of a person.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn card(&self, user: UserId) -> Result<Arc<Card>, Error> {
        if let Some(card) = self.cards.get(&user) {
            return Ok(card);
        }
        let before = self.forgotten.load(Ordering::Acquire);
        let card = Arc::new(Card::of(self.identity.person(user).await?));
        if self.forgotten.load(Ordering::Acquire) == before {
            self.cards.insert(user, Arc::clone(&card));
        }
        Ok(card)
    }

    /// A person as the other side of a transfer.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn party(&self, user: UserId) -> Result<Party, Error> {
        let card = self.card(user).await?;
        Ok(Party { quickpe_id: card.quickpe_id.map(Handle), name: card.name.to_string() })
    }

    /// Who has this handle, if anybody ever had.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn by_handle(&self, id: QuickpeId) -> Result<Option<UserId>, Error> {
        if let Some(user) = self.handles.get(&id) {
            return Ok(Some(user));
        }
        let user = self.identity.person_by_quickpe_id(id).await?.map(|person| person.id());
        if let Some(user) = user {
            self.handles.insert(id, user);
        }
        Ok(user)
    }

    /// The person was changed or erased: their card is read again.
    pub fn forget(&self, user: UserId) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.cards.invalidate(&user);
    }
}

impl Card {
    /// The card of somebody; of an erased person if there is nobody.
    fn of(person: Option<Person>) -> Self {
        match person {
            Some(Person::Live(user)) => Self {
                name: format!("{} {}", user.first_name.as_str(), user.last_name.as_str()).into(),
                quickpe_id: Some(user.quickpe_id),
                payable: user.status == Status::Active,
            },
            Some(Person::Erased(_)) | None => Self { name: ERASED.into(), quickpe_id: None, payable: false },
        }
    }
}

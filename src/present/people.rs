//! People as others see them, cached: names, roles, and who was found.
//!
//! What is cached is forgotten when a person changes ([`crate::revoking`]), here and on other nodes. It stays in this
//! node's memory: what is shared by all nodes may hold a person's words only sealed, and to unseal a name costs the
//! same reading as the name.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::{QuickpeId, UserId};
use domain::room::Region;
use protocol::http::admin::CacheLevel;
use protocol::http::user::{FoundUser, Party};
use protocol::value::Handle;
use storage::Error;
use storage::identity::{Identity, Person, Role, Status, User};

use crate::cache::kept::Kept;

/// How many people's cards are kept: about 200 bytes each, so 13 MiB.
const CARDS_MAX: u64 = 65_536;

/// How many searches are kept: 20 people of 200 bytes each at most, so 8 MiB.
const SEARCHES_MAX: u64 = 2_048;

/// How long what is cached is shown before the identity store is asked again: for changes on nodes that cannot tell
/// this one.
const AGE_MAX: Duration = Duration::from_mins(1);

/// What stands for the name of an erased person.
const ERASED: &str = "erased";

/// What others see of a person, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// First and last name, or what stands for an erased person.
    pub name: Box<str>,
    /// The public handle; none if the person was erased.
    pub quickpe_id: Option<QuickpeId>,
    /// Whether money may be sent to them: neither erased nor about to be.
    pub payable: bool,
    /// What they may do and where they are; none if the person was erased.
    pub standing: Option<Standing>,
}

/// What a person may do, and where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Beyond their own account.
    pub role: Role,
    /// If that is known.
    pub region: Option<Region>,
}

/// The cards of people.
pub struct People {
    identity: Arc<dyn Identity>,
    cards: Kept<UserId, Arc<Card>>,
    /// Who has a handle never changes, so this is never wrong. Nobody is not kept: they may sign up.
    handles: Kept<QuickpeId, UserId>,
    /// Any change of anybody may change any of them.
    searches: Kept<(Box<str>, usize), Arc<[FoundUser]>>,
}

/// Why a handle leads to nobody.
enum Nobody {
    Unknown,
    Failed(Error),
}

impl People {
    /// The people of an identity store.
    pub fn new(identity: Arc<dyn Identity>) -> Self {
        Self {
            identity,
            cards: Kept::new("people", CARDS_MAX, Some(AGE_MAX)),
            handles: Kept::new("handles", CARDS_MAX, None),
            searches: Kept::new("searches", SEARCHES_MAX, Some(AGE_MAX)),
        }
    }

    /// The card of a person.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn card(&self, user: UserId) -> Result<Arc<Card>, Error> {
        let read = async || Ok(Arc::new(Card::of(self.identity.person(user).await?)));
        self.cards.get(user, |_| true, read).await
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
        let read = async || {
            let person = self.identity.person_by_quickpe_id(id).await.map_err(Nobody::Failed)?;
            person.map(|person| person.id()).ok_or(Nobody::Unknown)
        };
        match self.handles.get(id, |_| true, read).await {
            Ok(user) => Ok(Some(user)),
            Err(Nobody::Unknown) => Ok(None),
            Err(Nobody::Failed(error)) => Err(error),
        }
    }

    /// At most `limit` people, found as [`Identity::search`] does, as anybody may see them.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn find(&self, text: &str, limit: usize) -> Result<Arc<[FoundUser]>, Error> {
        let read = async || Ok(self.identity.search(text, limit).await?.iter().map(found).collect());
        self.searches.get((text.into(), limit), |_| true, read).await
    }

    /// The person is new, was changed or erased: what is shown of them is read again.
    pub fn forget(&self, user: UserId) {
        self.cards.forget(&user);
        self.searches.forget_all();
    }

    /// Anybody may have changed.
    pub fn forget_all(&self) {
        self.cards.forget_all();
        self.searches.forget_all();
    }

    /// For administrators.
    pub fn caches(&self) -> [CacheLevel; 3] {
        [self.cards.report(), self.handles.report(), self.searches.report()]
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
                standing: Some(Standing { role: user.role, region: user.region }),
            },
            Some(Person::Erased(_)) | None => {
                Self { name: ERASED.into(), quickpe_id: None, payable: false, standing: None }
            }
        }
    }
}

fn found(user: &User) -> FoundUser {
    FoundUser {
        id: user.id,
        quickpe_id: Handle(user.quickpe_id),
        first_name: user.first_name.as_str().to_owned(),
        last_name: user.last_name.as_str().to_owned(),
        email: user.email.masked(),
    }
}

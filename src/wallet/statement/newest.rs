//! The newest events of accounts, cached: what the first page of a statement is read from.
//!
//! Two levels: this node's memory, and the cache that all nodes share, if there is one. An account's head, which its
//! owner answers anew each time, is the version: a page of any other head is not used, so nothing has to be forgotten
//! for what is new, and events never change. Their text is sealed; erasing a person purges both levels all the same.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::AccountId;
use domain::ledger::Event;
use protocol::http::admin::CacheLevel;
use storage::cache::{Cache, VALUE_BYTES_MAX, VERSION_MAX, Versioned};
use storage::encoding::{self, Item};

use crate::cache::counts::{Counts, Level};
use crate::cache::kept::Kept;

/// Events of a page: what a statement's first page of usual size takes.
pub(super) const EVENTS: usize = 32;

/// How many accounts' pages are kept: some 300 bytes an event, so 40 MiB.
const PAGES_MAX: u64 = 4_096;

/// How long a page is shared: who looks at their statement looks again soon or not for long.
const SHARED_LASTS: Duration = Duration::from_hours(1);

/// The newest events of accounts.
pub struct Newest {
    pages: Kept<AccountId, Arc<Page>>,
    shared: Option<Shared>,
}

/// The cache that all nodes share.
struct Shared {
    cache: Arc<dyn Cache>,
    /// One life of the store's streams: after a restore, a head may come again and mean other events.
    epoch: String,
    counts: Counts,
}

/// The newest events of an account, the newest first.
struct Page {
    head: u64,
    events: Vec<Arc<Event>>,
}

impl Newest {
    /// Of a store's streams in this epoch, with the cache that nodes share if there is one.
    pub fn new(epoch: &str, cache: Option<Arc<dyn Cache>>) -> Self {
        let counts = || Counts::new("statements", Level::Shared);
        let shared = cache.map(|cache| Shared { cache, epoch: epoch.to_owned(), counts: counts() });
        Self { pages: Kept::new("statements", PAGES_MAX, None), shared }
    }

    /// The newest events of an account whose last is at offset `head`, at most [`EVENTS`], the newest first; `read` has
    /// them if no cache does.
    ///
    /// # Errors
    /// What `read` fails with.
    pub(super) async fn events<E, F>(
        &self,
        account: AccountId,
        head: u64,
        read: impl Fn() -> F,
    ) -> Result<Vec<Arc<Event>>, E>
    where
        F: Future<Output = Result<Vec<Arc<Event>>, E>>,
    {
        let reading = async || {
            let events = match &self.shared {
                Some(shared) => shared.events(account, head, &read).await?,
                None => read().await?,
            };
            Ok(Arc::new(Page { head, events }))
        };
        let page = self.pages.get(account, |page| page.head == head, reading).await?;
        // Who waited for the reading of another may have waited for that of another head.
        if page.head == head { Ok(page.events.clone()) } else { read().await }
    }

    /// Forgets an account's page in this node's memory.
    pub fn forget(&self, account: AccountId) {
        self.pages.forget(&account);
    }

    /// Forgets all pages in this node's memory.
    pub fn forget_all(&self) {
        self.pages.forget_all();
    }

    /// Forgets an account's page for good, on both levels. If the shared one is away it keeps a page that nobody can
    /// unseal or ask for, until its time is over.
    pub async fn purge(&self, account: AccountId) {
        self.forget(account);
        if let Some(shared) = &self.shared
            && let Err(error) = shared.cache.forget(&shared.key(account), VERSION_MAX).await
        {
            tracing::warn!(%error, "a statement's shared page cannot be purged");
        }
    }

    /// For administrators.
    pub fn caches(&self) -> impl Iterator<Item = CacheLevel> {
        std::iter::once(self.pages.report()).chain(self.shared.as_ref().map(|shared| shared.counts.report(None)))
    }
}

impl Shared {
    fn key(&self, account: AccountId) -> String {
        format!("statement:{}:{account}", self.epoch)
    }

    async fn events<E, F>(&self, account: AccountId, head: u64, read: impl Fn() -> F) -> Result<Vec<Arc<Event>>, E>
    where
        F: Future<Output = Result<Vec<Arc<Event>>, E>>,
    {
        let key = self.key(account);
        // Errors are counted where they happen, and the breaker spares the next.
        let found = self.cache.get(&key).await.ok().flatten().filter(|found| found.version == head);
        let events = found.and_then(|found| decode(&found, account));
        self.counts.asked(events.is_some());
        if let Some(events) = events {
            return Ok(events);
        }
        let events = read().await?;
        if let Some(value) = encode(&events)
            && head > 0
        {
            let entry = Versioned { version: head, value };
            if let Err(error) = self.cache.put(&key, entry, SHARED_LASTS).await {
                tracing::debug!(%error, "a statement's page is not shared");
            }
        }
        Ok(events)
    }
}

/// Events as they are shared; none if they are too large for it.
fn encode(events: &[Arc<Event>]) -> Option<bytes::Bytes> {
    let mut writer = encoding::Writer::default();
    let written = events.iter().try_for_each(|event| writer.push(&Item::Event(Arc::clone(event))).map(drop));
    (written.is_ok() && writer.len() <= VALUE_BYTES_MAX).then(|| writer.finish())
}

/// Shared events, if they are whole and what they should be: of this account, dense, the newest first.
fn decode(found: &Versioned, account: AccountId) -> Option<Vec<Arc<Event>>> {
    let event = |(_, item)| match item {
        Item::Event(event) => Some(event),
        Item::Shard(_) => None,
    };
    let events: Vec<_> = encoding::read(&found.value).ok()?.into_iter().map(event).collect::<Option<_>>()?;
    let is_right = |(event, offset): (&Arc<Event>, u64)| event.account == account && event.offset == offset;
    let wanted = usize::try_from(found.version).unwrap_or(usize::MAX).min(EVENTS);
    let offsets = (1..=found.version).rev();
    (events.len() == wanted && events.iter().zip(offsets).all(is_right)).then_some(events)
}

//! What every identity store must do. Each check wants a fresh store; [`all`] runs them all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a suite says that it failed by panicking")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{LoginId, QuickpeId, UserId};
use domain::room::Region;
use domain::time::Timestamp;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::identity::{
    Email, Identity, LOGINS_PER_USER_MAX, NewLogin, NewUser, Person, PersonName, ProfileChange, ProfileChanged,
    ROTATION_GRACE, Role, Rotate, Rotation, SEARCH_MAX, SignUp, Status, User,
};
use crate::sealing::{Purpose, Sealer};

/// A time to count from.
const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

/// How long a refresh token lives here.
const WEEK: Duration = Duration::from_hours(7 * 24);

/// Who takes what was erased off the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erased {
    /// [`Identity::compact`], which is due after an erasure.
    ByRewriting,
    /// The engine itself, in its own time.
    ByTheEngine,
}

/// Runs every check, each on a store of its own that `fresh` makes.
pub async fn all(fresh: impl AsyncFn() -> Arc<dyn Identity>, erased: Erased) {
    people_are_made_and_found(fresh().await).await;
    one_of_many_sign_ups_with_one_email_wins(fresh().await).await;
    people_are_somewhere(fresh().await).await;
    profiles_change_by_version(fresh().await).await;
    passwords_change_by_comparison(fresh().await).await;
    people_are_searched(fresh().await).await;
    a_token_rotates_once(fresh().await).await;
    many_rotations_of_one_token_agree(fresh().await).await;
    logins_are_bounded_and_end(fresh().await).await;
    erasing_a_person_leaves_a_tombstone(fresh().await, erased).await;
    text_is_sealed_until_its_owner_is_erased(fresh().await).await;
}

/// The person number `number`, with names and an e-mail that say so.
pub fn somebody(number: u128) -> NewUser {
    NewUser {
        id: UserId(Uuid::from_u128(number)),
        email: Email::parse(&format!("person{number}@example.com")).unwrap(),
        first_name: PersonName::parse(&format!("First{number}")).unwrap(),
        last_name: PersonName::parse(&format!("Last{number}")).unwrap(),
        password_hash: format!("$argon2id$hash-of-{number}"),
        role: Role::User,
        region: None,
        created_at: NOW,
    }
}

/// Signs a person up who was not there before.
pub async fn signed_up(identity: &Arc<dyn Identity>, new: NewUser) -> User {
    match identity.create_user(new).await.unwrap() {
        SignUp::Created(user) => user,
        other => panic!("not signed up: {other:?}"),
    }
}

fn begins(number: u128, user: UserId, at: Timestamp) -> NewLogin {
    let id = LoginId(Uuid::from_u128(number));
    NewLogin { id, user, device: "phone".to_owned(), at, expires_at: at.after(WEEK) }
}

fn rotation(number: u128, generation: u32, device: &str, at: Timestamp) -> Rotate {
    let login = LoginId(Uuid::from_u128(number));
    Rotate { login, generation, device: device.to_owned(), at, expires_at: at.after(WEEK) }
}

async fn people_are_made_and_found(identity: Arc<dyn Identity>) {
    let made = identity.create_users((1..=500).map(somebody).collect()).await.unwrap();
    let users: Vec<User> = made
        .into_iter()
        .map(|outcome| match outcome {
            SignUp::Created(user) => user,
            other => panic!("{other:?}"),
        })
        .collect();
    let handles: HashSet<QuickpeId> = users.iter().map(|user| user.quickpe_id).collect();
    assert_eq!(handles.len(), 500);
    for (user, number) in users.iter().zip(1..) {
        let new = somebody(number);
        assert_eq!((user.id, &user.email, &user.first_name), (new.id, &new.email, &new.first_name));
        assert_eq!((user.version, user.status, user.role), (1, Status::Active, Role::User));
        assert_eq!(identity.person(user.id).await.unwrap(), Some(Person::Live(user.clone())));
        assert_eq!(identity.user_by_email(&new.email).await.unwrap().as_ref(), Some(user));
        let by_handle = identity.person_by_quickpe_id(user.quickpe_id).await.unwrap();
        assert_eq!(by_handle, Some(Person::Live(user.clone())));
        let credentials = identity.credentials(user.id).await.unwrap().unwrap();
        assert_eq!((credentials.password_hash, credentials.changed_at), (new.password_hash, NOW));
        assert!(identity.data_key(user.id).await.unwrap().is_some());
    }
    let nobody = UserId(Uuid::from_u128(9_999));
    let many = identity.people(&[users[4].id, nobody, users[2].id]).await.unwrap();
    assert_eq!(many, [Some(Person::Live(users[4].clone())), None, Some(Person::Live(users[2].clone()))]);
    assert_eq!(identity.credentials(nobody).await.unwrap(), None);
    assert_eq!(identity.data_key(nobody).await.unwrap(), None);

    let again = identity.create_user(NewUser { email: somebody(501).email, ..somebody(1) }).await.unwrap();
    assert_eq!(again, SignUp::IdTaken);
    let upper = NewUser { email: Email::parse("PERSON1@Example.com").unwrap(), ..somebody(501) };
    assert_eq!(identity.create_user(upper).await.unwrap(), SignUp::EmailTaken);
    assert_eq!(identity.person(somebody(501).id).await.unwrap(), None, "a refusal leaves nothing");

    let admin = identity.change_role(users[0].id, Role::Admin).await.unwrap().unwrap();
    assert_eq!((admin.role, admin.version), (Role::Admin, 2));
    assert_eq!(identity.change_role(nobody, Role::Admin).await.unwrap(), None);
}

async fn people_are_somewhere(identity: Arc<dyn Identity>) {
    let region = |text: &str| Some(text.parse::<Region>().unwrap());
    let asha = signed_up(&identity, NewUser { region: region("IN-MH"), ..somebody(1) }).await;
    let ravi = signed_up(&identity, somebody(2)).await;
    assert_eq!((asha.region, ravi.region), (region("IN-MH"), None));
    let moved = identity.change_region(ravi.id, region("SG")).await.unwrap().unwrap();
    assert_eq!((moved.region, moved.version), (region("SG"), 2));
    assert_eq!(identity.person(ravi.id).await.unwrap(), Some(Person::Live(moved)));
    let nowhere = identity.change_region(asha.id, None).await.unwrap().unwrap();
    assert_eq!((nowhere.region, nowhere.version), (None, 2));
    let changed = identity.update_profile(ravi.id, 2, ProfileChange::default()).await.unwrap();
    assert!(matches!(changed, ProfileChanged::Changed(user) if user.region == region("SG")));
    assert_eq!(identity.change_region(UserId(Uuid::from_u128(9_999)), None).await.unwrap(), None);
}

async fn one_of_many_sign_ups_with_one_email_wins(identity: Arc<dyn Identity>) {
    let mut tries = JoinSet::new();
    for number in 1..=100 {
        let identity = Arc::clone(&identity);
        tries.spawn(async move {
            let new = NewUser { email: somebody(0).email, ..somebody(number) };
            identity.create_user(new).await.unwrap()
        });
    }
    let outcomes = tries.join_all().await;
    let winners: Vec<&User> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            SignUp::Created(user) => Some(user),
            SignUp::EmailTaken => None,
            SignUp::IdTaken => panic!("no id came twice"),
        })
        .collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(identity.user_by_email(&somebody(0).email).await.unwrap().as_ref(), winners.first().copied());
    for number in 1..=100 {
        let there = identity.person(somebody(number).id).await.unwrap().is_some();
        assert_eq!(there, winners[0].id == somebody(number).id);
    }
}

async fn profiles_change_by_version(identity: Arc<dyn Identity>) {
    let user = signed_up(&identity, somebody(1)).await;
    signed_up(&identity, somebody(2)).await;
    let name = |text| Some(PersonName::parse(text).unwrap());
    let change = ProfileChange { first_name: name("Asha"), ..ProfileChange::default() };
    let ProfileChanged::Changed(changed) = identity.update_profile(user.id, 1, change.clone()).await.unwrap() else {
        panic!("a sound change");
    };
    assert_eq!((changed.first_name.as_str(), changed.version), ("Asha", 2));
    assert_eq!((&changed.last_name, &changed.email), (&user.last_name, &user.email));
    assert_eq!(identity.update_profile(user.id, 1, change).await.unwrap(), ProfileChanged::Stale(changed.clone()));
    assert_eq!(identity.search("first1", 20).await.unwrap(), [], "the old name is not found any more");
    assert_eq!(identity.search("asha", 20).await.unwrap(), std::slice::from_ref(&changed));

    let taken = ProfileChange { email: Some(somebody(2).email), ..ProfileChange::default() };
    assert_eq!(identity.update_profile(user.id, 2, taken).await.unwrap(), ProfileChanged::EmailTaken);
    let moved = ProfileChange { email: Some(somebody(3).email), ..ProfileChange::default() };
    assert!(matches!(identity.update_profile(user.id, 2, moved).await.unwrap(), ProfileChanged::Changed(_)));
    assert_eq!(identity.user_by_email(&user.email).await.unwrap(), None);
    assert_eq!(identity.user_by_email(&somebody(3).email).await.unwrap().unwrap().id, user.id);
    signed_up(&identity, NewUser { email: user.email, ..somebody(4) }).await;
    let nobody = UserId(Uuid::from_u128(9_999));
    let unknown = identity.update_profile(nobody, 1, ProfileChange::default()).await.unwrap();
    assert_eq!(unknown, ProfileChanged::Unknown);
}

async fn passwords_change_by_comparison(identity: Arc<dyn Identity>) {
    let user = signed_up(&identity, somebody(1)).await;
    let old = somebody(1).password_hash;
    let mut tries = JoinSet::new();
    for number in 0..20 {
        let (identity, old) = (Arc::clone(&identity), old.clone());
        tries.spawn(async move {
            identity.change_password(user.id, old, format!("new{number}"), NOW.next()).await.unwrap()
        });
    }
    assert_eq!(tries.join_all().await.into_iter().filter(|changed| *changed).count(), 1);
    let now = identity.credentials(user.id).await.unwrap().unwrap();
    assert!(now.password_hash.starts_with("new"));
    assert_eq!(now.changed_at, NOW.next());
}

async fn people_are_searched(identity: Arc<dyn Identity>) {
    let mut users = Vec::new();
    for number in 1..=60 {
        let first = PersonName::parse(if number <= 30 { "Émile" } else { "Ravi" }).unwrap();
        let last = PersonName::parse(if number % 2 == 0 { "Émile" } else { "Zola" }).unwrap();
        users.push(signed_up(&identity, NewUser { first_name: first, last_name: last, ..somebody(number) }).await);
    }
    let found = identity.search(" ÉMI ", 1_000).await.unwrap();
    assert_eq!(found.len(), SEARCH_MAX);
    let different: HashSet<UserId> = found.iter().map(|user| user.id).collect();
    assert_eq!(different.len(), SEARCH_MAX, "who matches by both names is found once");
    assert_eq!(identity.search("zol", 7).await.unwrap().len(), 7);
    assert_eq!(identity.search("ola", 20).await.unwrap(), [], "a prefix, not a part");
    assert_eq!(identity.search("", 20).await.unwrap(), []);
    assert_eq!(identity.search("ravi", 0).await.unwrap(), []);

    let handle = users[6].quickpe_id.to_string();
    assert_eq!(identity.search(&handle.to_lowercase(), 20).await.unwrap(), [users[6].clone()]);
    assert!(identity.search(&handle[..11], 20).await.unwrap().contains(&users[6]));
    let last = handle.bytes().last().unwrap();
    let wrong = format!("{}{}", &handle[..11], (last - b'0' + 1) % 10);
    assert_eq!(identity.search(&wrong, 20).await.unwrap(), [], "a wrong check digit finds nobody");
    assert_eq!(identity.search("PERSON7@example.com", 20).await.unwrap(), [users[6].clone()]);
    assert_eq!(identity.search("person7@", 20).await.unwrap(), [], "an e-mail only whole");
    assert_eq!(identity.search("person7", 20).await.unwrap(), []);
}

async fn a_token_rotates_once(identity: Arc<dyn Identity>) {
    let user = signed_up(&identity, somebody(1)).await.id;
    let login = identity.begin_login(begins(1, user, NOW)).await.unwrap().unwrap();
    assert_eq!((login.generation, login.user, login.expires_at), (0, user, NOW.after(WEEK)));
    let later = NOW.after(Duration::from_mins(1));
    let Rotation::Rotated(rotated) = identity.rotate(rotation(1, 0, "phone", later)).await.unwrap() else {
        panic!("the newest token");
    };
    assert_eq!((rotated.generation, rotated.used_at, rotated.expires_at), (1, later, later.after(WEEK)));
    assert_eq!(identity.login(login.id).await.unwrap(), Some(rotated.clone()));

    let in_time = later.after(ROTATION_GRACE);
    let repeated = identity.rotate(rotation(1, 0, "phone", in_time)).await.unwrap();
    assert_eq!(repeated, Rotation::Repeated(rotated.clone()), "the same successor");
    assert_eq!(identity.rotate(rotation(1, 7, "phone", in_time)).await.unwrap(), Rotation::Unknown);
    assert!(identity.login(login.id).await.unwrap().is_some(), "a token of a lost future ends nothing");

    let reused = Rotation::Reused { user };
    assert_eq!(identity.rotate(rotation(1, 0, "phone", in_time.next())).await.unwrap(), reused, "too late");
    assert_eq!(identity.rotate(rotation(1, 1, "phone", in_time)).await.unwrap(), Rotation::Unknown, "it ended");
    assert_eq!(identity.login(login.id).await.unwrap(), None);

    identity.begin_login(begins(2, user, NOW)).await.unwrap();
    identity.rotate(rotation(2, 0, "phone", later)).await.unwrap();
    assert_eq!(identity.rotate(rotation(2, 0, "thief", later)).await.unwrap(), reused, "another device");

    identity.begin_login(begins(3, user, NOW)).await.unwrap();
    identity.rotate(rotation(3, 0, "phone", later)).await.unwrap();
    identity.rotate(rotation(3, 1, "phone", later)).await.unwrap();
    assert_eq!(identity.rotate(rotation(3, 0, "phone", later)).await.unwrap(), reused, "older than the previous");

    identity.begin_login(begins(4, user, NOW)).await.unwrap();
    assert_eq!(identity.rotate(rotation(4, 0, "phone", NOW.after(WEEK))).await.unwrap(), Rotation::Expired);
    assert_eq!(identity.logins(user).await.unwrap(), []);
    let nobody = begins(5, UserId(Uuid::from_u128(9_999)), NOW);
    assert_eq!(identity.begin_login(nobody).await.unwrap(), None);
}

async fn many_rotations_of_one_token_agree(identity: Arc<dyn Identity>) {
    let user = signed_up(&identity, somebody(1)).await.id;
    for round in 1..=20 {
        identity.begin_login(begins(round, user, NOW)).await.unwrap();
        let mut tries = JoinSet::new();
        for _ in 0..8 {
            let identity = Arc::clone(&identity);
            tries.spawn(async move { identity.rotate(rotation(round, 0, "phone", NOW)).await.unwrap() });
        }
        let mut rotated = 0;
        for outcome in tries.join_all().await {
            match outcome {
                Rotation::Rotated(login) => {
                    rotated += 1;
                    assert_eq!(login.generation, 1);
                }
                Rotation::Repeated(login) => assert_eq!(login.generation, 1),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(rotated, 1);
    }
    // Two devices with one token: one rotates, the other ends the login, and nobody has a living token.
    identity.begin_login(begins(100, user, NOW)).await.unwrap();
    let two = ["phone", "thief"].map(|device| identity.rotate(rotation(100, 0, device, NOW)));
    let outcomes = futures_util::future::join_all(two).await;
    let reused = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Rotation::Reused { .. }))).count();
    let rotated = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Rotation::Rotated(_)))).count();
    assert_eq!((rotated, reused), (1, 1));
    assert_eq!(identity.login(LoginId(Uuid::from_u128(100))).await.unwrap(), None);
}

async fn logins_are_bounded_and_end(identity: Arc<dyn Identity>) {
    let user = signed_up(&identity, somebody(1)).await.id;
    let other = signed_up(&identity, somebody(2)).await.id;
    let count = u128::try_from(LOGINS_PER_USER_MAX).unwrap();
    for number in 1..=count {
        let at = NOW.after(Duration::from_secs(u64::try_from(number).unwrap()));
        identity.begin_login(begins(number, user, at)).await.unwrap();
    }
    let late = NOW.after(Duration::from_secs(1_000));
    identity.rotate(rotation(1, 0, "phone", late)).await.unwrap();
    identity.begin_login(begins(1_000, user, late)).await.unwrap();
    let logins = identity.logins(user).await.unwrap();
    assert_eq!(logins.len(), LOGINS_PER_USER_MAX);
    assert!(logins.is_sorted_by(|a, b| a.used_at >= b.used_at), "the one used last first");
    assert_eq!(identity.login(LoginId(Uuid::from_u128(2))).await.unwrap(), None, "used longest ago");
    assert!(identity.login(LoginId(Uuid::from_u128(1))).await.unwrap().is_some(), "used since");

    let third = LoginId(Uuid::from_u128(3));
    assert!(!identity.end_login(other, third).await.unwrap(), "not theirs");
    assert!(identity.end_login(user, third).await.unwrap());
    assert!(!identity.end_login(user, third).await.unwrap());

    let expired = NOW.after(WEEK).after(Duration::from_secs(10)).next();
    assert_eq!(identity.sweep_logins(expired, 5).await.unwrap(), 5);
    assert_eq!(identity.sweep_logins(expired, 5).await.unwrap(), 2, "4 to 10 are past their expiry, 1 was rotated");
    assert_eq!(identity.logins(user).await.unwrap().len(), LOGINS_PER_USER_MAX - 8);

    let kept = LoginId(Uuid::from_u128(20));
    assert_eq!(identity.end_logins(user, Some(kept)).await.unwrap().len(), LOGINS_PER_USER_MAX - 9);
    let left = identity.logins(user).await.unwrap();
    assert_eq!(left.iter().map(|login| login.id).collect::<Vec<_>>(), [kept]);
    assert_eq!(identity.end_logins(user, None).await.unwrap(), [kept]);
}

async fn erasing_a_person_leaves_a_tombstone(identity: Arc<dyn Identity>, erased: Erased) {
    let user = signed_up(&identity, somebody(1)).await;
    identity.begin_login(begins(1, user.id, NOW)).await.unwrap();
    assert!(identity.begin_erasure(user.id, NOW).await.unwrap());
    assert!(identity.begin_erasure(user.id, NOW.next()).await.unwrap(), "again, and nothing happens");
    let status = |person: Option<Person>| person.and_then(Person::live).map(|user| user.status);
    assert_eq!(status(identity.person(user.id).await.unwrap()), Some(Status::Erasing));
    assert_eq!(identity.logins(user.id).await.unwrap(), []);
    assert_eq!(identity.begin_login(begins(2, user.id, NOW)).await.unwrap(), None);
    let [unfinished] = identity.unfinished_erasures().await.unwrap()[..] else { panic!("one is unfinished") };
    assert_eq!((unfinished.user, unfinished.began_at, unfinished.key_destroyed), (user.id, NOW, false));

    assert!(identity.abandon_erasure(user.id).await.unwrap());
    assert!(!identity.abandon_erasure(user.id).await.unwrap());
    assert_eq!(status(identity.person(user.id).await.unwrap()), Some(Status::Active));
    assert!(identity.begin_login(begins(3, user.id, NOW)).await.unwrap().is_some());

    identity.begin_erasure(user.id, NOW).await.unwrap();
    identity.destroy_key(user.id).await.unwrap();
    identity.destroy_key(user.id).await.unwrap();
    assert_eq!(identity.data_key(user.id).await.unwrap(), None);
    assert!(identity.unfinished_erasures().await.unwrap()[0].key_destroyed);
    assert!(!identity.abandon_erasure(user.id).await.unwrap(), "there is no way back");
    assert_eq!(identity.compaction_due().await.unwrap(), None);

    assert!(identity.remove_identity(user.id, NOW).await.unwrap());
    assert!(identity.remove_identity(user.id, NOW.next()).await.unwrap(), "again, and nothing happens");
    for person in [identity.person(user.id).await, identity.person_by_quickpe_id(user.quickpe_id).await] {
        let Some(Person::Erased(tombstone)) = person.unwrap() else { panic!("a tombstone") };
        assert_eq!((tombstone.id, tombstone.quickpe_id, tombstone.erased_at), (user.id, user.quickpe_id, NOW));
    }
    assert_eq!(identity.user_by_email(&user.email).await.unwrap(), None);
    assert_eq!(identity.credentials(user.id).await.unwrap(), None);
    assert_eq!(identity.logins(user.id).await.unwrap(), []);
    assert_eq!(identity.unfinished_erasures().await.unwrap(), []);
    for text in ["first1", "last1", &user.quickpe_id.to_string(), user.email.as_str()] {
        assert_eq!(identity.search(text, 20).await.unwrap(), [], "{text}");
    }
    assert!(!identity.begin_erasure(user.id, NOW).await.unwrap());
    assert!(!identity.remove_identity(UserId(Uuid::from_u128(9_999)), NOW).await.unwrap());

    let due = identity.compaction_due().await.unwrap().map(|due| (due.erasures, due.since));
    assert_eq!(due, (erased == Erased::ByRewriting).then_some((1, NOW)));
    let newcomer = signed_up(&identity, NewUser { email: user.email, ..somebody(2) }).await;
    identity.compact().await.unwrap();
    assert_eq!(identity.compaction_due().await.unwrap(), None);
    assert_eq!(identity.person(newcomer.id).await.unwrap(), Some(Person::Live(newcomer.clone())));
    assert!(identity.data_key(newcomer.id).await.unwrap().is_some());
    assert!(matches!(identity.person(user.id).await.unwrap(), Some(Person::Erased(_))));
    signed_up(&identity, somebody(3)).await;
}

async fn text_is_sealed_until_its_owner_is_erased(identity: Arc<dyn Identity>) {
    let asha = signed_up(&identity, somebody(1)).await.id;
    let ravi = signed_up(&identity, somebody(2)).await.id;
    let sealer = Arc::new(Sealer::new(Arc::clone(&identity)));
    let sealed = sealer.seal(asha, Purpose::Description, "for the flat").await.unwrap().unwrap();
    assert_eq!(sealed.owner, asha);
    let text = |sealed| {
        let sealer = Arc::clone(&sealer);
        async move { sealer.unseal(Purpose::Description, &sealed).await.unwrap().map(|text| text.as_str().to_owned()) }
    };
    assert_eq!(text(sealed.clone()).await.as_deref(), Some("for the flat"));
    let stolen = domain::sealed::Sealed { owner: ravi, ..sealed.clone() };
    assert!(sealer.unseal(Purpose::Description, &stolen).await.is_err());

    let print = sealer.fingerprint(asha, b"to=ravi amount=100").await.unwrap();
    assert!(print.is_some());
    assert_eq!(sealer.fingerprint(asha, b"to=ravi amount=100").await.unwrap(), print);
    assert_ne!(sealer.fingerprint(asha, b"to=ravi amount=101").await.unwrap(), print);
    assert_ne!(sealer.fingerprint(ravi, b"to=ravi amount=100").await.unwrap(), print);
    let elsewhere = Sealer::new(Arc::clone(&identity));
    assert_eq!(elsewhere.fingerprint(asha, b"to=ravi amount=100").await.unwrap(), print, "after a restart too");

    // Readers that race the destruction: whatever they see meanwhile, nobody reads after it.
    let mut readers = JoinSet::new();
    for _ in 0..16 {
        let (sealer, sealed) = (Arc::clone(&sealer), sealed.clone());
        readers.spawn(async move {
            for _ in 0..50 {
                sealer.unseal(Purpose::Description, &sealed).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    sealer.destroy(asha).await.unwrap();
    assert_eq!(text(sealed.clone()).await, None);
    readers.join_all().await;
    assert_eq!(text(sealed).await, None);
    assert_eq!(sealer.seal(asha, Purpose::Description, "more").await.unwrap(), None);
    assert_eq!(sealer.fingerprint(asha, b"more").await.unwrap(), None);
    let sealed = sealer.seal(ravi, Purpose::Description, "still here").await.unwrap().unwrap();
    assert_eq!(text(sealed).await.as_deref(), Some("still here"));
}

/// A store whose source of QuickPe ids says 1 a hundred times, in between 2, 3 and so on, gives nobody
/// an id that another has.
pub async fn quickpe_ids_are_unique(open: impl AsyncFn(crate::identity::QuickpeIds) -> Arc<dyn Identity>) {
    let calls = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let source: crate::identity::QuickpeIds = Arc::new(move || {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        QuickpeId::new(if call.is_multiple_of(10) { call / 10 } else { 1 }).unwrap()
    });
    let identity = open(source).await;
    let mut tries = JoinSet::new();
    for number in 1..=100 {
        let identity = Arc::clone(&identity);
        tries.spawn(async move { signed_up(&identity, somebody(number)).await.quickpe_id });
    }
    let handles: HashSet<QuickpeId> = tries.join_all().await.into_iter().collect();
    assert_eq!(handles.len(), 100);
    let one = open(Arc::new(|| QuickpeId::new(7).unwrap())).await;
    signed_up(&one, somebody(1)).await;
    assert!(one.create_user(somebody(2)).await.is_err(), "no id is free: an error, not an endless search");
    assert_eq!(one.user_by_email(&somebody(2).email).await.unwrap(), None, "and nothing is left");
}

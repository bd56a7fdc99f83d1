//! `import --shards`: a store with another number of shards is the same store to whoever uses it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::ids::{AccountId, TransferId, UserId, random};
use domain::ledger::{Balances, Change, ChannelNumber, Entry, Movement, Party, Purpose};
use domain::money::{Currency, Minor};
use domain::time::BusinessDay;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::moving::{cut_short, device, done, give_keys, path};
use crate::process::{Node, clock, code, people, run, said};
use crate::verifying::{append, shards};

/// People of the store.
const PEOPLE: usize = 40;

/// How long a hold lasts that is to end in the new store, and not before: longer than the making of that store takes on
/// any machine.
const SHORT: Duration = Duration::from_mins(5);

/// The clock of a node for which that has passed, and access tokens have not.
const LATER: &str = "+6m";

/// How long rows may wait to be written (`ledger.projection_delay_ms`).
const PROJECTION: Duration = Duration::from_secs(1);

/// An answer: whether it is of a request that was answered before, and what it says.
type Answered = (StatusCode, bool, Value);

/// Asks with a key of one's own.
async fn keyed(node: &Node, token: &str, route: &str, key: &str, body: &Value) -> Answered {
    let request = Client::new().post(format!("{}/api/v1{route}", node.url)).bearer_auth(token).json(body);
    let response = request.header("idempotency-key", key).send().await.unwrap();
    let replayed = response.headers().get("idempotency-replayed").is_some();
    (response.status(), replayed, response.json().await.unwrap_or_default())
}

/// Asks with a key; it is done.
async fn asked(node: &Node, token: &str, route: &str, key: &str, body: &Value) -> Value {
    let (status, _, answer) = keyed(node, token, route, key, body).await;
    assert!(status.is_success(), "{route}: {status} {answer}");
    answer
}

/// Asks again and again until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_mins(1), "not yet: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What happened in a store, to be asked for again.
struct Past {
    people: Vec<(String, String)>,
    admin: String,
    room: String,
    /// A payment, its refund so far, and their keys are `pay` and `refund`.
    paid: String,
    /// A hold that is open, and one that ends soon.
    open: String,
    short: String,
    /// What everybody saw.
    seen: Vec<Value>,
    place: Value,
}

impl Past {
    fn token(&self, who: usize) -> &str {
        &self.people[who].1
    }

    /// All that people see of their money and of their rooms.
    async fn look(&self, node: &Node) -> Vec<Value> {
        let mut seen = Vec::new();
        for (_, token) in &self.people {
            for route in ["/account/balance", "/account/transactions?limit=100", "/account/holds?limit=100", "/rooms"] {
                let (status, answer) = node.get(&format!("/api/v1{route}"), token).await;
                assert_eq!(status, StatusCode::OK, "{route}: {answer}");
                seen.push(answer);
            }
        }
        seen.push(node.get(&format!("/api/v1/rooms/{}/messages", self.room), self.token(0)).await.1);
        seen.push(node.get(&format!("/api/v1/account/transactions/{}", self.paid), self.token(1)).await.1);
        seen
    }

    /// The same once the rows of both sides of everything are written: what somebody did with a payment stands in the
    /// other's statement when the rows of the one who did it are written.
    async fn look_at_rest(&self, node: &Node) -> Vec<Value> {
        loop {
            let seen = self.look(node).await;
            tokio::time::sleep(PROJECTION * 2).await;
            if self.look(node).await == seen {
                return seen;
            }
        }
    }
}

/// A stopped store of 64 shards in which every kind of thing happened.
async fn lived(data: &Path) -> Past {
    fs::create_dir(data).unwrap();
    let node = Node::start_with(data, &[("QUICKPE_STORAGE__SHARDS", "64")]);
    let people = people(data, PEOPLE, "100.00");
    let place = device(&node, &people[0].1).await;
    let token = |who: usize| people[who].1.as_str();
    let id = |who: usize| people[who].0.as_str();
    let admin = json!({
        "firstName": "Asha", "lastName": "Rao", "email": "asha@example.com", "password": "correct horse",
    });
    assert_eq!(node.post("/api/v1/auth/signup", "", admin).await.0, 201);
    done(data, &["admin", "grant", "asha@example.com", "admin"]);
    let body = json!({"email": "asha@example.com", "password": "correct horse"});
    let admin = node.post("/api/v1/auth/signin", "", body).await.1["token"].as_str().unwrap().to_owned();

    // Everybody pays several others: most shards have channels to most.
    for step in [1, 7, 11, 20] {
        for (who, (_, token)) in people.iter().enumerate() {
            node.pay(token, id((who + step) % PEOPLE), "0.75").await;
        }
    }
    let paid = asked(&node, token(0), "/account/transfer", "pay", &json!({"to": id(1), "amount": "9.00"})).await;
    let paid = paid["transaction"]["id"].as_str().unwrap().to_owned();
    // A refund is of what has arrived.
    let route = format!("/api/v1/account/transactions/{paid}");
    until("it arrives", async || node.get(&route, token(1)).await.0 == StatusCode::OK).await;
    asked(&node, token(1), &format!("/account/transactions/{paid}/refund"), "refund", &json!({"amount": "4.00"})).await;
    let hold = async |amount: &str, lasts: Duration| {
        let lasts = u64::try_from(lasts.as_millis()).unwrap();
        let body = json!({"to": id(3), "amount": amount, "expiresInMs": lasts});
        let held = asked(&node, token(2), "/account/holds", &format!("hold-{amount}"), &body).await;
        held["hold"]["id"].as_str().unwrap().to_owned()
    };
    let (open, captured) = (hold("6.00", Duration::from_hours(1)).await, hold("7.00", Duration::from_hours(1)).await);
    let released = hold("8.00", Duration::from_hours(1)).await;
    asked(&node, token(3), &format!("/account/holds/{captured}/capture"), "capture", &json!({"amount": "2.50"})).await;
    asked(&node, token(3), &format!("/account/holds/{released}/release"), "release", &json!({})).await;
    // A payment comes back; and one can neither arrive nor come back.
    for frozen in [5, 7] {
        let route = format!("/api/v1/admin/accounts/{}/freeze", id(frozen));
        let (status, answer) = node.post(&route, &admin, json!({"scope": "credit", "reason": "a call"})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    node.pay(token(6), id(5), "3.00").await;
    node.pay(token(7), id(5), "5.00").await;
    until("it comes to rest", async || said(&run(data, &["admin", "suspense", "list"])).contains("1 in suspense"))
        .await;
    // Somebody is gone; a room is there.
    let rest = node.balance(token(9)).await;
    let rest = format!("{}.{:02}", rest / 100, rest % 100);
    node.pay(token(9), id(8), &rest).await;
    let room = asked(&node, token(0), "/rooms", "room", &json!({"name": "tea", "kind": "group"})).await;
    let room = room["room"].as_str().unwrap().to_owned();
    for word in ["one", "two", "three"] {
        asked(&node, token(0), &format!("/rooms/{room}/messages"), word, &json!({"body": word})).await;
    }
    let short = hold("1.25", SHORT).await;
    let mut past = Past { people, admin, room, paid, open, short, seen: Vec::new(), place };
    past.seen = past.look_at_rest(&node).await;
    node.stop();
    past
}

/// Exports a store and imports it with another number of shards.
fn reshard(from: &Path, to: &Path, shards: &str) -> String {
    let export = to.with_extension("export");
    let exported = done(from, &["export", &path(&export)]);
    assert!(exported.contains("nothing is in transit"), "{exported}");
    give_keys(from, to);
    let imported = done(to, &["import", &path(&export), "--shards", shards]);
    assert!(
        imported.contains("every invariant holds") && imported.contains(&format!("{shards} shards in")),
        "{imported}"
    );
    assert!(!to.join("resharding").exists() && !to.join("unfinished.json").exists());
    assert_eq!(shards.parse(), Ok(self::shards(to).get()));
    done(to, &["verify"]);
    imported
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_another_number_of_shards_is_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| -> PathBuf { dir.path().join(name) };
    let past = lived(&folder("old")).await;
    reshard(&folder("old"), &folder("more"), "128");
    let node = Node::start(&folder("more"));
    assert_eq!(past.look(&node).await, past.seen);
    let now = device(&node, past.token(0)).await;
    assert_eq!((&now["epoch"], &now["from"]), (&past.place["epoch"], &past.place["from"]), "{now}");
    goes_on(&node, &folder("more"), &past).await;
    node.stop();
    // From here on it is later: a node does not serve what it would have to call the future.
    let clock = clock(LATER);
    let later = clock.each_ref().map(|(name, value)| (*name, value.as_str()));
    let node = Node::start_with(&folder("more"), &later);
    let route = format!("/api/v1/account/holds/{}", past.short);
    until("the hold ends", async || node.get(&route, past.token(2)).await.1["status"] == "expired").await;
    let seen = past.look_at_rest(&node).await;
    node.stop();
    done(&folder("more"), &["verify"]);

    // And to fewer, of which each has accounts of several old ones; to a number that divides nothing; and back.
    let mut last = folder("more");
    for shards in ["65", "1000", "64"] {
        let next = folder(shards);
        reshard(&last, &next, shards);
        last = next;
    }
    let node = Node::start_with(&last, &later);
    assert_eq!(past.look(&node).await, seen);
    node.pay(past.token(10), &past.people[11].0, "0.10").await;
    let word =
        asked(&node, past.token(0), &format!("/rooms/{}/messages", past.room), "four", &json!({"body": "four"})).await;
    assert!(word["offset"].as_u64().unwrap() > 3, "{word}");
    node.stop();
    done(&last, &["verify"]);
}

/// What began in the old store ends in the new one.
async fn goes_on(node: &Node, data: &Path, past: &Past) {
    let (pay, refund) = (json!({"to": past.people[1].0, "amount": "9.00"}), json!({"amount": "4.00"}));
    let route = format!("/account/transactions/{}/refund", past.paid);
    for (who, route, key, body) in [
        (0, "/account/transfer", "pay", &pay),
        (1, route.as_str(), "refund", &refund),
        (0, &format!("/rooms/{}/messages", past.room), "two", &json!({"body": "two"})),
    ] {
        let (status, replayed, answer) = keyed(node, past.token(who), route, key, body).await;
        assert!(status.is_success() && replayed, "{route}: {status} {answer}");
    }
    let reused =
        keyed(node, past.token(0), "/account/transfer", "pay", &json!({"to": past.people[1].0, "amount": 1})).await;
    assert_eq!(reused.0, StatusCode::UNPROCESSABLE_ENTITY, "{}", reused.2);
    // Of 9.00 4.00 were given back.
    let too_much = keyed(node, past.token(1), &route, "too-much", &json!({"amount": "5.01"})).await;
    assert_eq!(too_much.2["code"], "refund_exceeds_original", "{}", too_much.2);
    asked(node, past.token(1), &route, "the-rest", &json!({"amount": "5.00"})).await;
    let capture = format!("/account/holds/{}/capture", past.open);
    asked(node, past.token(3), &capture, "all-of-it", &json!({})).await;
    // What rests can be offered again, once its payee may have it.
    let route = format!("/api/v1/admin/accounts/{}/unfreeze", past.people[7].0);
    assert_eq!(
        node.post(&route, &past.admin, json!({"scope": "all", "reason": "it was them"})).await.0,
        StatusCode::OK
    );
    let before = node.balance(past.token(7)).await;
    let listed = said(&run(data, &["admin", "suspense", "list"]));
    let resting = listed.split_whitespace().find(|word| Uuid::parse_str(word.trim_end_matches(':')).is_ok());
    let resting = resting.unwrap_or_else(|| panic!("no id in {listed}")).trim_end_matches(':');
    done(data, &["admin", "suspense", "release", resting]);
    until("what rested is back", async || node.balance(past.token(7)).await == before + 500).await;
    for (who, (id, _)) in past.people.iter().enumerate().skip(20) {
        node.pay(past.token((who + 1) % PEOPLE), id, "0.05").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resharding_that_was_cut_short_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (data, export, to) = (dir.path().join("data"), dir.path().join("export"), dir.path().join("to"));
    let past = lived(&data).await;
    done(&data, &["export", &path(&export)]);
    give_keys(&data, &to);
    let import = ["import", &path(&export), "--shards", "128"];
    for there in ["unfinished.json", "resharding/ledger-order", "resharding/numbers", "resharding/rooms-order", "views"]
    {
        cut_short(&to, &import, there);
    }
    // It goes on with the same, and with nothing else.
    let other = run(&to, &["import", &path(&export), "--shards", "256"]);
    assert_eq!(code(&other), 1, "{}", said(&other));
    assert!(
        said(&other).contains("an import was begun") || said(&other).contains("a import was begun"),
        "{}",
        said(&other)
    );
    done(&to, &import);
    let full = run(&to, &import);
    assert_eq!(code(&full), 1, "{}", said(&full));
    assert!(said(&full).contains("is not empty"), "{}", said(&full));
    let node = Node::start(&to);
    assert_eq!(past.look(&node).await, past.seen);
    node.stop();
    done(&to, &["verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_resharded_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (data, export, to) = (dir.path().join("data"), dir.path().join("export"), dir.path().join("to"));
    fs::create_dir(&data).unwrap();
    let node = Node::start_with(&data, &[("QUICKPE_STORAGE__SHARDS", "64")]);
    let people = people(&data, 4, "10.00");
    node.pay(&people[0].1, &people[1].0, "1.00").await;
    node.stop();
    debit_alone(&data, people[0].0.parse().unwrap()).await;
    let exported = done(&data, &["export", &path(&export)]);
    assert!(exported.contains("1 credits are in transit"), "{exported}");
    for (shards, exit, why) in [
        ("128", 1, "1 credits are in transit between shards"),
        ("63", 2, "63 is not in 64..=1024"),
        ("2000", 2, "2000 is not in 64..=1024"),
    ] {
        let refused = run(&to, &["import", &path(&export), "--shards", shards]);
        assert_eq!(code(&refused), exit, "{}", said(&refused));
        assert!(said(&refused).contains(why), "{}", said(&refused));
        assert!(!to.exists(), "nothing was written");
    }
    // In as many shards as there are it is no matter.
    let same = dir.path().join("same");
    give_keys(&data, &same);
    done(&same, &["import", &path(&export), "--shards", "64"]);

    // Served, it arrives.
    until("it arrives", async || {
        let node = Node::start(&data);
        tokio::time::sleep(Duration::from_secs(1)).await;
        node.stop();
        done(&data, &["export", &path(&export)]).contains("nothing is in transit")
    })
    .await;
    let file = export.join("ledger-000001.part");
    let sound = fs::read(&file).unwrap();
    let mut wrong = sound.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    fs::write(&file, &wrong).unwrap();
    let damaged = run(&to, &["import", &path(&export), "--shards", "128"]);
    assert_eq!(code(&damaged), 4, "{}", said(&damaged));
    assert!(said(&damaged).contains("is damaged at byte ") && !to.exists(), "{}", said(&damaged));
    fs::write(&file, &sound).unwrap();
    give_keys(&data, &to);
    done(&to, &["import", &path(&export), "--shards", "128"]);
}

/// Somebody's debit whose credit nobody has booked, on another shard than the account of `paid`, who has paid before.
async fn debit_alone(data: &Path, paid: UserId) {
    let count = shards(data);
    let home = |user| AccountId::of(user, Currency::Inr).route().shard(count);
    let mut others = std::iter::repeat_with(|| UserId(Uuid::new_v4())).filter(|user| home(*user) != home(paid));
    let (owner, payee) = (others.next().unwrap(), others.next().unwrap());
    let account = AccountId::of(owner, Currency::Inr);
    let payee = Party { user: payee, account: AccountId::of(payee, Currency::Inr) };
    let movement = |number, tag, posted| Movement {
        transfer: TransferId(random(account, [tag; 16])),
        entry: Entry {
            number,
            amount: Minor::new(500),
            currency: Currency::Inr,
            after: Balances { posted: Minor::new(posted), held: Minor::ZERO },
        },
        fingerprint: None,
        note: None,
    };
    let changes = vec![
        Change::Opened { owner, currency: Currency::Inr },
        Change::Deposited { movement: movement(1, 1, 500) },
        Change::Debited {
            movement: movement(2, 2, 0),
            day: BusinessDay(0),
            owner,
            payee,
            channel: ChannelNumber { peer: home(payee.user), number: 1 },
            purpose: Purpose::Transfer,
        },
    ];
    append(data, account, home(owner), changes).await;
}

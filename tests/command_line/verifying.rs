//! `verify` and `rebuild-views` on healthy and on damaged stores.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use domain::ids::{AccountId, OperationId, ShardCount, ShardId, TransferId, UserId, random};
use domain::ledger::{
    Balances, By, Change, ChannelNumber, Entry, Event, Meta, Movement, Opening, Origin, Party, Purpose,
};
use domain::money::{Currency, Minor};
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, OpenFrom, Scan};
use storage::embedded::lock::StoreLock;
use storage::encoding::{Item, Writer};
use storage::journal::{Append, Journal, JournalKey, Record, Space};
use uuid::Uuid;

use crate::process::{Node, code, people, run, said};

/// A stopped store with some transfers.
async fn store(data: &Path) {
    let node = Node::start(data);
    let people = people(data, 4, "10.00");
    for pair in people.windows(2) {
        node.pay(&pair[0].1, &pair[1].0, "2.00").await;
    }
    node.stop();
    let sound = run(data, &["verify"]);
    assert_eq!(code(&sound), 0, "{}", said(&sound));
}

#[tokio::test]
async fn a_flipped_bit_is_damage_and_its_place_is_said() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path()).await;
    let mut scan = Scan::of_files(dir.path(), Space::Ledger, ShardCount::DEFAULT).unwrap();
    let place = scan.by_ref().nth(100).unwrap().unwrap().place;
    let folder = dir.path().join("journal/ledger");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let file = std::fs::File::options().read(true).write(true).open(&files[0]).unwrap();
    // In the header of that record: its place in the first file is its place in the log.
    let at = place.0 + 40;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();

    let damaged = run(dir.path(), &["verify"]);
    assert_eq!(code(&damaged), 4, "{}", said(&damaged));
    let name = files[0].file_name().unwrap().to_string_lossy().into_owned();
    assert!(said(&damaged).contains(&name) && said(&damaged).contains("at byte"), "{}", said(&damaged));
    let refused = run(dir.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(code(&refused), 4, "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn money_out_of_nowhere_breaks_an_invariant() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path()).await;
    let owner = UserId(Uuid::new_v4());
    let account = AccountId::of(owner, Currency::Inr);
    let shard = account.route().shard(ShardCount::DEFAULT);
    // A credit on a channel that never gave it: every figure in the account itself is right.
    let after = Balances { posted: Minor::new(500), held: Minor::ZERO };
    let entry = Entry { number: 1, amount: Minor::new(500), currency: Currency::Inr, after };
    let transfer = TransferId(random(account, [7; 16]));
    let opened = Change::Opened { owner: Opening { owner, currency: Currency::Inr }.owner, currency: Currency::Inr };
    let credited = Change::Credited {
        movement: Movement { transfer, entry, fingerprint: None, note: None },
        payer: Party { user: owner, account },
        channel: ChannelNumber { peer: ShardId(shard.0 ^ 1), number: 1_000 },
        purpose: Purpose::Transfer,
    };
    append(dir.path(), account, shard, vec![opened, credited]).await;
    let broken = run(dir.path(), &["verify"]);
    assert_eq!(code(&broken), 1, "{}", said(&broken));
    let expected = format!("the channel from shard {} to shard {shard}", shard.0 ^ 1);
    assert!(said(&broken).contains("an invariant is broken") && said(&broken).contains(&expected), "{}", said(&broken));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_says_what_cannot_be_is_damage_and_its_place_is_said() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path()).await;
    let owner = UserId(Uuid::new_v4());
    let account = AccountId::of(owner, Currency::Inr);
    let shard = account.route().shard(ShardCount::DEFAULT);
    // Every byte is as it was written, but one credit is booked twice.
    let credited = |posted: i64| Change::Credited {
        movement: Movement {
            transfer: TransferId(random(account, [7; 16])),
            entry: Entry {
                number: 1,
                amount: Minor::new(5),
                currency: Currency::Inr,
                after: Balances { posted: Minor::new(posted), held: Minor::ZERO },
            },
            fingerprint: None,
            note: None,
        },
        payer: Party { user: owner, account },
        channel: ChannelNumber { peer: ShardId(shard.0 ^ 1), number: 1_000 },
        purpose: Purpose::Transfer,
    };
    append(dir.path(), account, shard, vec![credited(5), credited(10)]).await;
    // Found by the shard that opens, or before by the views if they are derived anew: as they are the second time.
    for _ in 0..2 {
        let refused = run(dir.path(), &["--listen", "127.0.0.1:0"]);
        assert_eq!(code(&refused), 4, "{}", said(&refused));
        for place in [&*format!("shard {shard}"), "slot ", "a channel's number is booked twice"] {
            assert!(said(&refused).contains(place), "{}", said(&refused));
        }
        std::fs::remove_dir_all(dir.path().join("views")).unwrap();
    }
}

/// What a store says of itself.
fn founding(data: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(data.join("store.json")).unwrap()).unwrap()
}

/// How many shards a store has.
pub fn shards(data: &Path) -> ShardCount {
    let shards = founding(data)["shards"].as_u64().unwrap();
    ShardCount::new(u16::try_from(shards).unwrap()).unwrap()
}

/// Appends a record that the journal itself finds right.
pub async fn append(data: &Path, account: AccountId, shard: ShardId, changes: Vec<Change>) {
    let id = founding(data)["id"].as_str().unwrap().parse().unwrap();
    let config = JournalConfig::new(Space::Ledger, id, shards(data));
    let lock = Arc::new(StoreLock::acquire(data).unwrap());
    let journal = EmbeddedJournal::open(lock, &config, OpenFrom::Everything, &[]).unwrap();
    let key = JournalKey { space: Space::Ledger, shard };
    let opened = journal.open(key).await.unwrap();
    let origin = Origin { operation: OperationId(Uuid::new_v4()), by: By::SYSTEM, trace: None };
    let mut payload = Writer::default();
    for (offset, change) in (1..).zip(changes) {
        let meta = Meta { at: opened.at.next(), origin: origin.clone() };
        payload.push(&Item::Event(Arc::new(Event { account, offset, meta, change }))).unwrap();
    }
    let record = Record {
        key,
        slot: opened.last.next(),
        term: opened.term,
        at: opened.at.next().next(),
        previous: opened.hash,
        payload: payload.finish(),
    };
    let appended = journal.append(opened.generation, record).await.unwrap();
    assert!(matches!(appended, Append::Durable { .. }), "{appended:?}");
}

//! The journal's encoding, byte by byte.
//!
//! Every event ever written must read as what it was. A row that fails here means that stores in the
//! field no longer open: variants and fields are only added at the end, under a new number of the
//! encoding, and the rows that stand here stay as they are.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::{Debug, Write};

use domain::ids::{AccountId, DeviceId, HoldId, OperationId, SessionId, ShardId, TransferId, UserId};
use domain::ledger::account::{Freeze, Limits, Standing};
use domain::ledger::{
    Balances, By, Change, ChannelNumber, Credit, DivertReason, Entry, Event, Fingerprint, LateOutcome, Meta, Movement,
    Origin, Party, Principal, Purpose, ReleaseCause, Resolution, Return, ShardEvent, Trace, Via,
};
use domain::money::{Currency, Minor};
use domain::sealed::Sealed;
use domain::time::{BusinessDay, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// What an event looks like before its change: account, offset, time, operation, who.
const HEAD: &str = "<a1> 8101 <meta>";
/// When, in the course of what, who, by which way, in which trace.
const META: &str = "8080f9c0c1c4820310090909090909090909090909090909090010010101010101010101010101010101010110515151515151515151515151515151510110d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1010107070707070707070707070707070707080808080808080801";

const fn id(number: u8) -> Uuid {
    Uuid::from_bytes([number; 16])
}

const ACCOUNT: AccountId = AccountId(id(0xa1));
const OWNER: UserId = UserId(id(0x01));
const PAYEE: Party = Party { user: UserId(id(0x02)), account: AccountId(id(0xa2)) };
const TRANSFER: TransferId = TransferId(id(0x71));
const HOLD: HoldId = HoldId(id(0x41));
const CHANNEL: ChannelNumber = ChannelNumber { peer: ShardId(300), number: 200 };
const DAY: BusinessDay = BusinessDay(20_000);
const FINGERPRINT: Option<Fingerprint> = Some(Fingerprint([0xf1; 16]));
const AFTER: Balances = Balances { posted: Minor::new(1_000), held: Minor::new(60) };
const STANDING: Standing = Standing {
    freeze: Freeze { debit: true, credit: false },
    limits: Limits { per_transaction: Some(Minor::new(500)), per_day: None },
    closed: false,
};

fn note() -> Sealed {
    Sealed { owner: OWNER, bytes: Box::new([0xee; 3]) }
}

fn origin() -> Origin {
    let session = Some(SessionId(id(0x51)));
    let device = Some(DeviceId(id(0xd1)));
    let by = By { principal: Principal::Person(OWNER), session, device, via: Via::WebSocket };
    Origin { operation: OperationId(id(0x09)), by, trace: Some(Trace { id: [7; 16], parent: [8; 8], flags: 1 }) }
}

fn meta() -> Meta {
    Meta { at: Timestamp(1_700_000_000_000_000), origin: origin() }
}

fn movement() -> Movement {
    let entry = Entry { number: 130, amount: Minor::new(300), currency: Currency::Kwd, after: AFTER };
    Movement { transfer: TRANSFER, entry, fingerprint: FINGERPRINT, note: Some(note()) }
}

fn plain() -> Movement {
    Movement { fingerprint: None, note: None, ..movement() }
}

fn credit() -> Credit {
    Credit {
        transfer: TRANSFER,
        payer: Party { user: OWNER, account: ACCOUNT },
        payee: PAYEE,
        amount: Minor::new(300),
        currency: Currency::Inr,
        purpose: Purpose::Transfer,
        note: Some(note()),
        origin: Origin { operation: OperationId(id(0x09)), by: By::SYSTEM, trace: None },
        debited_at: Timestamp(1_000),
    }
}

/// One of each. A new variant does not compile until it has a row below.
fn changes() -> Vec<(Change, &'static str)> {
    let capture = Purpose::Capture { hold: HOLD, held: Minor::new(60) };
    let debited = |purpose| Change::Debited {
        movement: plain(),
        day: DAY,
        owner: OWNER,
        payee: PAYEE,
        channel: CHANNEL,
        purpose,
    };
    let expires_at = Timestamp(2_000);
    let held = Change::Held {
        hold: HOLD,
        amount: Minor::new(60),
        currency: Currency::Jpy,
        owner: OWNER,
        payee: PAYEE,
        expires_at,
        day: DAY,
        after: AFTER,
        fingerprint: FINGERPRINT,
        note: Some(note()),
    };
    let released = |cause| Change::Released { hold: HOLD, amount: Minor::new(60), cause, after: AFTER };
    vec![
        (Change::Opened { owner: OWNER, currency: Currency::Eur }, "00 <1> 04"),
        (Change::Deposited { movement: movement() }, "01 <t> 8201d80402d00f7801 <f> 01 <1> 03eeeeee"),
        (Change::Withdrawn { movement: plain(), day: DAY }, "02 <t> 8201d80402d00f780000c0b802"),
        (debited(Purpose::Transfer), "03 <t> 8201d80402d00f780000c0b802 <1> <2> <a2> ac02c80100"),
        (debited(capture), "03 <t> 8201d80402d00f780000c0b802 <1> <2> <a2> ac02c80101 <h> 78"),
        (debited(Purpose::Refund { of: TRANSFER }), "03 <t> 8201d80402d00f780000c0b802 <1> <2> <a2> ac02c80102 <t>"),
        (
            Change::Credited {
                movement: plain(),
                payer: PAYEE,
                channel: CHANNEL,
                purpose: Purpose::Return { of: TRANSFER, refund_of: Some(TRANSFER) },
            },
            "04 <t> 8201d80402d00f780000 <2> <a2> ac02c80103 <t> 01 <t>",
        ),
        (held, "05 <h> 7801 <1> <2> <a2> d00fc0b802d00f7801 <f> 01 <1> 03eeeeee"),
        (released(ReleaseCause::Payer), "06 <h> 7800d00f78"),
        (released(ReleaseCause::Payee), "06 <h> 7801d00f78"),
        (released(ReleaseCause::Expired), "06 <h> 7802d00f78"),
        (Change::FreezeChanged { standing: STANDING, reason: Some(note()) }, "07010001e807000001 <1> 03eeeeee"),
        (Change::LimitsChanged { standing: STANDING }, "08010001e8070000"),
        (Change::Closed { standing: Standing { closed: true, ..STANDING } }, "09010001e8070001"),
        (Change::TransferUpdated { transfer: TRANSFER, outcome: LateOutcome::Settled }, "0a <t> 00"),
    ]
}

const fn change_variant(change: &Change) -> usize {
    match change {
        Change::Opened { .. } => 0,
        Change::Deposited { .. } => 1,
        Change::Withdrawn { .. } => 2,
        Change::Debited { .. } => 3,
        Change::Credited { .. } => 4,
        Change::Held { .. } => 5,
        Change::Released { .. } => 6,
        Change::FreezeChanged { .. } => 7,
        Change::LimitsChanged { .. } => 8,
        Change::Closed { .. } => 9,
        Change::TransferUpdated { .. } => 10,
    }
}

fn shard_events() -> Vec<(ShardEvent, &'static str)> {
    let back = Return { transfer: TransferId(id(0x72)), channel: CHANNEL };
    let diverted = |reason, returned| ShardEvent::Diverted {
        credit: credit(),
        channel: CHANNEL,
        reason,
        at: Timestamp(3_000),
        returned,
    };
    let resolved = |resolution| ShardEvent::SuspenseResolved { transfer: TRANSFER, resolution, meta: meta() };
    vec![
        (ShardEvent::TermBegan { term: 300 }, "00ac02"),
        (ShardEvent::Settled { peer: ShardId(300), through: 200, beyond: vec![202, 205] }, "01ac02c80102ca01cd01"),
        (
            diverted(DivertReason::Frozen, Some(back)),
            "02 <t> <1> <a1> <2> <a2> d804000001 <1> 03eeeeee10090909090909090909090909090909090100000300e807ac02c80100b81701 <r> ac02c801",
        ),
        (
            diverted(DivertReason::Closed, None),
            "02 <t> <1> <a1> <2> <a2> d804000001 <1> 03eeeeee10090909090909090909090909090909090100000300e807ac02c80101b81700",
        ),
        (
            diverted(DivertReason::Full, None),
            "02 <t> <1> <a1> <2> <a2> d804000001 <1> 03eeeeee10090909090909090909090909090909090100000300e807ac02c80102b81700",
        ),
        (
            diverted(DivertReason::Quarantined, None),
            "02 <t> <1> <a1> <2> <a2> d804000001 <1> 03eeeeee10090909090909090909090909090909090100000300e807ac02c80103b81700",
        ),
        (resolved(Resolution::Released { channel: CHANNEL }), "03 <t> 00ac02c801 <meta>"),
        (resolved(Resolution::Returned(back)), "03 <t> 01 <r> ac02c801 <meta>"),
        (ShardEvent::Quarantined { account: ACCOUNT, at: Timestamp(3_000) }, "04 <a1> b817"),
        (ShardEvent::QuarantineEnded { account: ACCOUNT, meta: meta() }, "05 <a1> <meta>"),
    ]
}

const fn shard_event_variant(event: &ShardEvent) -> usize {
    match event {
        ShardEvent::TermBegan { .. } => 0,
        ShardEvent::Settled { .. } => 1,
        ShardEvent::Diverted { .. } => 2,
        ShardEvent::SuspenseResolved { .. } => 3,
        ShardEvent::Quarantined { .. } => 4,
        ShardEvent::QuarantineEnded { .. } => 5,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The pinned text, with the names of its repeated parts spelled out.
fn spelled(pinned: &str) -> String {
    let ids =
        [("<1>", 0x01), ("<2>", 0x02), ("<a1>", 0xa1), ("<a2>", 0xa2), ("<t>", 0x71), ("<r>", 0x72), ("<h>", 0x41)];
    let mut text = pinned.replace("<head>", HEAD).replace("<meta>", META);
    for (name, byte) in ids {
        text = text.replace(name, &format!("10{}", hex(&[byte; 16])));
    }
    text.replace("<f>", &hex(&[0xf1; 16])).replace(' ', "")
}

/// The other way round, for whoever adds a row.
fn named(text: &str) -> String {
    let mut text = text.to_owned();
    let parts = ["<head>", "<meta>", "<1>", "<2>", "<a1>", "<a2>", "<t>", "<r>", "<h>", "<f>"];
    for part in parts {
        text = text.replace(&spelled(part), &format!(" {part} "));
    }
    text.trim().to_owned()
}

fn check<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: &T, pinned: &str) {
    let encoded = hex(&postcard::to_stdvec(value).unwrap());
    assert_eq!(encoded, spelled(pinned), "{value:?} is now encoded as: {}", named(&encoded));
    assert_eq!(&postcard::from_bytes::<T>(&unhex(&spelled(pinned))).unwrap(), value, "reads back");
}

#[test]
fn an_accounts_events_are_encoded_as_ever() {
    let mut seen = [false; 11];
    for (change, pinned) in changes() {
        seen[change_variant(&change)] = true;
        let event = Event { account: ACCOUNT, offset: 129, meta: meta(), change };
        check(&event, &format!("<head>{pinned}"));
    }
    assert_eq!(seen, [true; 11], "every variant has a row");
}

#[test]
fn a_shards_events_are_encoded_as_ever() {
    let mut seen = [false; 6];
    for (event, pinned) in shard_events() {
        seen[shard_event_variant(&event)] = true;
        check(&event, pinned);
    }
    assert_eq!(seen, [true; 6], "every variant has a row");
}

#[test]
fn names_keep_their_numbers() {
    let currencies = [Currency::Inr, Currency::Jpy, Currency::Kwd, Currency::Usd, Currency::Eur];
    assert_eq!(currencies, Currency::ALL, "a new currency comes last, here too");
    for (currency, pinned) in currencies.iter().zip(["00", "01", "02", "03", "04"]) {
        check(currency, pinned);
    }
    let ways = [Via::Http, Via::WebSocket, Via::Operator, Via::System];
    for (via, pinned) in ways.iter().zip(["00", "01", "02", "03"]) {
        check(via, pinned);
    }
    check(&Principal::Person(OWNER), "00<1>");
    check(&Principal::System, "01");
    check(&By::SYSTEM, "01000003");
    let amounts = [(0, "00"), (1, "02"), (-1, "01"), (64, "8001"), (domain::money::MINOR_MAX, "8080b4ccd4dfc603")];
    for (amount, pinned) in &amounts {
        check(&Minor::new(*amount), pinned);
    }
}

//! Golden JSON: what stands in `golden/*.json` parses and serialises back identically.
//!
//! A change that makes one of these fail changes what clients see: it needs a decision record.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets what it does not expect fails")]

use std::collections::BTreeMap;

use protocol::event::room::{
    MemberUpdate, MessageNew, MessageUpdate, NotificationNew, NotificationUpdate, RoomUpdate, SecurityNew,
};
use protocol::event::{AccountUpdate, BalanceUpdate, TransactionNew, TransactionUpdate};
use protocol::frame::{decode, decode_server};
use protocol::http::page::Items;
use protocol::http::{account, admin, auth, health, hold, presence, room, transaction, user};
use protocol::problem::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

type Cases = BTreeMap<String, Vec<Box<RawValue>>>;

/// JSON without the spaces between its tokens; texts and numbers stay as they are written.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for letter in json.chars() {
        if quoted || !letter.is_ascii_whitespace() {
            out.push(letter);
        }
        if quoted && letter == '\\' {
            escaped = !escaped;
            continue;
        }
        if letter == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = false;
    }
    out
}

fn same<T: Serialize + DeserializeOwned>(name: &str, cases: &[Box<RawValue>]) {
    assert!(!cases.is_empty(), "{name} has no case");
    for case in cases {
        let value: T = serde_json::from_str(case.get()).unwrap_or_else(|error| panic!("{name}: {error}: {case}"));
        assert_eq!(serde_json::to_string(&value).unwrap(), compact(case.get()), "{name}");
        // Clients may be newer: what nobody knows is ignored.
        if let Some(rest) = case.get().strip_prefix('{') {
            let comma = if compact(rest) == "}" { "" } else { "," };
            let newer = format!(r#"{{"someNewerField":[1]{comma}{rest}"#);
            let value: T = serde_json::from_str(&newer).unwrap_or_else(|error| panic!("{name}: {error}: {newer}"));
            assert_eq!(serde_json::to_string(&value).unwrap(), compact(case.get()), "{name}");
        }
    }
}

#[test]
fn bodies() {
    let cases: Cases = serde_json::from_str(include_str!("golden/bodies.json")).unwrap();
    for (name, cases) in &cases {
        let check: fn(&str, &[Box<RawValue>]) = match name.as_str() {
            "SignUpRequest" => same::<auth::SignUpRequest>,
            "SignInRequest" => same::<auth::SignInRequest>,
            "RefreshRequest" => same::<auth::RefreshRequest>,
            "SignOutRequest" => same::<auth::SignOutRequest>,
            "TokensResponse" => same::<auth::TokensResponse>,
            "VerifyResponse" => same::<auth::VerifyResponse>,
            "UpdateUserRequest" => same::<user::UpdateUserRequest>,
            "DeleteUserRequest" => same::<user::DeleteUserRequest>,
            "FindUsersRequest" => same::<user::FindUsersRequest>,
            "FindUsersResponse" => same::<user::FindUsersResponse>,
            "BalanceResponse" => same::<account::BalanceResponse>,
            "FundingRequest" => same::<account::FundingRequest>,
            "TransferRequest" => same::<account::TransferRequest>,
            "TransactionResponse" => same::<account::TransactionResponse>,
            "TransactionsQuery" => same::<transaction::TransactionsQuery>,
            "TransactionsResponse" => same::<transaction::TransactionsResponse>,
            "Transaction" => same::<transaction::Transaction>,
            "RefundRequest" => same::<transaction::RefundRequest>,
            "RefundResponse" => same::<transaction::RefundResponse>,
            "HoldRequest" => same::<hold::HoldRequest>,
            "HoldResponse" => same::<hold::HoldResponse>,
            "CaptureRequest" => same::<hold::CaptureRequest>,
            "CaptureResponse" => same::<hold::CaptureResponse>,
            "ReleaseResponse" => same::<hold::ReleaseResponse>,
            "FreezeRequest" => same::<admin::FreezeRequest>,
            "FreezeResponse" => same::<admin::FreezeResponse>,
            "PresenceResponse" => same::<presence::PresenceResponse>,
            "RoomPresenceResponse" => same::<presence::RoomPresenceResponse>,
            "SessionsResponse" => same::<auth::SessionsResponse>,
            "HistoryResponse" => same::<room::HistoryResponse>,
            "DeadLetters" => same::<Items<admin::DeadLetter>>,
            "CacheResponse" => same::<admin::CacheResponse>,
            "HealthResponse" => same::<health::HealthResponse>,
            "Problem" => same::<Problem>,
            other => panic!("nobody checks {other}"),
        };
        check(name, cases);
    }
    assert_eq!(cases.len(), 34, "a body lost its golden case");
}

#[test]
fn events() {
    let cases: Cases = serde_json::from_str(include_str!("golden/events.json")).unwrap();
    same::<TransactionNew>("TransactionNew", &cases["TransactionNew"]);
    same::<TransactionUpdate>("TransactionUpdate", &cases["TransactionUpdate"]);
    same::<BalanceUpdate>("BalanceUpdate", &cases["BalanceUpdate"]);
    same::<AccountUpdate>("AccountUpdate", &cases["AccountUpdate"]);
    same::<MessageNew>("MessageNew", &cases["MessageNew"]);
    same::<MessageUpdate>("MessageUpdate", &cases["MessageUpdate"]);
    same::<MemberUpdate>("MemberUpdate", &cases["MemberUpdate"]);
    same::<RoomUpdate>("RoomUpdate", &cases["RoomUpdate"]);
    same::<NotificationNew>("NotificationNew", &cases["NotificationNew"]);
    same::<NotificationUpdate>("NotificationUpdate", &cases["NotificationUpdate"]);
    same::<SecurityNew>("SecurityNew", &cases["SecurityNew"]);
}

#[test]
fn client_frames() {
    let text = include_str!("golden/client_frames.json");
    let frames: Vec<_> =
        decode(text).unwrap().into_iter().collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(serde_json::to_string(&frames).unwrap(), compact(text));
}

#[test]
fn server_frames() {
    let text = include_str!("golden/server_frames.json");
    let frames = decode_server(text).unwrap();
    assert_eq!(serde_json::to_string(&frames).unwrap(), compact(text));
    for frame in &frames {
        assert_eq!(decode_server(&frame.encode()).unwrap(), std::slice::from_ref(frame));
    }
}

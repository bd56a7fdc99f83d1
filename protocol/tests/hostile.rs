//! Text from strangers: the decoders answer an error or a frame, and never panic.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets what it does not expect fails")]

use proptest::prelude::*;
use protocol::frame::{FRAMES_MAX, decode, decode_server};
use serde_json::{Value, json};

const CLIENT: &str = include_str!("golden/client_frames.json");
const SERVER: &str = include_str!("golden/server_frames.json");

/// One change of a text, as a broken or hostile client makes it.
#[derive(Clone, Debug)]
enum Change {
    Cut(prop::sample::Index),
    Remove(prop::sample::Index),
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, String),
    Repeat(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let token = prop::sample::select(vec![
        "null",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "\\",
        ",",
        ":",
        "\\u0000",
        "\\ud800",
        "1e999",
        "-1",
        "18446744073709551616",
        "[[[[",
    ]);
    prop_oneof![
        at().prop_map(Change::Cut),
        at().prop_map(Change::Remove),
        (at(), any::<char>()).prop_map(|(at, letter)| Change::Replace(at, letter)),
        (at(), token).prop_map(|(at, token)| Change::Insert(at, token.into())),
        (at(), 1..200_usize).prop_map(|(at, times)| Change::Repeat(at, times)),
    ]
}

fn apply(text: &str, changes: &[Change]) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for change in changes {
        if letters.is_empty() {
            break;
        }
        match change {
            Change::Cut(at) => letters.truncate(at.index(letters.len())),
            Change::Remove(at) => _ = letters.remove(at.index(letters.len())),
            Change::Replace(at, letter) => {
                let at = at.index(letters.len());
                letters[at] = *letter;
            }
            Change::Insert(at, text) => {
                let at = at.index(letters.len());
                letters.splice(at..at, text.chars());
            }
            Change::Repeat(at, times) => {
                let at = at.index(letters.len());
                let letter = letters[at];
                letters.splice(at..at, std::iter::repeat_n(letter, *times));
            }
        }
    }
    letters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_frames_never_panic(changes in prop::collection::vec(change(), 1..6), client in any::<bool>()) {
        let text = apply(if client { CLIENT } else { SERVER }, &changes);
        if let Ok(frames) = decode(&text) {
            prop_assert!(!frames.is_empty() && frames.len() <= FRAMES_MAX);
            for frame in frames.into_iter().flatten() {
                // What was understood can be said again, and is understood the same.
                let again = serde_json::to_string(&frame).unwrap();
                let back = decode(&again).map_err(|error| error.to_string()).unwrap().pop().unwrap();
                prop_assert!(back.is_ok_and(|back| back == frame), "{}", again);
            }
        }
        if let Ok(frames) = decode_server(&text) {
            prop_assert!(frames.len() <= FRAMES_MAX);
        }
    }

    #[test]
    fn one_mutated_frame_keeps_its_id(
        index in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..3),
    ) {
        let frames: Vec<&serde_json::value::RawValue> = serde_json::from_str(CLIENT).unwrap();
        let text = apply(index.get(&frames).get(), &changes);
        if let Ok(Err(error)) = decode(&text).map(|mut frames| frames.pop().unwrap()) {
            prop_assert!(error.id.is_none_or(|id| text.contains('"') && id.chars().count() <= 64));
            prop_assert!(error.message.len() < 1000);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        prop_assert!(decode(&text).is_ok_and(|frames| frames.len() <= FRAMES_MAX) || decode(&text).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        let is_json = text.trim_start().starts_with(['{', '[']);
        prop_assert!(decode(&text).is_err() || is_json);
    }
}

/// What a stranger may put where something else is due.
fn hostile_values() -> Vec<Value> {
    let long = "x".repeat(70_000);
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(1.5),
        json!(""),
        json!("\u{0}\u{202e}\u{feff}"),
        json!("room:"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!(long),
        json!([]),
        json!(vec![0; 5_000]),
        json!([[[]]]),
        json!({}),
        json!({"epoch": "", "offset": u64::MAX}),
    ]
}

/// Every place in a value at which another may stand.
fn places(value: &Value, path: &str, all: &mut Vec<String>) {
    all.push(path.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, inside)| places(inside, &format!("{path}/{name}"), all));
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(at, it)| places(it, &format!("{path}/{at}"), all)),
        _ => {}
    }
}

#[test]
fn every_field_of_every_frame_bears_every_hostile_value() {
    let frames: Vec<Value> = serde_json::from_str(CLIENT).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for frame in &frames {
        let mut all = Vec::new();
        places(frame, "", &mut all);
        for path in &all {
            for value in hostile_values() {
                let mut changed = frame.clone();
                *changed.pointer_mut(path).unwrap() = value;
                let text = changed.to_string();
                match decode(&text).map(|mut frames| frames.pop().unwrap()) {
                    Ok(Ok(understood)) => {
                        taken += 1;
                        let again = serde_json::to_string(&understood).unwrap();
                        let back = decode(&again).map_err(|error| error.to_string()).unwrap().pop().unwrap();
                        assert!(back.is_ok_and(|back| back == understood), "{again}");
                    }
                    Ok(Err(error)) | Err(error) => {
                        refused += 1;
                        // Short enough to be sent back, and under the request's own id where it has one.
                        assert!(error.message.len() < 1_000, "{path}: {error}");
                        let known =
                            frame.get("id").and_then(Value::as_str).filter(|_| !path.is_empty() && path != "/id");
                        assert!(error.id.as_deref() == known, "{path} of {frame}: {error}");
                    }
                }
            }
        }
    }
    assert!(taken > 100 && refused > 1_000, "both sides are reached: {taken}, {refused}");
}

#[test]
fn depth_is_no_danger() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = open.repeat(50_000) + &close.repeat(50_000);
        assert!(decode(&deep).is_err() || decode(&deep).is_ok_and(|frames| frames.iter().all(Result::is_err)));
        let inside = format!(r#"{{"type":"call","id":"a","method":"account.balance","params":{deep}}}"#);
        // Params are kept as text; whoever reads them has serde_json's own limit on depth.
        assert!(decode(&inside).is_err() || decode(&inside).is_ok_and(|frames| frames.len() == 1));
    }
}

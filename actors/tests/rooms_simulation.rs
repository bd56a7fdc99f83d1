//! A deterministic simulation of rooms and their stores, which crash at any point, lose what was not
//! durable, and tell outcomes late or not at all; clients ask again under the same key.
//!
//! `SEEDS=10000` runs more seeds, `SEED=7` replays one.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test that fails says so, and a seed is printed"
)]

#[path = "rooms_simulation/clients.rs"]
mod clients;
#[path = "rooms_simulation/end.rs"]
mod end;
#[path = "rooms_simulation/life.rs"]
mod life;
#[path = "rooms_simulation/stores.rs"]
mod stores;
#[path = "rooms_simulation/world.rs"]
mod world;

/// Keeps the faults that are put in on purpose out of the output.
fn silence_faults() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&"a fault was put in") {
                before(panic);
            }
        }));
    });
}

#[test]
fn what_was_acknowledged_is_there_once_and_in_order() {
    silence_faults();
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..=seed,
        (None, seeds) => 1..=seeds.unwrap_or(400),
    };
    let mut sum = life::Summary::default();
    for seed in seeds {
        match life::run(seed) {
            Ok(ran) => sum.add(&ran),
            Err(wrong) => panic!("SEED={seed}: {wrong}"),
        }
    }
    println!("{sum:?}");
    assert!(sum.acknowledged > 0 && sum.replayed > 0);
}

#[test]
fn a_seed_replays() {
    silence_faults();
    for seed in 1..=20 {
        assert_eq!(life::run(seed), life::run(seed), "seed {seed}");
    }
}

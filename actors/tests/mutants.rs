//! The simulation finds every fault that is put in on purpose.
//!
//! A mutant is one for the whole process, so they take turns in one test.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails says so, and a seed is printed")]

#[path = "simulation/disk.rs"]
mod disk;
#[path = "simulation/end.rs"]
mod end;
#[path = "simulation/life.rs"]
mod life;
#[path = "simulation/link.rs"]
mod link;
#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/people.rs"]
mod people;
#[path = "simulation/rows.rs"]
mod rows;
#[path = "simulation/seeds.rs"]
mod seeds;
#[path = "simulation/world.rs"]
mod world;

use actors::mutant::{Mutant, put_in};

/// How many seeds a mutant may live through.
const SEEDS: u64 = 500;

#[test]
fn every_mutant_is_found() {
    seeds::silence_faults();
    let (seeds, workers) = seeds::asked_for(SEEDS);
    let mutants = [
        Mutant::AcknowledgeEarly,
        Mutant::NoWatermark,
        Mutant::NoHandedState,
        Mutant::ActivateFromDurable,
        Mutant::CreditBeforeDebitDurable,
        Mutant::CheckpointWithoutHead,
        Mutant::DecisionsByMail,
        Mutant::FactsWithoutIndex,
    ];
    let mut alive = Vec::new();
    for mutant in mutants {
        put_in(Some(mutant));
        match seeds::run_all(seeds.clone(), workers) {
            Err((seed, wrong)) => println!("{mutant:?} is found by seed {seed}: {wrong}"),
            Ok(_) => alive.push(mutant),
        }
    }
    put_in(None);
    assert!(alive.is_empty(), "not found in {seeds:?}: {alive:?}");
}

//! Sessions, streams, cursors and dead letters under chance: clients that acknowledge what they like, actors that
//! panic, nodes that crash. Time is paused, and a seed tells everything.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test that fails says so, and a seed is printed"
)]

#[path = "delivery/device.rs"]
mod device;
#[path = "delivery/log.rs"]
mod log;
#[path = "delivery/node.rs"]
mod node;
#[path = "delivery/store.rs"]
mod store;

use std::sync::Arc;
use std::time::Duration;

use crate::device::Device;
use crate::log::{Chance, Log, STREAMS};
use crate::node::Node;
use crate::store::Disk;

/// What happens in one life of the world.
const STEPS: u32 = 250;

/// Lives one seed; every offset must be applied, dead-lettered or said as a gap, in order, on every device.
///
/// Answers how many dead letters there were, and how many messages came again.
async fn live(seed: u64) -> (usize, u64) {
    let mut chance = Chance::new(seed);
    let (log, disk) = (Arc::new(Log::default()), Arc::new(Disk::default()));
    let mut node = Node::start(&log, &disk, seed).await;
    let mut devices: Vec<Device> = (1..=2).map(Device::new).collect();
    for _ in 0..STEPS {
        match chance.below(20) {
            0..8 => log.append(&node, chance.below(STREAMS.len() as u64) as usize),
            8..14 => {
                let device = chance.below(2) as usize;
                devices[device].act(&node, &mut chance).await;
            }
            14..18 => tokio::time::sleep(Duration::from_millis(chance.below(20_000))).await,
            18 => match chance.below(6) {
                0 => node.fail_dead_letters().await,
                1 => node.fail_sweeper().await,
                2 => devices[chance.below(2) as usize].panic(),
                3 | 4 => {
                    let (number, count) = (chance.below(STREAMS.len() as u64) as usize, chance.below(4));
                    node.fail_streams(number, &log, count).await;
                }
                _ => disk.fail_next_writes(chance.below(4)),
            },
            _ if chance.below(4) == 0 => {
                node.crash();
                for device in &mut devices {
                    device.cut();
                    device.judge_cursors(&disk);
                }
                node = Node::start(&log, &disk, chance.below(u64::MAX)).await;
            }
            _ => {}
        }
        for device in &mut devices {
            device.listen().await;
        }
    }
    disk.fail_next_writes(0);
    for round in 0.. {
        assert!(round < 200, "seed {seed}: it never comes to rest");
        let mut rests = true;
        for device in &mut devices {
            rests &= device.catch_up(&node, &log).await;
        }
        if rests {
            break;
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    for device in &devices {
        device.judge(&log, &disk);
    }
    (disk.letters(), devices.iter().map(Device::repeats).sum())
}

#[test]
fn no_seed_loses_a_message_or_skips_one_in_silence() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        if !text.contains("a fault was put in") {
            eprintln!("{text}");
        }
    }));
    let (mut letters, mut repeats) = (0, 0);
    for seed in 1..=60 {
        println!("seed {seed}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let lived = runtime.block_on(live(seed));
        (letters, repeats) = (letters + lived.0, repeats + lived.1);
    }
    // A world in which nothing goes wrong proves nothing.
    assert!(letters > 60 && repeats > 600, "{letters} dead letters, {repeats} repeats");
}

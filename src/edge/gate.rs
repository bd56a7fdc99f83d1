//! The gate: how many connections there are, in all and from one address.
//!
//! A connection holds a [`Permit`] from accept to its last byte, whatever it becomes; that all permits are back is
//! how a stopping node knows that it is drained.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use parking_lot::Mutex;
use protocol::code::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::metrics::{ACCEPTED, CONNECTIONS, REFUSED};

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The node holds as many connections as it may.
    Full,
    /// This address holds as many as it may.
    Address,
}

impl Refused {
    /// The code of the answer.
    pub const fn code(self) -> Code {
        match self {
            Self::Full => Code::Busy,
            Self::Address => Code::TooManyConnections,
        }
    }

    /// A stable name, for metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Full => "node_full",
            Self::Address => "too_many_connections",
        }
    }
}

/// When somebody who is refused should come back: between once and twice `least`, so that those who are refused
/// together do not come back together.
pub fn retry_after(least: Duration) -> Duration {
    least.mul_f64(1.0 + rand::random::<f64>())
}

/// Counts connections. One a node.
#[derive(Debug)]
pub struct Gate {
    room: Arc<Semaphore>,
    connections_max: u32,
    per_address_max: u32,
    addresses: Mutex<HashMap<AddressBlock, u32>>,
}

/// Leave to hold one connection. Dropping it gives the place back.
#[derive(Debug)]
pub struct Permit {
    _address: Option<AddressPermit>,
    _room: OwnedSemaphorePermit,
}

/// Leave to hold one connection of an address.
#[derive(Debug)]
pub struct AddressPermit {
    gate: Arc<Gate>,
    block: AddressBlock,
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which one household has whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct AddressBlock(u128);

impl Gate {
    /// A gate for `connections_max` connections, `per_address_max` of them from one address (an IPv6 /64 is one).
    pub fn new(connections_max: u32, per_address_max: u32) -> Arc<Self> {
        // The semaphore's own maximum is below 2³² on 32-bit systems.
        let places = usize::try_from(connections_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            room: Arc::new(Semaphore::new(places)),
            connections_max: u32::try_from(places).unwrap_or(u32::MAX),
            per_address_max,
            addresses: Mutex::default(),
        })
    }

    /// Admits a connection, counted against `address` unless that is `None`: a proxy's connections are many
    /// clients', who are counted by [`Gate::admit_address`] once they are known.
    ///
    /// # Errors
    /// There is no room, in all or for this address.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Refused> {
        let room = self.room.clone().try_acquire_owned().map_err(|_| refused(Refused::Full))?;
        let address = address.map(|address| self.admit_address(address)).transpose()?;
        counter!(ACCEPTED).increment(1);
        gauge!(CONNECTIONS).increment(1.0);
        Ok(Permit { _address: address, _room: room })
    }

    /// Counts a connection against an address alone.
    ///
    /// # Errors
    /// This address holds as many as it may.
    pub fn admit_address(self: &Arc<Self>, address: IpAddr) -> Result<AddressPermit, Refused> {
        let block = AddressBlock::of(address);
        let mut addresses = self.addresses.lock();
        let count = addresses.entry(block).or_default();
        if *count >= self.per_address_max {
            // Only an address that holds none can be refused at 0, and must not stay in the map.
            if *count == 0 {
                addresses.remove(&block);
            }
            return Err(refused(Refused::Address));
        }
        *count += 1;
        Ok(AddressPermit { gate: self.clone(), block })
    }

    /// Connections that are open now.
    pub fn connections(&self) -> u32 {
        self.connections_max.saturating_sub(u32::try_from(self.room.available_permits()).unwrap_or(u32::MAX))
    }

    /// Waits until every connection is gone, at most for `patience`; answers how many are left. Nothing may be
    /// admitted any more when this is called.
    pub async fn drained(&self, patience: Duration) -> u32 {
        match tokio::time::timeout(patience, self.room.acquire_many(self.connections_max)).await {
            Ok(_) => 0,
            Err(_) => self.connections(),
        }
    }
}

fn refused(why: Refused) -> Refused {
    counter!(REFUSED, "reason" => why.name()).increment(1);
    why
}

impl Drop for Permit {
    fn drop(&mut self) {
        gauge!(CONNECTIONS).decrement(1.0);
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut addresses = self.gate.addresses.lock();
        if let Some(count) = addresses.get_mut(&self.block) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                addresses.remove(&self.block);
            }
        }
    }
}

impl AddressBlock {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // The same number space as IPv6: an IPv4 address is its mapped form.
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() & (u128::MAX << 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(gate: &Arc<Gate>, address: &str) -> Result<Permit, Refused> {
        gate.admit(Some(address.parse().unwrap()))
    }

    #[test]
    fn the_node_is_full_before_its_descriptors_are() {
        let gate = Gate::new(2, 10);
        let first = admit(&gate, "10.0.0.1").unwrap();
        let _second = gate.admit(None).unwrap();
        assert_eq!(admit(&gate, "10.0.0.2").unwrap_err(), Refused::Full);
        assert_eq!(gate.connections(), 2);
        drop(first);
        assert_eq!(gate.connections(), 1);
        assert!(admit(&gate, "10.0.0.2").is_ok());
    }

    #[test]
    fn one_address_cannot_take_the_room_of_all() {
        let gate = Gate::new(10, 2);
        for (one, same, other) in [
            ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
        ] {
            let first = admit(&gate, one).unwrap();
            let second = admit(&gate, same).unwrap();
            assert_eq!(admit(&gate, one).unwrap_err(), Refused::Address);
            let _other = admit(&gate, other).unwrap();
            drop(first);
            let third = admit(&gate, same).unwrap();
            drop((second, third));
        }
        assert_eq!(gate.connections(), 0, "a refused connection holds no place");
        assert!(gate.addresses.lock().is_empty(), "an address without connections costs no memory");
    }

    #[tokio::test]
    async fn drained_says_how_many_are_left() {
        let gate = Gate::new(5, 5);
        let one = gate.admit(None).unwrap();
        assert_eq!(gate.drained(Duration::ZERO).await, 1);
        let gone = tokio::spawn(async move { drop(one) });
        assert_eq!(gate.drained(Duration::from_secs(10)).await, 0);
        gone.await.unwrap();
    }
}

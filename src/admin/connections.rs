//! Which open connection makes room for another one. Pure.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// The open connections, the oldest first.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    open: Vec<(Id, Peer)>,
    last: u64,
}

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u64);

/// Addresses that one machine can choose among: a single IPv4 address, or the /64 network of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Peer(IpAddr);

impl Peer {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl Connections {
    /// No more than `limit` at a time.
    pub(super) fn up_to(limit: usize) -> Self {
        Self { limit, open: Vec::new(), last: 0 }
    }

    /// Takes a new connection in. Returns it with the one that must be closed for it, if there are too many.
    pub(super) fn admit(&mut self, address: IpAddr) -> (Id, Option<Id>) {
        let evicted = if self.open.len() < self.limit { None } else { self.evict() };
        self.last += 1;
        let id = Id(self.last);
        self.open.push((id, Peer::of(address)));
        (id, evicted)
    }

    /// Gives up the oldest connection of the peer that has the most: a flood from one machine never closes the connection of another.
    pub(super) fn evict(&mut self) -> Option<Id> {
        let mut counts = HashMap::<Peer, usize>::new();
        for (_, peer) in &self.open {
            *counts.entry(*peer).or_default() += 1;
        }
        let most = counts.values().copied().max()?;
        let position = self.open.iter().position(|(_, peer)| counts.get(peer) == Some(&most))?;
        Some(self.open.remove(position).0)
    }

    /// A connection has ended.
    pub(super) fn ended(&mut self, id: Id) {
        self.open.retain(|(open, _)| *open != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_flood_from_one_machine_closes_its_own_connections_only() {
        let mut connections = Connections::up_to(3);
        let (probe, _) = connections.admit(address("10.0.0.1"));
        let (first, _) = connections.admit(address("10.0.0.2"));
        let (second, evicted) = connections.admit(address("10.0.0.2"));
        assert_eq!(evicted, None);
        let (third, evicted) = connections.admit(address("10.0.0.2"));
        assert_eq!(evicted, Some(first));
        assert_eq!(connections.admit(address("10.0.0.2")).1, Some(second));
        connections.ended(probe);
        assert_eq!(connections.admit(address("10.0.0.2")).1, None);
        assert_eq!(connections.admit(address("10.0.0.3")).1, Some(third));
    }

    #[test]
    fn the_oldest_goes_when_all_are_of_one_machine_or_of_one_each() {
        for peers in [["10.0.0.1", "10.0.0.1"], ["10.0.0.1", "10.0.0.2"]] {
            let mut connections = Connections::up_to(2);
            let [first, second] = peers.map(|peer| connections.admit(address(peer)).0);
            assert_eq!(connections.admit(address("10.0.0.3")).1, Some(first));
            connections.ended(second);
        }
    }

    #[test]
    fn a_machine_with_a_network_of_its_own_counts_once() {
        let mut connections = Connections::up_to(3);
        connections.admit(address("fd00:1::1"));
        let (first, _) = connections.admit(address("fd00:2::1"));
        connections.admit(address("fd00:2::ffff:1"));
        assert_eq!(connections.admit(address("fd00:3::1")).1, Some(first));
        let mut mapped = Connections::up_to(3);
        mapped.admit(address("10.0.0.1"));
        let (first, _) = mapped.admit(address("10.0.0.2"));
        mapped.admit(address("::ffff:10.0.0.2"));
        assert_eq!(mapped.admit(address("::ffff:10.0.0.3")).1, Some(first), "an IPv4 address in the form of IPv6");
    }

    #[test]
    fn nothing_is_given_up_where_nothing_is_open() {
        assert_eq!(Connections::up_to(1).evict(), None);
    }
}

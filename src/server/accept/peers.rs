//! How many connections each client address has.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Open connections by client. Holds an entry only for clients that have one.
#[derive(Debug)]
pub(super) struct Peers {
    most: u32,
    open: Mutex<HashMap<IpAddr, u32>>,
}

/// One connection of a client, until dropped.
#[derive(Debug)]
pub(super) struct Counted {
    peers: Arc<Peers>,
    client: IpAddr,
}

impl Peers {
    /// At most this many connections of each client.
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            open: Mutex::default(),
        }
    }

    /// Counts one more connection of `peer`; `None` if it has as many as it may.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Counted> {
        let client = client(peer);
        let mut open = self.lock();
        let count = open.entry(client).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Counted {
            peers: Arc::clone(self),
            client,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.peers.lock();
        if let Entry::Occupied(mut count) = open.entry(self.client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Who an address belongs to: an IPv6 client has a whole /64 (RFC 6177).
fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(peer) => IpAddr::V4(peer),
        IpAddr::V6(peer) => {
            let network = u128::from(peer) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_limit_and_leaves_nothing_behind() {
        let peers = Arc::new(Peers::new(2));
        let admit = |peer: &str| peers.admit(peer.parse().unwrap());
        let first = admit("192.0.2.1").unwrap();
        let second = admit("::ffff:192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_none());
        let other = admit("192.0.2.2").unwrap();
        drop(first);
        let third = admit("192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_none());
        drop((second, other, third));
        assert!(peers.lock().is_empty());
    }

    #[test]
    fn an_ipv6_client_is_its_network_of_64_bits() {
        let peers = Arc::new(Peers::new(1));
        let admit = |peer: &str| peers.admit(peer.parse().unwrap());
        let _one = admit("2001:db8::1").unwrap();
        assert!(admit("2001:db8::ffff:0:0:2").is_none());
        assert!(admit("2001:db8:0:1::1").is_some());
    }
}

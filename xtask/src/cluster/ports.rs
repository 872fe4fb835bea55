//! Free TCP ports for clusters that run side by side.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Below what the kernel hands out to outgoing connections (32768 and up) and below NodePorts (30000 and up).
const RANGE: std::ops::Range<u16> = 18_000..29_900;

/// The ports of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// kube-apiserver.
    pub api: u16,
    /// etcd, for clients.
    pub etcd: u16,
    /// etcd, for its (absent) peers.
    pub etcd_peer: u16,
    /// kube-controller-manager.
    pub controller_manager: u16,
    /// kube-scheduler.
    pub scheduler: u16,
}

impl Ports {
    /// All of them.
    pub fn all(&self) -> [u16; 5] {
        [self.api, self.etcd, self.etcd_peer, self.controller_manager, self.scheduler]
    }

    /// Five ports that are free and not in `taken` (those of other clusters, which may be stopped just now).
    /// The search begins at `start`, so that runs which cannot see each other's records rarely meet.
    ///
    /// # Errors
    /// When there are no five.
    pub fn pick(taken: &BTreeSet<u16>, start: u16, free: impl Fn(u16) -> bool) -> Result<Self> {
        let count = RANGE.end - RANGE.start;
        let mut found = (0..count)
            .map(|step| RANGE.start + (start % count + step) % count)
            .filter(|port| !taken.contains(port) && free(*port));
        let mut next = || found.next();
        match (next(), next(), next(), next(), next()) {
            (Some(api), Some(etcd), Some(etcd_peer), Some(controller_manager), Some(scheduler)) => {
                Ok(Self { api, etcd, etcd_peer, controller_manager, scheduler })
            }
            _ => bail!("no five free TCP ports between {} and {}", RANGE.start, RANGE.end),
        }
    }
}

/// Whether nobody listens on this port, on any address.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn picks_distinct_ports_that_are_neither_taken_nor_busy() {
        let taken = BTreeSet::from([18_001, 18_003]);
        let ports = Ports::pick(&taken, 1, |port| port != 18_002).unwrap();
        assert_eq!(ports.all(), [18_004, 18_005, 18_006, 18_007, 18_008]);
    }

    #[test]
    fn goes_around_at_the_end_and_gives_up_when_nothing_is_free() {
        let ports = Ports::pick(&BTreeSet::new(), RANGE.end - RANGE.start - 2, |_| true).unwrap();
        assert_eq!(ports.all(), [29_898, 29_899, 18_000, 18_001, 18_002]);
        assert!(Ports::pick(&BTreeSet::new(), u16::MAX, |port| port % 5_000 == 0).is_err());
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }
}

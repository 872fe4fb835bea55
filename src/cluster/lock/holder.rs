//! Who holds a lock, as the Lease tells it: the identity in its `spec`, everything else in annotations.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::coordination::v1::Lease;
use serde::{Deserialize, Serialize};

const USER: &str = "rekindle.dev/user";
const HOST: &str = "rekindle.dev/host";
const RUN: &str = "rekindle.dev/run";
const PHASE: &str = "rekindle.dev/phase";
const PID: &str = "rekindle.dev/pid";
const PID_STARTED: &str = "rekindle.dev/pid-started";
const UID: &str = "rekindle.dev/uid";
const BOOT: &str = "rekindle.dev/boot-id";
const PID_NAMESPACE: &str = "rekindle.dev/pid-namespace";

/// A process, told apart from every other one on every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot (`/proc/PID/stat`): a number is given again, this one is not.
    pub started: u64,
    /// The user that it runs as: another user may not be able to see it.
    pub uid: u32,
    /// The machine's boot, `/proc/sys/kernel/random/boot_id`; empty where that is not known.
    pub boot: String,
    /// The space in which the number counts, as `/proc/self/ns/pid` names it; empty where that is not known.
    pub pid_namespace: String,
}

/// Tells when the process with a number started, or that there is none. Only asked about processes of one's own machine, boot,
/// user and number space.
pub type Probe = fn(u32) -> Option<u64>;

impl Process {
    /// Whether this process can tell if another one lives, and then whether it does.
    pub fn sees(&self, other: &Self, probe: Probe) -> Option<bool> {
        let known = !self.boot.is_empty() && !self.pid_namespace.is_empty();
        let same = (self.boot == other.boot) && (self.pid_namespace == other.pid_namespace) && (self.uid == other.uid);
        (known && same).then(|| probe(other.pid) == Some(other.started))
    }
}

/// A run that holds a lock, or wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Name of the person or account.
    pub user: String,
    /// Name of the machine.
    pub host: String,
    /// The run's id.
    pub run: String,
    /// The phase that it is in; empty before the first.
    pub phase: String,
    /// Its process, where the record tells it.
    pub process: Option<Process>,
    /// Since when it holds the lock, by its own clock.
    pub since: Option<jiff::Timestamp>,
    /// The record's `holderIdentity` where it was not written by [`Holder::identity`].
    other: Option<String>,
}

impl Holder {
    /// A run that wants a lock.
    pub fn new(user: String, host: String, run: String, process: Process) -> Self {
        Self { user, host, run, process: Some(process), ..Self::default() }
    }

    /// `spec.holderIdentity`: `me@laptop run 7f3a1c02`.
    pub fn identity(&self) -> String {
        self.other.clone().unwrap_or_else(|| format!("{}@{} run {}", self.user, self.host, self.run))
    }

    /// The holder that a Lease names; `None` when nobody holds it.
    pub fn of(lease: &Lease) -> Option<Self> {
        let spec = lease.spec.as_ref()?;
        let identity = spec.holder_identity.as_ref().filter(|identity| !identity.is_empty())?;
        let empty = BTreeMap::new();
        let annotations = lease.metadata.annotations.as_ref().unwrap_or(&empty);
        let text = |name: &str| annotations.get(name).cloned().unwrap_or_default();
        let process = || {
            Some(Process {
                pid: annotations.get(PID)?.parse().ok()?,
                started: annotations.get(PID_STARTED)?.parse().ok()?,
                uid: annotations.get(UID)?.parse().ok()?,
                boot: text(BOOT),
                pid_namespace: text(PID_NAMESPACE),
            })
        };
        let mut holder = Self {
            user: text(USER),
            host: text(HOST),
            run: text(RUN),
            phase: text(PHASE),
            process: process(),
            since: spec.acquire_time.as_ref().map(|time| time.0),
            other: None,
        };
        if holder.identity() != *identity {
            // The annotations belong to somebody else.
            holder = Self { since: holder.since, other: Some(identity.clone()), ..Self::default() };
        }
        Some(holder)
    }

    /// The annotations that tell of it.
    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations: BTreeMap<_, _> =
            [(USER, &self.user), (HOST, &self.host), (RUN, &self.run), (PHASE, &self.phase)]
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .into();
        if let Some(process) = &self.process {
            annotations.extend(
                [
                    (PID, process.pid.to_string()),
                    (PID_STARTED, process.started.to_string()),
                    (UID, process.uid.to_string()),
                    (BOOT, process.boot.clone()),
                    (PID_NAMESPACE, process.pid_namespace.clone()),
                ]
                .map(|(name, value)| (name.to_owned(), value)),
            );
        }
        annotations
    }
}

impl fmt::Display for Holder {
    /// `run 7f3a1c02 of me@laptop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.other {
            Some(identity) => f.write_str(identity),
            None => write!(f, "run {} of {}@{}", self.run, self.user, self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn process() -> Process {
        Process { pid: 7, started: 99, uid: 1000, boot: "b".into(), pid_namespace: "pid:[1]".into() }
    }

    fn lease(identity: &str, annotations: BTreeMap<String, String>) -> Lease {
        Lease {
            metadata: ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() },
            spec: Some(LeaseSpec { holder_identity: Some(identity.into()), ..LeaseSpec::default() }),
        }
    }

    #[test]
    fn a_holder_is_read_back_as_it_was_written() {
        let mut holder = Holder::new("me".into(), "laptop".into(), "7f3a".into(), process());
        holder.phase = "services".into();
        assert_eq!(Holder::of(&lease(&holder.identity(), holder.annotations())), Some(holder));
    }

    #[test]
    fn annotations_that_belong_to_another_holder_are_not_believed() {
        let holder = Holder::new("me".into(), "laptop".into(), "7f3a".into(), process());
        let read = Holder::of(&lease("somebody", holder.annotations())).unwrap_or_default();
        assert_eq!((read.identity().as_str(), read.process.is_none()), ("somebody", true));
        assert_eq!(Holder::of(&lease("", holder.annotations())), None);
    }

    #[test]
    fn only_a_process_that_would_be_seen_is_called_dead() {
        let me = process();
        let gone: Probe = |_| None;
        let later: Probe = |_| Some(100);
        let there: Probe = |_| Some(99);
        assert_eq!(me.sees(&me, gone), Some(false));
        assert_eq!(me.sees(&me, later), Some(false), "the number was given again");
        assert_eq!(me.sees(&me, there), Some(true));
        for other in [
            Process { boot: "c".into(), ..me.clone() },
            Process { pid_namespace: "pid:[2]".into(), ..me.clone() },
            Process { uid: 0, ..me.clone() },
        ] {
            assert_eq!(me.sees(&other, gone), None, "{other:?}");
        }
        let blind = Process::default();
        assert_eq!(blind.sees(&blind, gone), None, "nothing is known of the machine");
    }
}

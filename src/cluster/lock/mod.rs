//! The lock of an environment: a Lease in Rekindle's namespace that one run at a time holds and renews while it lives.
//!
//! Nothing compares the clocks of two machines. A second run watches the record by its own clock (`vigil`); a holder that has
//! not been able to renew gives up before a watcher's time is over (`keeper`). Every write names the version that it
//! changes, so of two that take the lock at the same moment one is refused by the API server.

mod holder;
mod keeper;
mod vigil;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use holder::{Holder, Probe, Process};
use keeper::Keeper;
pub use keeper::Lost;
pub use vigil::{Verdict, Vigil};

use super::connect::{patiently, timed};
use super::system::{MANAGED_BY_LABEL, record_name, with_namespace};
use super::{Cluster, ClusterError, FIELD_MANAGER, SYSTEM_NAMESPACE};

/// What the name of a Lease begins with.
pub const SORT: &str = "lock";

/// How long the lock is granted without a sign of life: `spec.leaseDurationSeconds`.
pub const DURATION: Duration = Duration::from_secs(15);

/// How long is waited for a run whose lock was broken: until it must have noticed, and what it had sent before has arrived.
pub const NOTICE: Duration = DURATION;

/// Annotation of a record whose lock was broken: when, by the clock of the run that broke it. A run that takes the lock from that
/// one does not know whether it has waited for the one before.
const BROKEN_AT: &str = "rekindle.dev/broken-at";

/// How often a lock whose holder is not known to live is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A run's wish to hold an environment's lock.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The run.
    pub holder: Holder,
    /// The time at this moment, for the times in the record; from here on tokio's clock counts.
    pub now: jiff::Timestamp,
    /// Looks for processes of this machine.
    pub probe: Probe,
    /// Take the lock from this holder ([`Holder::identity`]) although it lives.
    pub breaking: Option<String>,
}

/// Why a lock was not had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Somebody who lives holds it.
    #[error("the lock is held by {0}")]
    Held(Box<Holder>),
    /// The cluster does not answer, or does not let us.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// A lock that is held, and renewed by a task. Dropped without [`Lock::release`] it is left to run out: what was on its way
/// to the cluster may still arrive.
#[derive(Debug)]
pub struct Lock {
    phase: watch::Sender<String>,
    lost: watch::Receiver<Option<Lost>>,
    release: Option<oneshot::Sender<()>>,
    keeper: JoinHandle<()>,
    /// What was found and overruled on the way, one sentence: a dead holder, a broken lock.
    pub overruled: Option<String>,
}

impl Lock {
    /// Takes the lock of an environment (`ENV` or `ENV/INSTANCE`). Where it is held by somebody of whom nothing is known, this
    /// waits for a sign of life, no longer than the lock is granted; `waiting` is told of whom and how long at most, once. A run
    /// whose lock was broken is waited for until it has noticed, at most [`NOTICE`]: until then it may still write.
    ///
    /// # Errors
    /// See [`LockError`]. Nothing is written when somebody else holds it.
    pub async fn take(
        cluster: &Cluster,
        environment: &str,
        claim: Claim,
        mut waiting: impl FnMut(&Holder, Duration),
    ) -> Result<Self, LockError> {
        let taking = Taking::new(cluster, environment, claim);
        let mut vigil = Vigil::default();
        let mut told = false;
        loop {
            let Some(lease) = taking.read().await? else {
                match taking.create().await? {
                    Some(lock) => return Ok(lock),
                    None => continue,
                }
            };
            let mut broken = None;
            let overruled = match vigil.look(&lease, &taking.claim.holder, taking.claim.probe) {
                Verdict::Free | Verdict::Ours => None,
                Verdict::Dead(holder, why) => Some(format!("the lock was taken over from {holder}: {why}")),
                Verdict::Alive(holder) | Verdict::Unknown(holder, _)
                    if taking.claim.breaking.as_ref() == Some(&holder.identity()) =>
                {
                    let overruled = format!("the lock was broken; it was held by {holder}");
                    broken = Some(holder);
                    Some(overruled)
                }
                Verdict::Alive(holder) => return Err(LockError::Held(Box::new(holder))),
                Verdict::Unknown(holder, until) => {
                    if !std::mem::replace(&mut told, true) {
                        waiting(&holder, until - Instant::now());
                    }
                    tokio::time::sleep_until(until.min(Instant::now() + LOOK)).await;
                    continue;
                }
            };
            let unsettled = was_broken_lately(&lease);
            if let Some(mut lock) = taking.replace(lease, broken.is_some() || unsettled).await? {
                lock.overruled = overruled;
                if unsettled {
                    tokio::time::sleep(NOTICE).await;
                } else if let Some(broken) = broken {
                    taking.let_it_notice(&broken).await;
                }
                return Ok(lock);
            }
        }
    }

    /// Who holds the lock of an environment (`ENV` or `ENV/INSTANCE`) now, by the record alone: a run that lives, or one that
    /// died with it.
    ///
    /// # Errors
    /// The record cannot be read.
    pub async fn holder(cluster: &Cluster, environment: &str) -> Result<Option<Holder>, ClusterError> {
        let (api, name) = (leases(cluster), record_name(SORT, environment));
        let lease = patiently(&cluster.server, || api.get_opt(&name)).await?;
        Ok(lease.as_ref().and_then(Holder::of))
    }

    /// Gives back a lock that a run has taken, or may have taken before it was told so. Another's is left alone.
    ///
    /// A cluster that does not answer keeps it until its time is over.
    pub async fn give_back(cluster: &Cluster, environment: &str, holder: &Holder) {
        let api = leases(cluster);
        let name = record_name(SORT, environment);
        let ours = |lease: &Lease| Holder::of(lease).is_some_and(|found| found.identity() == holder.identity());
        let free = async {
            if let Ok(Some(lease)) = api.get_opt(&name).await
                && ours(&lease)
            {
                // Whoever comes next waits in our place until the run that the lock was broken from has noticed.
                let settled = !was_broken_lately(&lease);
                let _ = api.replace(&name, &params(), &emptied(lease, settled)).await;
            }
        };
        let _ = tokio::time::timeout(keeper::RELEASE, free).await;
    }

    /// Becomes something when the lock is lost: from then on nothing may be written.
    pub fn lost(&self) -> watch::Receiver<Option<Lost>> {
        self.lost.clone()
    }

    /// Tells in the record which phase the run is in, with one of the next renewals.
    pub fn phase(&self, name: &str) {
        self.phase.send_if_modified(|phase| {
            let new = phase != name;
            if new {
                name.clone_into(phase);
            }
            new
        });
    }

    /// Gives the lock back. A cluster that does not answer keeps it until its time is over.
    pub async fn release(mut self) {
        if let Some(release) = self.release.take() {
            let _ = release.send(());
        }
        let _ = (&mut self.keeper).await;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn leases(cluster: &Cluster) -> Api<Lease> {
    Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE)
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}

/// Whether the record's last sign of life came before whoever had the lock broken from it must have noticed. Both times are by
/// one clock, that of the run that broke it.
fn was_broken_lately(lease: &Lease) -> bool {
    let annotations = lease.metadata.annotations.as_ref();
    let Some(at) = annotations.and_then(|it| it.get(BROKEN_AT)) else { return false };
    let seen = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
    let waited = at.parse().ok().zip(seen).map(|(at, seen): (jiff::Timestamp, _)| seen.0.duration_since(at));
    waited.and_then(|waited| Duration::try_from(waited).ok()).is_none_or(|waited| waited < NOTICE)
}

/// The record without a holder. `settled`: whoever had the lock broken from it cannot write any more.
fn emptied(mut lease: Lease, settled: bool) -> Lease {
    if let Some(annotations) = lease.metadata.annotations.as_mut().filter(|_| settled) {
        annotations.remove(BROKEN_AT);
    }
    if let Some(spec) = &mut lease.spec {
        spec.holder_identity = None;
    }
    lease
}

/// One run on its way to the lock.
struct Taking<'a> {
    cluster: &'a Cluster,
    api: Api<Lease>,
    name: String,
    environment: String,
    claim: Claim,
    began: Instant,
}

impl<'a> Taking<'a> {
    fn new(cluster: &'a Cluster, environment: &str, claim: Claim) -> Self {
        let (name, environment) = (record_name(SORT, environment), environment.to_owned());
        Self { api: leases(cluster), cluster, name, environment, claim, began: Instant::now() }
    }

    async fn read(&self) -> Result<Option<Lease>, ClusterError> {
        patiently(&self.cluster.server, || self.api.get_opt(&self.name)).await
    }

    /// The record as we want it. A version makes the write fail when somebody else has written since.
    fn record(&self, before: Option<Lease>) -> Lease {
        let now = MicroTime(keeper::time(self.claim.now, self.began));
        let mut metadata = before.as_ref().map(|lease| lease.metadata.clone()).unwrap_or_default();
        metadata.name = Some(self.name.clone());
        metadata.managed_fields = None;
        metadata.labels.get_or_insert_default().insert(MANAGED_BY_LABEL.into(), "rekindle".into());
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert("rekindle.dev/environment".into(), self.environment.clone());
        annotations.extend(self.claim.holder.annotations());
        let transitions = before.and_then(|lease| lease.spec?.lease_transitions).unwrap_or(-1);
        Lease {
            metadata: ObjectMeta { namespace: Some(SYSTEM_NAMESPACE.into()), ..metadata },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.claim.holder.identity()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(transitions.saturating_add(1)),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Makes the record; `None` when somebody else was faster.
    async fn create(&self) -> Result<Option<Lock>, ClusterError> {
        let (record, params) = (self.record(None), params());
        let sent = Instant::now();
        let written = with_namespace(self.cluster, || self.api.create(&params, &record)).await;
        self.held(written, sent)
    }

    /// Waits until a run whose lock we have just taken cannot write any more: its process is gone, or it has had the time
    /// after which a run that could not renew gives up.
    async fn let_it_notice(&self, other: &Holder) {
        let end = Instant::now() + NOTICE;
        let (me, host) = (&self.claim.holder, &other.host);
        let seen = me.process.as_ref().zip(other.process.as_ref()).filter(|_| me.host == *host);
        while Instant::now() < end {
            if seen.and_then(|(mine, theirs)| mine.sees(theirs, self.claim.probe)) == Some(false) {
                return;
            }
            tokio::time::sleep_until(end.min(Instant::now() + LOOK)).await;
        }
    }

    /// Puts us into the record; `None` when somebody else was faster. `unsettled`: whoever had the lock before may still be
    /// writing, which is marked by our own clock.
    async fn replace(&self, before: Lease, unsettled: bool) -> Result<Option<Lock>, ClusterError> {
        let mut record = self.record(Some(before));
        if unsettled {
            let now = keeper::time(self.claim.now, self.began).to_string();
            record.metadata.annotations.get_or_insert_default().insert(BROKEN_AT.into(), now);
        }
        let sent = Instant::now();
        let written = timed(&self.cluster.server, self.api.replace(&self.name, &params(), &record)).await;
        self.held(written, sent)
    }

    fn held(&self, written: Result<Lease, ClusterError>, sent: Instant) -> Result<Option<Lock>, ClusterError> {
        let lease = match written {
            Ok(lease) => lease,
            // Another version, or deleted, between our looking and our writing.
            Err(ClusterError::Status { code: 404 | 409, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (phase, phases) = watch::channel(String::new());
        let (losing, lost) = watch::channel(None);
        let (release, released) = oneshot::channel();
        let keeper = Keeper {
            cluster: self.cluster.clone(),
            api: self.api.clone(),
            name: self.name.clone(),
            holder: self.claim.holder.clone(),
            lease,
            now: self.claim.now,
            began: self.began,
        };
        let keeper = tokio::spawn(keeper.keep(sent, phases, losing, released));
        Ok(Some(Lock { phase, lost, release: Some(release), keeper, overruled: None }))
    }
}

#[cfg(test)]
mod tests;

//! Keeps a lock: renews it while the run lives, knows when it is lost, gives it back at the end.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::Api;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::holder::Holder;
use super::{emptied, params};
use crate::cluster::connect::timed;
use crate::cluster::{Cluster, ClusterError};

/// How often the lock is renewed.
const EVERY: Duration = Duration::from_secs(4);

/// A new phase is told so soon, so that phases that are over at once are not told at all.
const SOON: Duration = Duration::from_secs(1);

/// How long one try to renew may take, and how long after a failed one the next begins.
const TRY: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(500);

/// A lock that was not renewed for so long is given up. What is left until [`super::DURATION`] is for requests on their way
/// to end: a watcher's time begins no earlier than the last renewal was sent.
pub(super) const GIVE_UP: Duration = Duration::from_secs(10);

/// How long giving the lock back may take.
pub(super) const RELEASE: Duration = Duration::from_secs(3);

/// How a lock was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Somebody else has it: it was broken, or taken over while we were suspended.
    Taken(Box<Holder>),
    /// Its record was deleted, or emptied.
    Removed,
    /// It could not be renewed in time, for this reason.
    NotRenewed(String),
    /// What answers is another cluster than at the run's start: the UIDs of `kube-system` then and now.
    OtherCluster {
        /// At the start.
        expected: String,
        /// Now.
        found: String,
    },
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(holder) => write!(f, "the lock was taken by {holder}"),
            Self::Removed => f.write_str("the record of the lock was removed by somebody"),
            Self::NotRenewed(reason) => {
                write!(f, "the lock could not be renewed for {} s: {reason}", GIVE_UP.as_secs())
            }
            Self::OtherCluster { expected, found } => {
                write!(
                    f,
                    "another cluster answers now: its kube-system has UID {found}, at the start it was {expected}"
                )
            }
        }
    }
}

/// How one try to renew ended.
enum Renewal {
    Done,
    Failed(String),
    Lost(Lost),
}

/// The time at this moment: a start by the wall clock and what tokio's clock has counted since.
pub(super) fn time(start: jiff::Timestamp, began: Instant) -> jiff::Timestamp {
    let elapsed = jiff::SignedDuration::try_from(began.elapsed()).unwrap_or(jiff::SignedDuration::MAX);
    start.saturating_add(elapsed).unwrap_or(start)
}

/// Holds the record of a lock as we last wrote it.
pub(super) struct Keeper {
    pub(super) cluster: Cluster,
    pub(super) api: Api<Lease>,
    pub(super) name: String,
    pub(super) holder: Holder,
    pub(super) lease: Lease,
    pub(super) now: jiff::Timestamp,
    pub(super) began: Instant,
}

impl Keeper {
    /// Renews until told to release, or until the lock is lost. `renewed` is when the request was sent that took the lock.
    pub(super) async fn keep(
        mut self,
        mut renewed: Instant,
        mut phase: watch::Receiver<String>,
        lost: watch::Sender<Option<Lost>>,
        mut release: oneshot::Receiver<()>,
    ) {
        let mut next = renewed + EVERY;
        let mut reason = "no answer in time".to_owned();
        loop {
            tokio::select! {
                biased;
                _ = &mut release => return self.release().await,
                Ok(()) = phase.changed() => {
                    self.holder.phase.clone_from(&phase.borrow_and_update());
                    next = next.min(Instant::now() + SOON);
                    continue;
                }
                () = sleep_until(next) => {}
            }
            let sent = Instant::now();
            let end = renewed + GIVE_UP;
            match timeout_at(end.min(sent + TRY), self.renew()).await {
                Ok(Renewal::Done) => {
                    renewed = sent;
                    next = sent + EVERY;
                    continue;
                }
                Ok(Renewal::Lost(how)) => {
                    lost.send_replace(Some(how));
                    return;
                }
                Ok(Renewal::Failed(why)) => reason = why,
                Err(_) => {}
            }
            if Instant::now() >= end {
                lost.send_replace(Some(Lost::NotRenewed(reason)));
                return;
            }
            next = (Instant::now() + AGAIN).min(end);
        }
    }

    async fn renew(&mut self) -> Renewal {
        match self.identity().await {
            Ok(None) => {}
            Ok(Some(lost)) => return Renewal::Lost(lost),
            Err(error) => return Renewal::Failed(error.to_string()),
        }
        match self.write().await {
            Err(ClusterError::Status { code: 409, .. }) => {}
            Err(ClusterError::Status { code: 404, .. }) => return Renewal::Lost(Lost::Removed),
            Err(error) => return Renewal::Failed(error.to_string()),
            Ok(()) => return Renewal::Done,
        }
        // Somebody has written. Where it still is ours, it was our own lost answer or a label that somebody set.
        match self.read_again().await {
            Err(error) => Renewal::Failed(error.to_string()),
            Ok(Some(lost)) => Renewal::Lost(lost),
            Ok(None) => match self.write().await {
                Ok(()) => Renewal::Done,
                Err(error) => Renewal::Failed(error.to_string()),
            },
        }
    }

    /// Whether the connection still leads to the cluster that the run began with.
    async fn identity(&self) -> Result<Option<Lost>, ClusterError> {
        match self.cluster.verify_identity().await {
            Ok(()) => Ok(None),
            Err(ClusterError::WrongCluster { expected, found, .. }) => Ok(Some(Lost::OtherCluster { expected, found })),
            Err(error) => Err(error),
        }
    }

    async fn write(&mut self) -> Result<(), ClusterError> {
        let mut record = self.lease.clone();
        record.metadata.managed_fields = None;
        record.metadata.annotations.get_or_insert_default().extend(self.holder.annotations());
        if let Some(spec) = &mut record.spec {
            spec.renew_time = Some(MicroTime(time(self.now, self.began)));
        }
        self.lease = timed(&self.cluster.server, self.api.replace(&self.name, &params(), &record)).await?;
        Ok(())
    }

    /// Reads the record anew, and how it was lost if it is not ours any more.
    async fn read_again(&mut self) -> Result<Option<Lost>, ClusterError> {
        let Some(lease) = timed(&self.cluster.server, self.api.get_opt(&self.name)).await? else {
            return Ok(Some(Lost::Removed));
        };
        let holder = Holder::of(&lease);
        self.lease = lease;
        Ok(match holder {
            None => Some(Lost::Removed),
            Some(holder) if holder.identity() == self.holder.identity() => None,
            Some(holder) => Some(Lost::Taken(Box::new(holder))),
        })
    }

    async fn release(&mut self) {
        let free = async {
            let refused = self.empty().await.is_err();
            if refused && matches!(self.read_again().await, Ok(None)) {
                let _ = self.empty().await;
            }
        };
        let _ = timeout(RELEASE, free).await;
    }

    async fn empty(&self) -> Result<(), ClusterError> {
        let record = emptied(self.lease.clone(), true);
        timed(&self.cluster.server, self.api.replace(&self.name, &params(), &record)).await.map(drop)
    }
}

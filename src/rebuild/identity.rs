//! That a run goes on in the cluster that it began in, and that this cluster remembers it.

use std::time::Duration;

use tokio::time::Instant;

use super::dispatcher::{Dispatcher, Stop};
use super::down::lost;
use super::event::{EventKind, Outcome};
use super::phase::{Failure, Phase};
use super::tasks::Done;
use crate::cluster::ClusterError;
use crate::cluster::binding::LastRun;
use crate::plan::PlannedPhase;

/// Wait between two questions for an identity that was not answered.
const PAUSE: Duration = Duration::from_millis(500);

/// How long it may take until the identity is answered before a phase without a limit.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

impl Dispatcher<'_> {
    /// Reads the cluster's identity again before a phase. A server that does not answer is waited for as long as the phase
    /// may take.
    pub(super) async fn same_cluster(&mut self, phase: &PlannedPhase) -> Result<(), Stop> {
        let deadline = Instant::now() + phase.settings.timeout.unwrap_or(PATIENCE);
        let mut told = false;
        loop {
            let error = match self.cluster.verify_identity().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let stop = match &error {
                ClusterError::WrongCluster { .. } => Stop { outcome: Outcome::WrongCluster, exit: 4 },
                error if !error.is_transient() => Stop { outcome: Outcome::NotAllowed, exit: 5 },
                _ if Instant::now() >= deadline => Stop { outcome: Outcome::Unreachable, exit: 5 },
                error => {
                    if !told {
                        self.emitter.send(EventKind::Warning { message: format!("{error}; still trying") });
                        told = true;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => continue,
                        _ = self.stop.wait_for(|stop| *stop) => {}
                        _ = lost(self.options.lock.clone()) => {}
                    }
                    self.halted().unwrap_or(Stop { outcome: Outcome::Interrupted, exit: 130 })
                }
            };
            if !matches!(stop.outcome, Outcome::Interrupted | Outcome::LockLost) {
                self.emitter.send(EventKind::Warning { message: error.to_string() });
            }
            return Err(stop);
        }
    }

    /// Looks after the identity from now on, whatever else is waited for.
    pub(super) fn stand_guard(&mut self) {
        let cluster = self.cluster.clone();
        self.tasks.spawn(async move { Done::Moved(cluster.until_it_is_another().await) });
    }

    /// Another cluster answers: nothing that is known of the objects is known of it.
    pub(super) fn moved(&mut self, phase: &mut Phase<'_>, error: &ClusterError) {
        self.emitter.send(EventKind::Warning { message: error.to_string() });
        let (objects, gates) = (Vec::new(), Vec::new());
        phase.failure = Some(Failure { objects, gates, outcome: Outcome::WrongCluster, exit: 4 });
    }

    /// Has the cluster remember this run, unless it changed nothing: a second run right after the first writes nothing.
    pub(super) async fn remember(&mut self, outcome: Outcome) {
        let written: usize = self.summaries.iter().map(|summary| summary.written).sum();
        let Some(binding) = self.options.binding.clone().filter(|_| written > 0) else { return };
        // The record is another's to write as soon as the lock is.
        if matches!(outcome, Outcome::WrongCluster | Outcome::Unreachable | Outcome::LockLost) || self.lost().is_some()
        {
            return;
        }
        let name = serde_json::to_value(outcome).ok();
        let last = LastRun {
            run: self.options.run.clone(),
            by: binding.by.clone(),
            time: self.now(),
            outcome: name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().to_owned(),
        };
        if let Err(error) = binding.close(&self.cluster, last).await {
            let message = format!("the cluster's record of this run was not written: {error}");
            self.emitter.send(EventKind::Warning { message });
        }
    }
}

//! How a phase ends before its time: requests on the wire are let end, and a person is told what went wrong.

use std::time::Duration;

use tokio::time::Instant;

use super::dispatcher::{Dispatcher, Stop};
use super::event::{EventKind, ObjectName, Outcome};
use super::node::State;
use super::phase::{Failure, Phase};
use super::tasks::Done;
use crate::cluster::apply::ApplyError;
use crate::health::diagnosis::{Diagnosis, diagnose};

/// How long running requests may take to end after the run has been stopped.
const WIND_DOWN: Duration = Duration::from_secs(5);

/// How many unhealthy objects are diagnosed when a phase fails.
const DIAGNOSED: usize = 3;

impl Dispatcher<'_> {
    /// Lets requests that are on the wire end, so that what was done is known, and drops what has not begun.
    pub(super) async fn wind_down(&mut self, phase: &mut Phase<'_>) {
        let deadline = Instant::now() + WIND_DOWN;
        self.ending.send_replace(true);
        while self.applying > 0 {
            match tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(Ok(Done::Applied(index, result)))) => {
                    self.applying -= 1;
                    if let Ok((action, live)) = result {
                        self.landed(phase, index, action, live);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        self.tasks.abort_all();
        self.applying = 0;
    }

    /// Ends the phase: collects what a person needs to know, and tells it.
    pub(super) async fn fail(&mut self, phase: &mut Phase<'_>, mut failure: Failure) -> Stop {
        self.wind_down(phase).await;
        phase.failure = None;
        // What else is going wrong at this moment is often the cause, and at least the next thing to mend.
        for (index, node) in phase.nodes.iter().enumerate() {
            if failure.objects.iter().any(|(known, _)| *known == index) {
                continue;
            }
            if node.is_failing() {
                failure.objects.push((index, node.reason.clone()));
            } else if node.state == State::Ready {
                let item = &phase.plan.items[index];
                let broke = match self.verdict(node, item) {
                    Some(status) if status.is_ready() => continue,
                    Some(status) => status.reason().to_owned(),
                    None if self.has_run_here(node, item) => continue,
                    None => "it is gone".to_owned(),
                };
                failure.objects.push((index, format!("not ready any more: {broke}")));
            }
        }
        let diagnoses = failure.objects.iter().enumerate().map(|(rank, (index, _))| {
            let key = &phase.plan.items[*index].key;
            let (client, live) = (&self.cluster.client, self.store.get(key));
            async move { if rank < DIAGNOSED { diagnose(client, key, live).await } else { Diagnosis::default() } }
        });
        let diagnoses = futures::future::join_all(diagnoses).await;
        for ((index, reason), diagnosis) in failure.objects.iter().zip(diagnoses) {
            let item = &phase.plan.items[*index];
            phase.nodes[*index].state = State::Failed;
            self.emitter.send(EventKind::ObjectFailed {
                phase: phase.plan.name.clone(),
                object: ObjectName::of(&item.object),
                origin: item.object.origin.clone(),
                reason: reason.clone(),
                diagnosis,
            });
        }
        for (index, answer) in &failure.gates {
            let gate = &phase.plan.gates[*index];
            self.emitter.send(EventKind::GateFailed {
                phase: phase.plan.name.clone(),
                gate: gate.name.clone(),
                origin: gate.origin.clone(),
                answer: answer.clone(),
            });
        }
        Stop { outcome: failure.outcome, exit: failure.exit }
    }
}

/// What it means that the API server did not take an object.
pub(super) fn refusal(index: usize, error: &ApplyError) -> Failure {
    let (outcome, exit) = match error {
        ApplyError::Forbidden(_) => (Outcome::NotAllowed, 5),
        ApplyError::Conflict(_) | ApplyError::Foreign(_) => (Outcome::Protected, 4),
        ApplyError::WrongCluster(_) => (Outcome::WrongCluster, 4),
        _ => (Outcome::Refused, 6),
    };
    let advice = match error {
        ApplyError::Conflict(_) => {
            "; take over what others hold with --take-ownership, or leave it to them with the annotation rekindle.dev/ignore-fields"
        }
        _ => "",
    };
    Failure { objects: vec![(index, format!("{error}{advice}"))], gates: Vec::new(), outcome, exit }
}

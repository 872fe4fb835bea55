//! Data in a run: what was decided is told and done before the first phase; at the end of each phase its volumes are marked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use jiff::SignedDuration;
use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::emitter::Emitter;
use super::event::EventKind;
use crate::cluster::{Cluster, ClusterError};
use crate::data::claims::{Expected, last_phase};
use crate::data::memory::{Comeback, Memories, Memory};
use crate::data::survey::live_claims;
use crate::data::{DataSet, Survey, adopt, marks, memory};
use crate::health::gate::Gate;
use crate::plan::Plan;

/// How long what has to be done with volumes is tried again while the API server does not take it.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the decisions.
pub fn tell(plan: &Plan, emitter: &Emitter) {
    for set in &plan.data.sets {
        emitter.send(EventKind::Decision {
            data_set: set.data_set.clone(),
            phase: last_phase(&plan.claims, &set.data_set).unwrap_or_default().to_owned(),
            decision: set.word().to_owned(),
            source: set.source,
            claims: set.claims.clone(),
            recovery_point: set.recovery_point,
            standby: set.lineage.standby.clone(),
        });
    }
    for left in &plan.data.left {
        emitter.send(EventKind::Warning {
            message: format!("pv/{} is not used and not touched: {}", left.volume, left.facts),
        });
    }
}

/// Keeps and reserves the volumes that are adopted, before anything else can take or delete them. May be dropped at any moment:
/// the next run goes on from there.
///
/// # Errors
/// When the cluster refuses, does not answer for a minute, or something has changed since the decision.
pub async fn reserve(cluster: &Cluster, plan: &Plan, emitter: &Emitter) -> Result<(), ClusterError> {
    let mut failing = None;
    let mut told = BTreeSet::new();
    let mut tell = |message: String| {
        if told.insert(message.clone()) {
            emitter.send(EventKind::Warning { message });
        }
    };
    loop {
        let began = Instant::now();
        match adopt::prepare(cluster, &plan.data, &plan.claims, &plan.environment, &mut tell).await {
            Err(error) if error.is_transient() => {
                // It has waited for something in between.
                failing = failing.filter(|_| began.elapsed() < PATIENCE);
                if failing.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                    return Err(error);
                }
                tell(format!("volumes could not be reserved yet, tried again for a minute: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// Marks the volumes of a phase's claims. What is bound is marked also when the phase did not become healthy: whose it is has
/// nothing to do with its health. Identities are asked only of what is healthy. A cluster that does not take the marks costs
/// evidence after an accident, so it is a warning.
pub async fn mark(dispatcher: &Dispatcher<'_>, phase: &str, healthy: bool) {
    let plan = dispatcher.plan;
    let claims: Vec<Expected> = plan
        .claims
        .iter()
        .filter(|claim| claim.phase == phase && claim.data_set.is_some())
        .filter(|claim| !plan.data.settled.contains(&claim.place()))
        .cloned()
        .collect();
    if claims.is_empty() {
        return;
    }
    if let Err(error) = try_mark(dispatcher, &claims, healthy).await {
        let message = format!("volumes were not marked as this environment's: {error}");
        dispatcher.emitter.send(EventKind::Warning { message });
    }
}

async fn try_mark(dispatcher: &Dispatcher<'_>, claims: &[Expected], healthy: bool) -> Result<(), ClusterError> {
    let plan = dispatcher.plan;
    let survey = Survey::read(&dispatcher.cluster, claims).await?;
    let wanted = if healthy { marks::unidentified(&survey, claims) } else { BTreeSet::new() };
    let mut identities = BTreeMap::new();
    for set in plan.data_sets.iter().filter(|set| wanted.contains(set.name.as_str())) {
        if let Some(identity) = ask(dispatcher, set.identity.as_ref()).await {
            identities.insert(set.name.clone(), identity);
        }
    }
    marks::mark(&dispatcher.cluster, &plan.environment, claims, &survey, &identities).await
}

/// How old what is remembered may become before a run that has nothing else to write remembers anew.
const FRESH: SignedDuration = SignedDuration::from_hours(24);

/// Remembers what a healthy phase holds, and tells what has come back and is not as it is remembered. A run right after another
/// one writes nothing.
pub async fn remember(dispatcher: &Dispatcher<'_>, phase: &str) {
    let plan = dispatcher.plan;
    let is_due = |set: &&DataSet| {
        let fresh =
            plan.data.memories.get(&set.name).is_some_and(|memory| dispatcher.now().duration_since(memory.at) < FRESH);
        let seen = plan.data.of_set(&set.name).is_none_or(|decision| decision.comeback == Comeback::No);
        let of_phase = last_phase(&plan.claims, &set.name) == Some(phase);
        of_phase && !set.remember.is_empty() && (dispatcher.wrote || !fresh || !seen)
    };
    // All at once: the next phase waits for the answers.
    let asked = plan.data_sets.iter().filter(is_due).map(|set| async move {
        let facts = set.remember.iter().map(|fact| async {
            let answer = ask(dispatcher, Some(&fact.question)).await;
            answer.map(|answer| (fact.name.clone(), answer))
        });
        let (answers, identity) = tokio::join!(join_all(facts), ask(dispatcher, set.identity.as_ref()));
        (set, answers.into_iter().flatten().collect::<BTreeMap<_, _>>(), identity)
    });
    let mut memories = Memories::new();
    for (set, answers, identity) in join_all(asked).await {
        for message in memory::differences(set, &plan.data, &answers) {
            dispatcher.emitter.send(EventKind::Warning { message });
        }
        if !answers.is_empty() {
            let (at, claims) = (dispatcher.now(), BTreeSet::new());
            memories.insert(set.name.clone(), Memory { at, identity, answers, claims });
        }
    }
    if memories.is_empty() {
        return;
    }
    if let Err(error) = keep(dispatcher, memories).await {
        let message = format!("what the data holds was not remembered: {error}");
        dispatcher.emitter.send(EventKind::Warning { message });
    }
}

/// Has the cluster remember, with the claims that hold it now.
async fn keep(dispatcher: &Dispatcher<'_>, mut memories: Memories) -> Result<(), ClusterError> {
    let plan = dispatcher.plan;
    let there = live_claims(&dispatcher.cluster, &plan.claims).await?;
    for (set, claim) in plan.claims.iter().filter_map(|claim| Some((claim.data_set.as_ref()?, claim))) {
        let live = there.iter().find(|live| live.namespace == claim.namespace && live.name == claim.name);
        if let (Some(memory), Some(live)) = (memories.get_mut(set), live) {
            memory.claims.insert(live.uid.clone());
        }
    }
    memory::write(&dispatcher.cluster, &plan.environment, &memories).await
}

/// The answer to a question of a data set, if there is one.
async fn ask(dispatcher: &Dispatcher<'_>, question: Option<&Gate>) -> Option<String> {
    dispatcher.asker.value(question.filter(|gate| gate.skipped.is_none())?).await
}

//! Data in a run: what was decided is told and done before the first phase; at the end of each phase its volumes are marked.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::dispatcher::Dispatcher;
use super::emitter::Emitter;
use super::event::EventKind;
use crate::cluster::{Cluster, ClusterError};
use crate::data::claims::Expected;
use crate::data::memory::{Comeback, Memories, Memory};
use crate::data::{DataSet, Survey, adopt, marks, memory};
use crate::health::gate::Gate;
use crate::plan::Plan;

/// Tells the decisions, then keeps and reserves the volumes that are adopted, before anything else can take or delete them.
///
/// # Errors
/// When the cluster refuses, or something has changed since the decision.
pub async fn begin(cluster: &Cluster, plan: &Plan, emitter: &Emitter) -> Result<(), ClusterError> {
    for set in &plan.data.sets {
        emitter.send(EventKind::Decision {
            data_set: set.data_set.clone(),
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
    adopt::prepare(cluster, &plan.data, &plan.claims, &plan.environment).await
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
    let of_phase = |set: &&DataSet| {
        let last = plan.claims.iter().rfind(|claim| claim.data_set.as_deref() == Some(set.name.as_str()));
        last.is_some_and(|claim| claim.phase == phase)
    };
    let mut memories = Memories::new();
    for set in plan.data_sets.iter().filter(of_phase) {
        let fresh =
            plan.data.memories.get(&set.name).is_some_and(|memory| dispatcher.now().duration_since(memory.at) < FRESH);
        let seen = plan.data.of_set(&set.name).is_none_or(|decision| decision.comeback == Comeback::No);
        if set.remember.is_empty() || !dispatcher.wrote && fresh && seen {
            continue;
        }
        let mut answers = BTreeMap::new();
        for fact in &set.remember {
            if let Some(answer) = ask(dispatcher, Some(&fact.question)).await {
                answers.insert(fact.name.clone(), answer);
            }
        }
        for message in memory::differences(set, &plan.data, &answers) {
            dispatcher.emitter.send(EventKind::Warning { message });
        }
        if !answers.is_empty() {
            let (identity, at) = (ask(dispatcher, set.identity.as_ref()).await, dispatcher.now());
            memories.insert(set.name.clone(), Memory { at, identity, answers, claims: BTreeSet::new() });
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
    let survey = Survey::read(&dispatcher.cluster, &plan.claims).await?;
    for (set, claim) in plan.claims.iter().filter_map(|claim| Some((claim.data_set.as_ref()?, claim))) {
        if let (Some(memory), Some(live)) = (memories.get_mut(set), survey.claim(&claim.namespace, &claim.name)) {
            memory.claims.insert(live.uid.clone());
        }
    }
    memory::write(&dispatcher.cluster, &plan.environment, &memories).await
}

/// The answer to a question of a data set, if there is one.
async fn ask(dispatcher: &Dispatcher<'_>, question: Option<&Gate>) -> Option<String> {
    dispatcher.asker.value(question.filter(|gate| gate.skipped.is_none())?).await
}

//! Data in a run: what was decided is told and done before the first phase; at the end of each phase its volumes are marked.

use std::collections::{BTreeMap, BTreeSet};

use super::dispatcher::Dispatcher;
use super::emitter::Emitter;
use super::event::EventKind;
use crate::cluster::{Cluster, ClusterError};
use crate::data::claims::Expected;
use crate::data::{Survey, adopt, marks};
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
        let Some(gate) = set.identity.as_ref().filter(|gate| gate.skipped.is_none()) else { continue };
        if let Some(identity) = dispatcher.asker.identity(gate).await {
            identities.insert(set.name.clone(), identity);
        }
    }
    marks::mark(&dispatcher.cluster, &plan.environment, claims, &survey, &identities).await
}

//! The end of a run over all phases: what left the kit is deleted, now that everything that is in it is healthy. A renamed
//! object so has its successor in place before it goes.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::dispatcher::{Dispatcher, Stop};
use super::down::lost;
use super::event::{EventKind, ObjectName, Outcome};
use super::node::Limits;
use crate::cluster::inventory::{Inventory, owned_fields_hash};
use crate::cluster::observe::environment_of;
use crate::cluster::removal::{RemovalError, may_own_claims, owned_claim, remove};
use crate::cluster::volumes::{self, volume_key};
use crate::cluster::{Cluster, ClusterError, members};
use crate::health::diagnosis::Diagnosis;
use crate::kit::PhaseSettings;
use crate::manifest::{ObjectKey, Origin};
use crate::plan::Plan;
use crate::plan::prune::{Candidate, Prune, left, prune};
use crate::plan::standing::Standing;

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Deletions under way at once.
const CONCURRENCY: usize = 16;

/// The objects among those found that we have applied for this environment: candidates even without a record.
pub(super) fn applied<'a>(
    plan: &Plan,
    found: impl IntoIterator<Item = (&'a ObjectKey, &'a serde_json::Value)>,
) -> BTreeSet<ObjectKey> {
    let ours = |live| environment_of(live).is_some_and(|(_, selector)| selector == plan.selector);
    let found = found.into_iter().filter(|(_, live)| ours(*live) && owned_fields_hash(live).is_some());
    found.map(|(key, _)| key.clone()).collect()
}

/// Everything that may have left the kit, as it is now, and the kinds that could not be looked for. Without a record all kinds
/// are looked through for our labels.
async fn candidates(
    cluster: &Cluster,
    plan: &Plan,
    inventory: &Inventory,
    mut labelled: BTreeSet<ObjectKey>,
    record_lost: bool,
) -> Result<(Vec<Candidate>, Vec<String>), ClusterError> {
    let mut unread = Vec::new();
    if record_lost {
        let found = members::labelled(cluster, &plan.selector).await?;
        labelled.extend(applied(plan, &found.objects));
        unread = found.unread;
    }
    let keys = left(plan, inventory, &labelled);
    let mut candidates = Vec::new();
    for key in keys {
        let (live, hidden) = match members::read(cluster, &key, false).await {
            Ok(live) => (live, None),
            // Whoever may only do what the kit needs now may not have the right to what it needed before.
            Err(ClusterError::Forbidden(reason)) => (None, Some(reason)),
            Err(error) => return Err(error),
        };
        let uid = live.as_ref().and_then(|live| live.pointer("/metadata/uid")?.as_str());
        let owned = match uid {
            Some(uid) if may_own_claims(&key) => owned_claim(cluster, key.namespace.as_deref(), uid).await,
            _ => Ok(None),
        };
        let (live, owns, hidden) = match owned {
            Ok(owns) => (live, owns, hidden),
            // With it would go claims that nobody has seen.
            Err(ClusterError::Forbidden(reason)) => (None, None, Some(reason)),
            Err(error) => return Err(error),
        };
        let entry = inventory.entries.get(&key).cloned();
        let served = cluster.kinds.stable(&key.group, &key.kind).is_some();
        candidates.push(Candidate { key, entry, live, served, owns, hidden });
    }
    Ok((candidates, unread))
}

/// What a run would do about everything that has left the kit, for `plan`. Writes nothing.
///
/// # Errors
/// When the cluster does not answer, or does not let us read something that was recorded.
pub async fn planned(cluster: &Cluster, plan: &Plan, standing: &Standing) -> Result<Prune, ClusterError> {
    let labelled = applied(plan, &standing.ours);
    let record_lost = !standing.has_record && (standing.inventory.incomplete || !labelled.is_empty());
    let (candidates, _) = candidates(cluster, plan, &standing.inventory, labelled, record_lost).await?;
    let phases: Vec<String> = plan.phases.iter().map(|phase| phase.name.clone()).collect();
    Ok(prune(&candidates, &phases, &plan.selector))
}

/// How an object is named in events that know it by its key alone.
pub(super) fn name_of(cluster: &Cluster, key: &ObjectKey) -> ObjectName {
    let version = cluster.kinds.stable(&key.group, &key.kind).map(|kind| kind.resource.api_version.clone());
    ObjectName {
        api_version: version.unwrap_or_else(|| key.group.clone()),
        kind: key.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

/// What it means for a run that something could not be deleted.
pub(super) fn stop_for(error: &RemovalError) -> Stop {
    let (outcome, exit) = match error {
        RemovalError::Stuck(_) => (Outcome::Stuck, 7),
        RemovalError::Cluster(ClusterError::WrongCluster { .. }) => (Outcome::WrongCluster, 4),
        RemovalError::Cluster(ClusterError::Forbidden(_)) => (Outcome::NotAllowed, 5),
        RemovalError::Cluster(error) if error.is_transient() => (Outcome::Unreachable, 5),
        RemovalError::Cluster(_) => (Outcome::Refused, 6),
    };
    Stop { outcome, exit }
}

/// The exit code of a command that could not delete something.
pub fn exit_for(error: &RemovalError) -> u8 {
    stop_for(error).exit
}

impl Dispatcher<'_> {
    /// Deletes what left the kit and keeps what must be kept.
    ///
    /// # Errors
    /// How the run stops when something cannot be deleted, or somebody stops it.
    pub(super) async fn prune(&mut self) -> Result<(), Stop> {
        let candidates = match self.candidates().await {
            Ok(candidates) => candidates,
            // The environment is healthy; what is too much is found by the next run.
            Err(error) => {
                let message = format!("what left the kit was not looked for, the next run will: {error}");
                self.emitter.send(EventKind::Warning { message });
                return Ok(());
            }
        };
        let phases: Vec<String> = self.plan.phases.iter().map(|phase| phase.name.clone()).collect();
        let found = prune(&candidates, &phases, &self.plan.selector);
        for key in &found.forgotten {
            self.inventory.entries.remove(key);
        }
        for kept in found.kept {
            if let Some(entry) = self.inventory.entries.get_mut(&kept.key) {
                entry.left = true;
            }
            let (object, reason) = (name_of(&self.cluster, &kept.key), kept.reason.to_string());
            self.emitter.send(EventKind::ObjectKept { phase: kept.phase, object, reason });
        }
        let uid = |key: &ObjectKey| {
            let candidate = candidates.iter().find(|candidate| candidate.key == *key)?;
            candidate.live.as_ref()?.pointer("/metadata/uid")?.as_str().map(str::to_owned)
        };
        for batch in found.batches {
            let limit = self.limit(&batch.phase);
            self.retain_beside(&batch.phase, &batch.keys).await?;
            let goes = batch.keys.into_iter().filter_map(|key| uid(&key).map(|uid| (key, uid))).collect();
            self.delete(&batch.phase, goes, limit).await?;
        }
        // What could not be listed was told; looking again would not find it.
        self.inventory.incomplete = false;
        Ok(())
    }

    /// An operator may delete the claims of what it ran when its resource goes, also claims that do not name the resource as their
    /// owner. Which these are only the operator knows, so the volumes of all claims beside it that are not the kit's keep their
    /// bytes.
    async fn retain_beside(&mut self, phase: &str, goes: &[ObjectKey]) -> Result<(), Stop> {
        let Some(first) = goes.iter().find(|key| may_own_claims(key)) else { return Ok(()) };
        let beside = goes.iter().filter(|key| may_own_claims(key)).filter_map(|key| key.namespace.clone());
        let namespaces: BTreeSet<String> = beside.collect();
        let mut stop = self.stop.clone();
        let retained = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Err(Stop { outcome: Outcome::Interrupted, exit: 130 }),
            stop = lost(self.options.lock.clone()) => return Err(stop),
            retained = self.retain_in(&namespaces) => retained,
        };
        retained.map_err(|error| self.cannot_delete(phase, name_of(&self.cluster, first), &error))
    }

    async fn retain_in(&self, namespaces: &BTreeSet<String>) -> Result<(), RemovalError> {
        for claim in volumes::claims(&self.cluster, namespaces).await? {
            let (namespace, name) = (text(&claim, "/metadata/namespace"), text(&claim, "/metadata/name"));
            if self.plan.claims.iter().any(|it| it.namespace == namespace && it.name == name) {
                continue;
            }
            let key = volume_key(&text(&claim, "/spec/volumeName"));
            if key.name.is_empty() {
                continue;
            }
            let Some(volume) = members::read(&self.cluster, &key, true).await? else { continue };
            let before = volumes::reclaim_policy(&volume).to_owned();
            if before == "Retain" {
                continue;
            }
            if volumes::retain(&self.cluster, &key.name, &text(&volume, "/metadata/uid")).await?.is_none() {
                return Err(RemovalError::Stuck(format!(
                    "pv/{} of the claim {name} does not keep the policy Retain",
                    key.name
                )));
            }
            self.emitter.send(EventKind::VolumeRetained { volume: key.name, namespace, claim: name, before });
        }
        Ok(())
    }

    /// Tells what could not be deleted, and how the run stops therefore.
    fn cannot_delete(&self, phase: &str, object: ObjectName, error: &RemovalError) -> Stop {
        self.emitter.send(EventKind::ObjectFailed {
            phase: phase.to_owned(),
            object,
            origin: Origin::default(),
            reason: error.to_string(),
            diagnosis: Diagnosis::default(),
        });
        stop_for(error)
    }

    fn limit(&self, phase: &str) -> Duration {
        let planned = self.plan.phases.iter().find(|planned| planned.name == phase);
        Limits::of(planned.map_or(&PhaseSettings::default(), |planned| &planned.settings)).object
    }

    /// Everything that may have left the kit, as it is now.
    async fn candidates(&mut self) -> Result<Vec<Candidate>, ClusterError> {
        let labelled = std::mem::take(&mut self.labelled);
        for item in self.plan.phases.iter().flat_map(|phase| &phase.items) {
            if let Some(entry) = self.inventory.entries.get_mut(&item.key) {
                entry.left = false;
            }
        }
        let (candidates, unread) =
            candidates(&self.cluster, self.plan, &self.inventory, labelled, self.record_lost).await?;
        if !unread.is_empty() {
            let message = format!(
                "the inventory was lost, and what cannot be listed may hold objects that left the kit: {}",
                unread.join(", ")
            );
            self.emitter.send(EventKind::Warning { message });
        }
        Ok(candidates)
    }

    /// Deletes objects side by side and waits until they are gone.
    async fn delete(&mut self, phase: &str, goes: Vec<(ObjectKey, String)>, limit: Duration) -> Result<(), Stop> {
        let (cluster, emitter) = (&self.cluster, &self.emitter);
        let gone = std::sync::Mutex::new(Vec::new());
        let deletions = stream::iter(goes).map(|(key, uid)| {
            let gone = &gone;
            async move {
                let object = name_of(cluster, &key);
                let waits = |reason: &str| {
                    let (phase, object) = (phase.to_owned(), object.clone());
                    emitter.send(EventKind::ObjectWaiting { phase, object, reason: reason.to_owned() });
                };
                match remove(cluster, &key, &uid, limit, waits).await {
                    Ok(()) => {
                        emitter.send(EventKind::ObjectPruned { phase: phase.to_owned(), object });
                        gone.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(key);
                        Ok(())
                    }
                    Err(error) => Err((object, error)),
                }
            }
        });
        let all = deletions.buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>();
        let result = tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => Err(None),
            _ = lost(self.options.lock.clone()) => Err(None),
            result = all => result.map(drop).map_err(Some),
        };
        let gone = gone.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.wrote |= !gone.is_empty();
        for key in gone {
            self.inventory.entries.remove(&key);
        }
        match result {
            Ok(()) => Ok(()),
            Err(None) => Err(self.halted().unwrap_or(Stop { outcome: Outcome::Interrupted, exit: 130 })),
            Err(Some((object, error))) => Err(self.cannot_delete(phase, object, &error)),
        }
    }
}

//! Takes an environment down: first every volume is made to outlive its claim, then phase by phase, from the last to the first,
//! what the environment consists of is deleted and its pods are waited for. At the end the volumes are looked at again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::dispatcher::Stop;
use super::emitter::Emitter;
use super::event::{Event, EventKind, ObjectName, Outcome, PhaseSummary, seconds};
use super::prune::{name_of, stop_for};
use crate::cluster::binding;
use crate::cluster::inventory::Inventory;
use crate::cluster::lock::Lost;
use crate::cluster::removal::{RemovalError, pods_gone, remove, with_owned};
use crate::cluster::volumes::{self, claim_key, volume_key};
use crate::cluster::{Cluster, ClusterError, members};
use crate::data::evidence::is_provisioned;
use crate::data::memory;
use crate::health::diagnosis::Diagnosis;
use crate::manifest::{ObjectKey, Origin};
use crate::plan::down::{Claim, DataSet, Down, Scope, claims, down, is_bound, is_safe, other_owner, proof, strangers};
use crate::plan::prune::Kept;
use crate::plan::removal::{Batch, is_workload};

/// Deletions under way at once.
const CONCURRENCY: usize = 16;

/// How long a claim and its volume may take to go.
const DATA_LIMIT: Duration = Duration::from_secs(10 * 60);

/// What is there of an environment, and what would be done with it.
#[derive(Clone, Debug)]
pub struct Survey {
    /// What goes and what stays.
    pub down: Down,
    /// Claims that may hold its data.
    pub claims: Vec<Claim>,
    /// Their volumes by name.
    pub volumes: BTreeMap<String, Value>,
    /// Claims, by namespace and name, that may belong to another environment, and to which.
    pub others: BTreeMap<(String, String), String>,
    /// Kinds that could not be listed: what of the environment is of these is only known if it is recorded.
    pub unread: Vec<String>,
    record: Inventory,
    recorded: bool,
    live: BTreeMap<ObjectKey, Value>,
}

impl Survey {
    /// The volume of a claim, if it is there and means that claim.
    pub fn volume_of(&self, claim: &Claim) -> Option<&Value> {
        self.volumes.get(claim.volume.as_deref()?).filter(|volume| is_bound(claim, volume))
    }

    /// The claims of a data set that are there and no other environment's.
    pub fn claims_of<'a>(&'a self, set: &'a DataSet) -> impl Iterator<Item = &'a Claim> {
        let named = |claim: &&Claim| {
            let place = (claim.namespace.clone(), claim.name.clone());
            set.claims.contains(&place) && !self.others.contains_key(&place)
        };
        self.claims.iter().filter(named)
    }

    /// The first claim of a data set that may be another environment's, and whose.
    pub fn other_of(&self, set: &DataSet) -> Option<(&str, &str)> {
        let other = |place: &(String, String)| self.others.get_key_value(place);
        set.claims.iter().find_map(other).map(|((_, claim), owner)| (claim.as_str(), owner.as_str()))
    }
}

/// Reads what is there. Writes nothing.
///
/// # Errors
/// When the cluster does not answer or does not let us read what is needed.
pub async fn survey(cluster: &Cluster, scope: &Scope) -> Result<Survey, ClusterError> {
    let (record, found) =
        tokio::join!(Inventory::read(cluster, &scope.environment), members::labelled(cluster, &scope.selector));
    let (record, found) = (record?, found?);
    let recorded = record.is_some();
    let record = record.unwrap_or_default();
    let mut live = found.objects;
    let unlabelled: Vec<&ObjectKey> = record.entries.keys().filter(|key| !live.contains_key(key)).collect();
    let unlabelled = members::read_all(cluster, unlabelled).await?;
    live.extend(unlabelled);
    let down = down(scope, &record, &live);
    let sets: Vec<&ObjectKey> = live.keys().filter(|key| key.group == "apps" && key.kind == "StatefulSet").collect();
    let sets = members::read_all(cluster, sets).await?;
    let keys = record.entries.keys().chain(live.keys());
    let mut namespaces: BTreeSet<String> = keys.filter_map(|key| key.namespace.clone()).collect();
    namespaces.extend(down.namespaces.iter().cloned());
    namespaces.insert(scope.namespace.clone());
    let found_claims = volumes::claims(cluster, &namespaces).await?;
    let claims = claims(scope, &record, &down, sets.into_values(), &found_claims);
    let volumes = volumes::volumes(cluster, claims.iter().filter_map(|claim| claim.volume.as_deref())).await?;
    let others = others(cluster, scope, &record, &found_claims).await?;
    Ok(Survey { down, claims, volumes, others, unread: found.unread, record, recorded, live })
}

/// The claims of the kit's data sets, of those found, that may belong to another environment.
async fn others(
    cluster: &Cluster,
    scope: &Scope,
    record: &Inventory,
    found: &[Value],
) -> Result<BTreeMap<(String, String), String>, ClusterError> {
    let place = |claim: &Value| {
        let text = |pointer: &str| claim.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("/metadata/namespace"), text("/metadata/name"))
    };
    let named = |claim: &&Value| scope.data_sets.iter().any(|set| set.claims.contains(&place(claim)));
    let named: Vec<&Value> = found.iter().filter(named).collect();
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let records = binding::records(cluster).await?;
    let namespaces: BTreeSet<String> = named.iter().map(|claim| place(claim).0).collect();
    let namespaces: Vec<ObjectKey> = namespaces.into_iter().map(ObjectKey::of_namespace).collect();
    let namespaces = members::read_all(cluster, &namespaces).await?;
    let owner = |claim: &Value| {
        let name = place(claim).0;
        let namespace = namespaces.iter().find(|(key, _)| key.name == name).map(|(_, live)| live);
        let recorded = records.iter().map(|record| (record.environment.as_str(), &record.namespaces));
        other_owner(scope, record, claim, namespace, recorded)
    };
    Ok(named.into_iter().filter_map(|claim| Some((place(claim), owner(claim)?))).collect())
}

/// How an environment is to be taken down.
#[derive(Clone)]
pub struct Options {
    /// The run's id.
    pub run: String,
    /// The moment it starts, for the times of events.
    pub started: jiff::Timestamp,
    /// Data sets whose claims are deleted with their volumes.
    pub delete_data: Vec<DataSet>,
    /// Becomes something when the environment's lock is lost: then nothing more is written.
    pub lock: Option<watch::Receiver<Option<Lost>>>,
    /// What was noticed before the run began, told as warnings.
    pub notices: Vec<String>,
}

/// Takes an environment down as surveyed. Everything that happens is told through `events`, the end as
/// [`EventKind::RunFinished`]; returns the exit code told there. When `stop` becomes true, nothing more is written.
pub async fn run(
    cluster: Cluster,
    scope: &Scope,
    survey: Survey,
    options: Options,
    events: mpsc::UnboundedSender<Event>,
    stop: watch::Receiver<bool>,
) -> u8 {
    let emitter = Emitter::new(options.run.clone(), options.started, events);
    let summaries = survey.down.phases().into_iter();
    let summaries =
        summaries.map(|(phase, objects)| PhaseSummary { phase, objects, ..PhaseSummary::default() }).collect();
    let record = survey.record.clone();
    let mut taking = Taking { cluster, scope, survey, options, emitter, stop, summaries, record };
    taking.emitter.send(EventKind::RunStarted {
        environment: scope.environment.clone(),
        stack: scope.stack.clone(),
        context: taking.cluster.context.clone(),
        server: taking.cluster.server.clone(),
        kubernetes: taking.cluster.version.clone(),
        cluster: taking.cluster.uid.clone(),
        nodes: taking.cluster.nodes,
        phases: taking.summaries.clone(),
        left_out: Vec::new(),
        resumes: None,
    });
    taking.emitter.send(EventKind::TakingDown {
        claims: taking.survey.claims.len(),
        delete_data: taking.options.delete_data.iter().map(|set| set.name.clone()).collect(),
    });
    let end = taking.all().await.err().unwrap_or(Stop { outcome: Outcome::Done, exit: 0 });
    taking.emitter.send(EventKind::RunFinished {
        outcome: end.outcome,
        exit: end.exit,
        seconds: seconds(taking.emitter.elapsed()),
        written: taking.summaries.iter().map(|summary| summary.written).sum(),
        phases: taking.summaries.clone(),
        critical_path: Vec::new(),
    });
    end.exit
}

/// An environment that is being taken down.
struct Taking<'a> {
    cluster: Cluster,
    scope: &'a Scope,
    survey: Survey,
    options: Options,
    emitter: Emitter,
    stop: watch::Receiver<bool>,
    summaries: Vec<PhaseSummary>,
    /// The inventory as the cluster holds it.
    record: Inventory,
}

impl Taking<'_> {
    async fn all(&mut self) -> Result<(), Stop> {
        for message in std::mem::take(&mut self.options.notices) {
            self.emitter.send(EventKind::Warning { message });
        }
        if !self.survey.unread.is_empty() {
            let kinds = self.survey.unread.join(", ");
            let message =
                format!("not listed, so objects that the inventory does not name may be left behind: {kinds}");
            self.emitter.send(EventKind::Warning { message });
        }
        self.retain().await?;
        for key in std::mem::take(&mut self.survey.down.forgotten) {
            // A workload that is gone may have left pods that are still ending: its phase waits for them.
            if !is_workload(&key) {
                self.survey.record.entries.remove(&key);
            }
        }
        let sets = &self.options.delete_data;
        let going: BTreeSet<ObjectKey> = sets
            .iter()
            .flat_map(|set| self.survey.claims_of(set))
            .map(|claim| claim_key(&claim.namespace, &claim.name))
            .collect();
        for Kept { phase, key, reason } in std::mem::take(&mut self.survey.down.kept) {
            if going.contains(&key) {
                continue;
            }
            let object = name_of(&self.cluster, &key);
            self.emitter.send(EventKind::ObjectKept { phase, object, reason: reason.to_string() });
            if !reason.is_ours() {
                self.survey.record.entries.remove(&key);
            }
        }
        let batches = std::mem::take(&mut self.survey.down.batches);
        let result = self.phases(batches).await;
        if result.is_ok() {
            // What was there before is gone with its pods.
            let gone = |key: &ObjectKey| is_workload(key) && !self.survey.live.contains_key(key);
            self.survey.record.entries.retain(|key, _| !gone(key));
        }
        self.store().await;
        result?;
        self.delete_data().await?;
        self.store().await;
        self.prove().await
    }

    /// Runs something until it ends or somebody stops us.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Err(Stop { outcome: Outcome::Interrupted, exit: 130 }),
            stop = lost(self.options.lock.clone()) => Err(stop),
            done = work => Ok(done),
        }
    }

    fn is_locked(&self) -> bool {
        self.options.lock.as_ref().is_none_or(|lock| lock.borrow().is_none())
    }

    fn failed(&self, phase: &str, object: ObjectName, error: &RemovalError) -> Stop {
        let (origin, diagnosis) = (Origin::default(), Diagnosis::default());
        let (phase, reason) = (phase.to_owned(), error.to_string());
        self.emitter.send(EventKind::ObjectFailed { phase, object, origin, reason, diagnosis });
        stop_for(error)
    }

    /// Makes every volume outlive its claim, before anything is deleted.
    async fn retain(&mut self) -> Result<(), Stop> {
        for claim in self.survey.claims.clone() {
            let Some(volume) = self.survey.volume_of(&claim) else { continue };
            let text = |pointer: &str| volume.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (name, uid) = (text("/metadata/name"), text("/metadata/uid"));
            let before = volumes::reclaim_policy(volume).to_owned();
            if before == "Retain" {
                continue;
            }
            let set = volumes::retain(&self.cluster, &name, &uid);
            let read = match self.unless_stopped(set).await? {
                Ok(read) => read,
                Err(error) => {
                    return Err(self.failed("", name_of(&self.cluster, &volume_key(&name)), &error.into()));
                }
            };
            let Some(read) = read else {
                let object = name_of(&self.cluster, &volume_key(&name));
                let message = "it does not keep the policy Retain, so nothing was deleted".to_owned();
                let _ = self.failed("", object, &RemovalError::Stuck(message));
                return Err(Stop { outcome: Outcome::Unproven, exit: 4 });
            };
            self.survey.volumes.insert(name.clone(), read);
            let (namespace, claim) = (claim.namespace, claim.name);
            self.emitter.send(EventKind::VolumeRetained { volume: name, namespace, claim, before });
        }
        Ok(())
    }

    async fn phases(&mut self, batches: Vec<Batch>) -> Result<(), Stop> {
        let mut batches = batches.into_iter().peekable();
        for index in 0..self.summaries.len() {
            let phase = self.summaries[index].phase.clone();
            let began = self.emitter.elapsed();
            self.summaries[index].started = Some(seconds(began));
            self.emitter.send(EventKind::PhaseStarted { phase: phase.clone() });
            let mut result = Ok(());
            while let (Ok(()), Some(batch)) = (result, batches.next_if(|batch| batch.phase == phase)) {
                result = self.batch(index, batch).await;
            }
            self.summaries[index].seconds = Some(seconds(self.emitter.elapsed() - began));
            result?;
            self.store().await;
            self.emitter.send(EventKind::PhaseFinished { summary: self.summaries[index].clone() });
        }
        Ok(())
    }

    /// Deletes objects side by side, waits until they are gone, and their pods with them.
    async fn batch(&mut self, index: usize, batch: Batch) -> Result<(), Stop> {
        let limit = self.scope.limit(&batch.phase);
        let owning = match self.unless_stopped(self.owning(&batch)).await? {
            Ok(owning) => owning,
            Err((object, error)) => return Err(self.failed(&batch.phase, object, &error.into())),
        };
        let goes: Vec<_> = batch.keys.iter().filter_map(|key| Some((key.clone(), self.uid(key)?))).collect();
        let gone = Mutex::new(Vec::new());
        let (cluster, emitter, phase) = (&self.cluster, &self.emitter, batch.phase.as_str());
        let deletions = stream::iter(goes).map(|(key, uid)| {
            let gone = &gone;
            async move {
                let object = name_of(cluster, &key);
                let began = Instant::now();
                let waits = |reason: &str| waiting(emitter, phase, &object, reason);
                remove(cluster, &key, &uid, limit, waits).await.map_err(|error| (object.clone(), error))?;
                let (phase, seconds) = (phase.to_owned(), seconds(began.elapsed()));
                emitter.send(EventKind::ObjectDeleted { phase, object, seconds });
                gone.lock().unwrap_or_else(PoisonError::into_inner).push(key);
                Ok(())
            }
        });
        let result = self.unless_stopped(deletions.buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>()).await;
        let gone = gone.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.summaries[index].ready += gone.len();
        self.summaries[index].written += gone.len();
        for key in &gone {
            self.survey.record.entries.remove(key);
        }
        if let Err((object, error)) = result? {
            return Err(self.failed(&batch.phase, object, &error));
        }
        let Some((namespaces, owning, object)) = owning else { return Ok(()) };
        let waits = |reason: &str| waiting(&self.emitter, &batch.phase, &object, reason);
        let pods = pods_gone(&self.cluster, &namespaces, &owning, limit, waits);
        self.unless_stopped(pods).await?.map_err(|error| self.failed(&batch.phase, object.clone(), &error))
    }

    fn uid(&self, key: &ObjectKey) -> Option<String> {
        self.survey.live.get(key)?.pointer("/metadata/uid")?.as_str().map(str::to_owned)
    }

    /// Whoever may own a pod of these workloads: namespaces, UIDs, and the first workload to name in messages.
    async fn owning(
        &self,
        batch: &Batch,
    ) -> Result<Option<(BTreeSet<String>, HashSet<String>, ObjectName)>, (ObjectName, ClusterError)> {
        let Some(first) = batch.keys.iter().find(|key| is_workload(key)) else { return Ok(None) };
        let recorded = self.survey.record.entries.iter();
        let of_phase = recorded.filter(|(key, entry)| is_workload(key) && entry.phase == batch.phase);
        let mut uids: HashSet<String> = of_phase.clone().map(|(_, entry)| entry.uid.clone()).collect();
        uids.extend(batch.keys.iter().filter_map(|key| self.uid(key)));
        let keys = batch.keys.iter().chain(of_phase.map(|(key, _)| key));
        let namespaces = keys.filter_map(|key| key.namespace.clone()).collect();
        let object = name_of(&self.cluster, first);
        match with_owned(&self.cluster, &namespaces, uids).await {
            Ok(owning) => Ok(Some((namespaces, owning, object))),
            Err(error) => Err((object, error)),
        }
    }

    /// Deletes the claims and volumes of the data sets whose names were typed, then the namespaces that are empty by that.
    async fn delete_data(&mut self) -> Result<(), Stop> {
        let mut touched = BTreeSet::new();
        for set in self.options.delete_data.clone() {
            for claim in self.survey.claims_of(&set).cloned().collect::<Vec<_>>() {
                self.delete_claim(&set, &claim).await?;
                touched.insert(claim.namespace);
            }
            let environment = self.scope.environment.clone();
            if let Err(error) = self.unless_stopped(memory::forget(&self.cluster, &environment, &set.name)).await? {
                let message = format!("what {} held is still remembered: {error}", set.name);
                self.emitter.send(EventKind::Warning { message });
            }
        }
        for namespace in touched.intersection(&self.survey.down.namespaces) {
            let key = ObjectKey::of_namespace(namespace);
            let Some(uid) = self.uid(&key) else { continue };
            let object = name_of(&self.cluster, &key);
            let failed = |error: ClusterError| self.failed("", object.clone(), &error.into());
            let inside = members::inside(&self.cluster, namespace);
            let inside = self.unless_stopped(inside).await?.map_err(failed)?;
            let left = strangers(&inside.objects);
            if !left.is_empty() || !inside.unread.is_empty() {
                let left = left.into_iter().map(ToString::to_string).chain(inside.unread.iter().cloned());
                let reason = format!("it still holds {}", left.take(5).collect::<Vec<_>>().join(", "));
                self.emitter.send(EventKind::ObjectKept { phase: String::new(), object, reason });
                continue;
            }
            let began = Instant::now();
            let waits = |reason: &str| waiting(&self.emitter, "", &object, reason);
            let removal = remove(&self.cluster, &key, &uid, DATA_LIMIT, waits);
            self.unless_stopped(removal).await?.map_err(|error| self.failed("", object.clone(), &error))?;
            self.survey.record.entries.remove(&key);
            let seconds = seconds(began.elapsed());
            self.emitter.send(EventKind::ObjectDeleted { phase: String::new(), object, seconds });
        }
        Ok(())
    }

    async fn delete_claim(&mut self, set: &DataSet, claim: &Claim) -> Result<(), Stop> {
        let key = claim_key(&claim.namespace, &claim.name);
        let object = name_of(&self.cluster, &key);
        let mut volume = None;
        if let Some(live) = self.survey.volume_of(claim).filter(|volume| is_provisioned(volume)) {
            let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (name, uid) = (text("/metadata/name"), text("/metadata/uid"));
            let set = volumes::set_policy(&self.cluster, &name, &uid, "Delete");
            self.unless_stopped(set).await?.map_err(|error| self.failed("", object.clone(), &error.into()))?;
            volume = Some((name, uid));
        }
        let waits = |reason: &str| waiting(&self.emitter, "", &object, reason);
        let removal = async {
            remove(&self.cluster, &key, &claim.uid, DATA_LIMIT, waits).await?;
            match &volume {
                // Its provisioner deletes it; a volume that nobody deletes must not look as if it were gone.
                Some((name, uid)) => volume_gone(&self.cluster, name, uid, waits).await,
                None => Ok(()),
            }
        };
        self.unless_stopped(removal).await?.map_err(|error| self.failed("", object.clone(), &error))?;
        self.survey.record.entries.remove(&key);
        self.survey.claims.retain(|known| known != claim);
        self.emitter.send(EventKind::DataDeleted {
            data_set: set.name.clone(),
            namespace: claim.namespace.clone(),
            claim: claim.name.clone(),
            volume: claim.volume.clone().unwrap_or_default(),
            volume_deleted: volume.is_some(),
        });
        Ok(())
    }

    /// Reads every claim and volume again and tells how they are.
    async fn prove(&mut self) -> Result<(), Stop> {
        let mut unsafe_ones = Vec::new();
        for claim in self.survey.claims.clone() {
            let key = claim_key(&claim.namespace, &claim.name);
            let read = async {
                let there = members::read(&self.cluster, &key, false).await?;
                let names = claim.volume.as_deref().into_iter();
                Ok::<_, ClusterError>((there, volumes::volumes(&self.cluster, names).await?))
            };
            let (there, found) = self
                .unless_stopped(read)
                .await?
                .map_err(|error| self.failed("", name_of(&self.cluster, &key), &error.into()))?;
            let volume = claim.volume.as_ref().and_then(|name| found.get(name));
            let mut proof = proof(&claim, volume);
            let same = |live: &Value| live.pointer("/metadata/uid").and_then(Value::as_str) == Some(&claim.uid);
            let is_there = there.as_ref().is_some_and(same);
            if !is_there {
                proof.phase = format!("{}, its claim is gone", proof.phase);
            }
            if !is_safe(&proof) || !is_there {
                unsafe_ones.push(proof.claim.clone());
            }
            self.emitter.send(EventKind::VolumeKept { proof });
        }
        if unsafe_ones.is_empty() {
            return Ok(());
        }
        let message = format!("not as it should be: {}", unsafe_ones.join(", "));
        self.emitter.send(EventKind::Warning { message });
        Err(Stop { outcome: Outcome::Unproven, exit: 4 })
    }

    /// Writes the inventory of what is left, if it has changed. Where the cluster does not take it, the labels of what is left still
    /// tell.
    async fn store(&mut self) {
        if !self.survey.recorded || self.survey.record == self.record || !self.is_locked() {
            return;
        }
        let stored = match self.cluster.verify_identity().await {
            Ok(()) => self.survey.record.store(&self.cluster, &self.scope.environment).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(()) => self.record = self.survey.record.clone(),
            Err(error) => {
                let message = format!("the inventory was not written, it still names what is gone: {error}");
                self.emitter.send(EventKind::Warning { message });
            }
        }
    }
}

/// Ends when the lock is lost, with how the run then stops.
pub(super) async fn lost(lock: Option<watch::Receiver<Option<Lost>>>) -> Stop {
    if let Some(mut lock) = lock
        && let Ok(lost) = lock.wait_for(Option::is_some).await
    {
        return match *lost {
            Some(Lost::OtherCluster { .. }) => Stop { outcome: Outcome::WrongCluster, exit: 4 },
            _ => Stop { outcome: Outcome::LockLost, exit: 8 },
        };
    }
    std::future::pending().await
}

fn waiting(emitter: &Emitter, phase: &str, object: &ObjectName, reason: &str) {
    let (phase, object, reason) = (phase.to_owned(), object.clone(), reason.to_owned());
    emitter.send(EventKind::ObjectWaiting { phase, object, reason });
}

/// Waits until a volume is gone that its provisioner deletes.
async fn volume_gone(cluster: &Cluster, name: &str, uid: &str, note: impl Fn(&str)) -> Result<(), RemovalError> {
    let deadline = Instant::now() + DATA_LIMIT;
    let mut told = String::new();
    loop {
        let live = members::read(cluster, &volume_key(name), true).await?;
        let text = |live: &Value, pointer: &str| live.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let Some(live) = live.filter(|live| text(live, "/metadata/uid").as_deref() == Some(uid)) else { return Ok(()) };
        let phase = text(&live, "/status/phase").unwrap_or_default();
        let reason = format!("its volume {name} is {}, not deleted yet", phase.to_lowercase());
        if phase == "Failed" {
            let said = text(&live, "/status/message").unwrap_or_default();
            return Err(RemovalError::Stuck(format!("its volume {name} cannot be deleted: {said}")));
        }
        if told != reason {
            note(&reason);
            told.clone_from(&reason);
        }
        if Instant::now() >= deadline {
            return Err(RemovalError::Stuck(reason));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

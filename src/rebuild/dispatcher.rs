//! The dispatcher: owns all state of a run and takes every decision in one place, one message at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;

use super::data;
use super::down::lost;
use super::emitter::Emitter;
use super::ending::refusal;
use super::event::{CriticalStep, Event, EventKind, ObjectName, Outcome, PhaseSummary, Resumes, seconds};
use super::node::{Node, State};
use super::path::critical;
use super::phase::{Failure, Phase};
use super::prune;
use super::restoring;
use super::skipped::{self, Part};
use super::store::Store;
use super::tasks::{Done, Note};
use crate::cluster::binding::Binding;
use crate::cluster::inventory::Inventory;
use crate::cluster::lock::Lost;
use crate::cluster::observe::{list, standing};
use crate::cluster::watch::{Place, Seen};
use crate::cluster::{Cluster, ClusterError, members};
use crate::health::gate::{Asker, StandIn};
use crate::manifest::ObjectKey;
use crate::plan::decide::{Adoption, Wishes, losses, strangers};
use crate::plan::proposal::SavedPlan;
use crate::plan::propose::states;
use crate::plan::standing::Standing;
use crate::plan::{Plan, PlannedPhase};
use crate::secrets::redact::Redactor;

/// How often and how far apart an API server is asked before it is said that it does not answer.
const LAST_QUESTIONS: usize = 4;
const LAST_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Sightings that are taken in before anything is judged by them; that must not keep a run from hearing who stops it.
const SIGHTINGS: usize = 1000;

/// How a run is to be done.
#[derive(Clone, Default)]
pub struct Options {
    /// The run's id.
    pub run: String,
    /// The moment it starts, for the times of events.
    pub started: jiff::Timestamp,
    /// Take over fields that other managers hold.
    pub take_ownership: bool,
    /// Objects of others that are taken.
    pub adopt: Adoption,
    /// The saved plan that the run is held to.
    pub saved: Option<SavedPlan>,
    /// Learns the values of Secrets that gates use.
    pub redactor: Redactor,
    /// Begin with this phase; earlier ones are left as they are.
    pub from: Option<String>,
    /// End after this phase.
    pub until: Option<String>,
    /// Becomes something when the environment's lock is lost: then nothing more is written.
    pub lock: Option<tokio::sync::watch::Receiver<Option<Lost>>>,
    /// The earlier run that this one goes on from.
    pub resumes: Option<Resumes>,
    /// What is to be told as warnings at the start, found out before it.
    pub notices: Vec<String>,
    /// What the cluster remembers of the environment: told of this run at its end.
    pub binding: Option<Binding>,
    /// Answers gates where there are no programs to ask: in a rehearsal.
    pub stand_in: Option<Arc<dyn StandIn>>,
}

/// How a run that stops before its end ends.
#[derive(Clone, Copy)]
pub(super) struct Stop {
    pub(super) outcome: Outcome,
    pub(super) exit: u8,
}

/// Executes a plan. Everything that happens is told through `events`, the end as [`EventKind::RunFinished`]; returns
/// the exit code told there. When `stop` becomes true, no object is written any more; what was done is still
/// recorded (inventory, marks on volumes).
///
/// # Errors
/// When what is there cannot be read before the first write.
pub async fn run(
    cluster: Cluster,
    plan: &Plan,
    options: Options,
    events: mpsc::UnboundedSender<Event>,
    stop: tokio::sync::watch::Receiver<bool>,
) -> Result<u8, ClusterError> {
    let emitter = Emitter::new(options.run.clone(), options.started, events);
    let summaries: Vec<_> = plan.phases.iter().map(summary).collect();
    let part = Part::of(plan, options.from.as_deref(), options.until.as_deref());
    emitter.send(EventKind::RunStarted {
        environment: plan.environment.clone(),
        stack: plan.stack.clone(),
        context: cluster.context.clone(),
        server: cluster.server.clone(),
        kubernetes: cluster.version.clone(),
        cluster: cluster.uid.clone(),
        nodes: cluster.nodes,
        phases: summaries.clone(),
        left_out: part.left_out(plan),
        resumes: options.resumes.clone(),
    });
    for message in &options.notices {
        emitter.send(EventKind::Warning { message: message.clone() });
    }
    let mut objects = plan.phases.iter().flat_map(|phase| &phase.items).map(|item| &item.object);
    let wants_classes = objects.any(|object| matches!(object.kind(), "PersistentVolumeClaim"));
    let classes = async { if wants_classes { storage_classes(&cluster).await } else { Ok(Vec::new()) } };
    let wishes = Wishes { adopt: options.adopt.clone(), take_ownership: options.take_ownership };
    let asked = Instant::now();
    let standing = assess(&cluster, plan, &part, &wishes, options.saved.as_ref());
    let (standing, classes) = tokio::join!(standing, classes);
    let (standing, classes) = (standing?, classes?);
    let labelled = prune::applied(plan, &standing.ours);
    // Before its first run an environment has neither a record nor objects.
    let record_lost = !standing.has_record && (standing.inventory.incomplete || !labelled.is_empty());
    let Standing { ours, taken, foreign, inventory: recorded, .. } = standing;
    let inventory = Inventory { incomplete: recorded.incomplete || record_lost, ..recorded.clone() };
    let mut store = Store::of_survey(asked, ours);
    for class in classes {
        let name = class.pointer("/metadata/name").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let key = ObjectKey { group: "storage.k8s.io".into(), kind: "StorageClass".into(), namespace: None, name };
        store.put(key, class);
    }
    skipped::look(plan, &part, &store, &emitter)?;
    data::tell(plan, &emitter);
    let (seen, sightings) = mpsc::unbounded_channel();
    let mut dispatcher = Dispatcher {
        asker: Arc::new(
            Asker::new(cluster.client.clone(), options.redactor.clone()).with_stand_in(options.stand_in.clone()),
        ),
        cluster,
        plan,
        recorded,
        inventory,
        labelled,
        record_lost,
        store,
        others: taken.into_iter().chain(foreign).collect(),
        emitter,
        options,
        summaries,
        path: Vec::new(),
        watchers: HashMap::new(),
        seen,
        sightings,
        tasks: JoinSet::new(),
        applying: 0,
        wrote: false,
        unreachable: false,
        stop,
        ending: tokio::sync::watch::Sender::new(false),
    };
    dispatcher.run(&part).await
}

/// All StorageClasses: they say which claims wait for their pods. Who may not list them judges claims without.
async fn storage_classes(cluster: &Cluster) -> Result<Vec<Value>, ClusterError> {
    let Some(kind) = cluster.kinds.get("storage.k8s.io/v1", "StorageClass") else { return Ok(Vec::new()) };
    match list(cluster, kind, None, None, false).await {
        Err(error) if error.is_transient() => Err(error),
        found => Ok(found.unwrap_or_default()),
    }
}

/// Reads what stands in the cluster, and refuses what must not be touched. Writes nothing.
///
/// # Errors
/// [`ClusterError::NotOurs`] when objects of somebody else stand where the kit wants to put its own,
/// [`ClusterError::WouldLose`] when a change would lose data,
/// [`ClusterError::Outdated`] when a saved plan does not hold any more; those of reading.
pub async fn assess(
    cluster: &Cluster,
    plan: &Plan,
    part: &Part,
    wishes: &Wishes,
    saved: Option<&SavedPlan>,
) -> Result<Standing, ClusterError> {
    let standing = standing(cluster, plan).await?;
    let phases = plan.phases.iter().enumerate().filter(|(index, _)| part.holds(*index));
    let strangers = strangers(phases.clone().flat_map(|(_, phase)| &phase.items), &standing, wishes);
    if !strangers.is_empty() {
        return Err(ClusterError::NotOurs(strangers));
    }
    let losses = losses(phases.flat_map(|(_, phase)| &phase.items), &standing);
    if !losses.is_empty() {
        return Err(ClusterError::WouldLose(losses));
    }
    if let Some(saved) = saved {
        saved.is_for(&cluster.uid).map_err(ClusterError::Outdated)?;
        let prune = prune::planned(cluster, plan, &standing).await?;
        saved.still_holds(&states(plan, &standing, &prune)).map_err(ClusterError::Outdated)?;
    }
    Ok(standing)
}

/// Ends when the lock is lost; never where there is none, or where it is given back already.
async fn changed(lock: &mut Option<tokio::sync::watch::Receiver<Option<Lost>>>) {
    if let Some(lock) = lock
        && lock.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn summary(phase: &PlannedPhase) -> PhaseSummary {
    let skipped = phase.gates.iter().filter(|gate| gate.skipped.is_some()).count();
    PhaseSummary {
        phase: phase.name.clone(),
        objects: phase.items.len(),
        gates: phase.gates.len() - skipped,
        skipped,
        ..PhaseSummary::default()
    }
}

pub(super) struct Dispatcher<'a> {
    pub(super) cluster: Cluster,
    pub(super) asker: Arc<Asker>,
    pub(super) plan: &'a Plan,
    /// As the cluster holds it.
    pub(super) recorded: Inventory,
    /// As it will be recorded.
    pub(super) inventory: Inventory,
    /// Objects that were labelled as ours when the run began, where the plan looks.
    pub(super) labelled: BTreeSet<ObjectKey>,
    /// Whether there are such objects and no record of them.
    pub(super) record_lost: bool,
    pub(super) store: Store,
    /// Objects of others that were there when the run began; those of the kit among them may be taken.
    pub(super) others: HashMap<ObjectKey, Value>,
    pub(super) emitter: Emitter,
    pub(super) options: Options,
    pub(super) summaries: Vec<PhaseSummary>,
    pub(super) path: Vec<CriticalStep>,
    pub(super) watchers: HashMap<Place, JoinHandle<()>>,
    pub(super) seen: mpsc::UnboundedSender<Seen>,
    pub(super) sightings: mpsc::UnboundedReceiver<Seen>,
    /// Requests under way.
    pub(super) tasks: JoinSet<Done>,
    /// How many of them send objects.
    pub(super) applying: usize,
    /// Whether this run has written anything: if not, what a gate held before it still holds.
    pub(super) wrote: bool,
    /// Whether the API server has not answered a watcher since the last thing that one saw.
    pub(super) unreachable: bool,
    pub(super) stop: tokio::sync::watch::Receiver<bool>,
    /// Becomes true when nothing is to be tried again.
    pub(super) ending: tokio::sync::watch::Sender<bool>,
}

impl Drop for Dispatcher<'_> {
    fn drop(&mut self) {
        for watcher in self.watchers.values() {
            watcher.abort();
        }
    }
}

impl Dispatcher<'_> {
    async fn run(&mut self, part: &Part) -> Result<u8, ClusterError> {
        self.stand_guard();
        let mut stopped = self.reserve().await?;
        for (index, phase) in self.plan.phases.iter().enumerate().filter(|(index, _)| part.holds(*index)) {
            if stopped.is_some() {
                break;
            }
            if let Err(stop) = self.same_cluster(phase).await {
                stopped = Some(stop);
                break;
            }
            let result = self.phase(index, phase).await;
            self.record().await;
            if self.lost().is_none() {
                let evidence = async {
                    data::mark(self, &phase.name, result.is_ok()).await;
                    if result.is_ok() {
                        data::remember(self, &phase.name).await;
                    }
                };
                tokio::select! {
                    biased;
                    _ = lost(self.options.lock.clone()) => {}
                    () = evidence => {}
                }
            }
            if let Err(stop) = result {
                stopped = Some(stop);
                break;
            }
        }
        // Half a run does not know what the other half still needs.
        if stopped.is_none() && part.left_out(self.plan).is_empty() {
            stopped = self.prune().await.err();
            self.record().await;
        }
        let stop = stopped.unwrap_or(Stop { outcome: Outcome::Done, exit: 0 });
        if let Some(lost) = self.lost() {
            self.emitter.send(EventKind::Warning { message: lost.to_string() });
        }
        self.remember(stop.outcome).await;
        self.emitter.send(EventKind::RunFinished {
            outcome: stop.outcome,
            exit: stop.exit,
            seconds: seconds(self.emitter.elapsed()),
            written: self.summaries.iter().map(|summary| summary.written).sum(),
            phases: self.summaries.clone(),
            critical_path: std::mem::take(&mut self.path),
        });
        Ok(stop.exit)
    }

    /// Makes the volumes ready that are adopted, for as long as this run may write.
    async fn reserve(&mut self) -> Result<Option<Stop>, ClusterError> {
        if self.halted().is_none() {
            tokio::select! {
                biased;
                Ok(()) = self.stop.changed() => {}
                () = changed(&mut self.options.lock) => {}
                ended = data::reserve(&self.cluster, self.plan, &self.emitter) => ended?,
            }
        }
        Ok(self.halted())
    }

    /// The time of the run.
    pub(super) fn now(&self) -> jiff::Timestamp {
        self.options.started + self.emitter.elapsed()
    }

    /// Writes the inventory if it has changed. A cluster that does not take it costs the next run some requests, no
    /// more, so it is a warning.
    async fn record(&mut self) {
        if self.inventory == self.recorded || self.lost().is_some() {
            return;
        }
        if let Err(error) = self.cluster.verify_identity().await {
            self.emitter.send(EventKind::Warning { message: format!("the inventory was not written: {error}") });
            return;
        }
        let mut stored = self.inventory.store(&self.cluster, &self.plan.environment).await;
        for _ in 1..LAST_QUESTIONS {
            if !stored.as_ref().is_err_and(ClusterError::is_transient) || self.halted().is_some() {
                break;
            }
            tokio::time::sleep(LAST_PAUSE).await;
            stored = self.inventory.store(&self.cluster, &self.plan.environment).await;
        }
        match stored {
            Ok(()) => self.recorded = self.inventory.clone(),
            Err(error) => self.emitter.send(EventKind::Warning {
                message: format!("the inventory was not written, the next run will send every object again: {error}"),
            }),
        }
    }

    /// How the environment's lock was lost, if it was.
    pub(super) fn lost(&self) -> Option<Lost> {
        self.options.lock.as_ref().and_then(|lock| lock.borrow().clone())
    }

    /// Whether nothing more may be written: the lock is lost, or somebody has asked to stop.
    pub(super) fn halted(&self) -> Option<Stop> {
        match self.lost() {
            Some(Lost::OtherCluster { .. }) => Some(Stop { outcome: Outcome::WrongCluster, exit: 4 }),
            Some(_) => Some(Stop { outcome: Outcome::LockLost, exit: 8 }),
            None => self.stop.borrow().then_some(Stop { outcome: Outcome::Interrupted, exit: 130 }),
        }
    }

    async fn phase(&mut self, index: usize, planned: &PlannedPhase) -> Result<(), Stop> {
        let began = self.emitter.elapsed();
        self.summaries[index].started = Some(seconds(began));
        self.emitter.send(EventKind::PhaseStarted { phase: planned.name.clone() });
        let mut phase = Phase::begin(planned);
        let (notes, mut remarks) = mpsc::unbounded_channel();
        let restores = restoring::watch(self, &phase, &notes);
        let result = self.drive(&mut phase, &notes, &mut remarks).await;
        drop(restores);
        let summary = &mut self.summaries[index];
        summary.seconds = Some(seconds(self.emitter.elapsed() - began));
        summary.ready = phase.nodes.iter().filter(|node| node.state == State::Ready).count();
        summary.written = phase.nodes.iter().filter(|node| node.written).count();
        summary.passed = phase.gates.iter().filter(|gate| gate.passed).count();
        self.path.extend(critical(&planned.name, &phase.steps(self.emitter.elapsed())));
        if result.is_ok() {
            self.emitter.send(EventKind::PhaseFinished { summary: self.summaries[index].clone() });
        }
        result
    }

    /// Runs a phase until everything is ready and every gate has passed.
    async fn drive(
        &mut self,
        phase: &mut Phase<'_>,
        notes: &mpsc::UnboundedSender<Note>,
        remarks: &mut mpsc::UnboundedReceiver<Note>,
    ) -> Result<(), Stop> {
        loop {
            if let Some(stop) = self.halted() {
                self.wind_down(phase).await;
                return Err(stop);
            }
            self.send_queued(phase, notes);
            if let Some(failure) = phase.failure.take() {
                return Err(self.fail(phase, failure).await);
            }
            if phase.all_ready() && (!phase.asking || phase.all_passed()) {
                if !self.stayed_ready(phase) {
                    continue;
                }
                if !phase.asking {
                    self.ask_gates(phase, notes);
                }
                if phase.all_passed() {
                    return Ok(());
                }
            }
            let deadline = phase.deadline();
            tokio::select! {
                biased;
                _ = self.stop.changed() => {}
                () = changed(&mut self.options.lock) => {}
                Some(done) = self.tasks.join_next() => self.done(phase, done),
                Some(note) = remarks.recv() => self.note(phase, note),
                Some(seen) = self.sightings.recv() => self.saw_all(phase, seen),
                () = tokio::time::sleep_until(deadline) => {
                    let mut failure = phase.overdue(Instant::now());
                    if self.unreachable && !self.answers(phase).await {
                        // Nothing is known of the objects since.
                        (failure.objects, failure.gates) = (Vec::new(), Vec::new());
                        (failure.outcome, failure.exit) = (Outcome::Unreachable, 5);
                    }
                    phase.failure = Some(failure);
                }
            }
        }
    }

    /// Whether the API server tells of what is waited for now: a watch that broke and goes on says nothing until something
    /// changes.
    async fn answers(&self, phase: &Phase<'_>) -> bool {
        let waiting = phase.nodes.iter().position(Node::is_under_way).map(|index| &phase.plan.items[index].key);
        for _ in 0..LAST_QUESTIONS {
            let asked = match waiting {
                Some(key) => members::read(&self.cluster, key, false).await.map(drop),
                None => self.cluster.verify_identity().await,
            };
            match asked {
                Err(error) if error.is_transient() => tokio::time::sleep(LAST_PAUSE).await,
                _ => return true,
            }
        }
        false
    }

    /// A request has ended.
    fn done(&mut self, phase: &mut Phase<'_>, done: Result<Done, JoinError>) {
        match done {
            Err(error) => {
                self.emitter.send(EventKind::Warning { message: format!("a task of the run broke: {error}") });
                let (objects, gates) = (Vec::new(), Vec::new());
                phase.failure = Some(Failure { objects, gates, outcome: Outcome::Unhealthy, exit: 1 });
            }
            Ok(Done::Applied(index, result)) => {
                self.applying -= 1;
                match result {
                    Ok((action, live)) => self.landed(phase, index, action, live),
                    Err(error) => phase.failure = Some(refusal(index, &error)),
                }
            }
            Ok(Done::Kinds(kinds)) => {
                if let Some(kinds) = kinds {
                    self.cluster.kinds = kinds;
                }
                for node in phase.nodes.iter_mut().filter(|node| node.state == State::Unserved) {
                    node.state = State::Queued;
                }
            }
            Ok(Done::Discovered(index, kinds)) => {
                self.cluster.kinds = kinds;
                self.ready(phase, index, String::new());
            }
            Ok(Done::Asked(index, answer)) => self.answered(phase, index, answer),
            Ok(Done::Moved(error)) => self.moved(phase, &error),
        }
    }

    fn note(&mut self, phase: &mut Phase<'_>, note: Note) {
        // A remark may arrive after the end of what it was about.
        let stale = match &note {
            Note::Object(index, _) => phase.nodes[*index].state != State::Applying,
            Note::Gate(index, _) => phase.gates[*index].passed,
            Note::Restoring(index, _) => phase.nodes[*index].state != State::Waiting,
        };
        if stale {
            return;
        }
        phase.moved();
        match note {
            Note::Object(index, reason) | Note::Restoring(index, reason) => {
                phase.nodes[index].reason.clone_from(&reason);
                self.emitter.send(EventKind::ObjectWaiting {
                    phase: phase.plan.name.clone(),
                    object: ObjectName::of(&phase.plan.items[index].object),
                    reason,
                });
            }
            Note::Gate(index, answer) => {
                phase.gates[index].answer.clone_from(&answer);
                self.emitter.send(EventKind::GateWaiting {
                    phase: phase.plan.name.clone(),
                    gate: phase.plan.gates[index].name.clone(),
                    answer,
                });
            }
        }
    }

    /// Watchers saw something: the objects it is about are judged again, each once, however many of its pods have changed. To
    /// judge a workload every pod of it is looked at.
    fn saw_all(&mut self, phase: &mut Phase<'_>, first: Seen) {
        let mut touched = BTreeSet::new();
        self.saw(phase, first, &mut touched);
        for _ in 1..SIGHTINGS {
            let Ok(seen) = self.sightings.try_recv() else { break };
            self.saw(phase, seen, &mut touched);
        }
        for index in touched {
            self.judge(phase, index);
            if phase.failure.is_some() {
                return;
            }
        }
    }

    /// Takes in what a watcher saw; `touched` are the objects that it is about.
    fn saw(&mut self, phase: &mut Phase<'_>, seen: Seen, touched: &mut BTreeSet<usize>) {
        if let Seen::Trouble(place, error) = &seen {
            self.cluster.doubt();
            if !error.is_transient() {
                self.emitter.send(EventKind::Warning { message: format!("a watch is not possible: {error}") });
                // What is only to be looked at again never will be.
                let lost = |(index, node): (usize, &Node)| {
                    let looked = node.state == State::Looking && place.holds(&phase.plan.items[index].key);
                    looked.then(|| (index, format!("it cannot be looked at again: {error}")))
                };
                let lost: Vec<_> = phase.nodes.iter().enumerate().filter_map(lost).collect();
                if !lost.is_empty() {
                    phase.failure = Some(Failure::unhealthy(lost, Vec::new()));
                }
            } else if matches!(error, ClusterError::Unreachable { .. }) && !self.unreachable {
                self.unreachable = true;
                self.emitter.send(EventKind::Warning { message: format!("{error}; still trying") });
            }
            self.store.take(seen);
            return;
        }
        // A watch that begins again does so over a connection of its own.
        if matches!(seen, Seen::Relisting(..)) {
            self.cluster.doubt();
        }
        // Before a list is asked for nothing has been answered.
        self.unreachable &= matches!(seen, Seen::Relisting(..));
        let listed = matches!(seen, Seen::Listed(..));
        if let Seen::Gone(key, last) = &seen
            && !self.store.is_newer(key, last)
            && let Some(index) = phase.by_key.get(key).copied()
        {
            self.note_run(phase, index, last);
        }
        let changed = self.store.take(seen);
        if listed {
            self.looked_at(phase);
        }
        for key in changed {
            if let Some(index) = phase.by_key.get(&key).copied() {
                if self.store.get(&key).is_none() && phase.nodes[index].state == State::Waiting {
                    self.gone_while_waited_for(phase, index);
                    if key.group.is_empty() && key.kind == "Namespace" {
                        self.store.forget_namespace(&key.name);
                    }
                    self.doubt_namespace(phase, &key);
                } else {
                    touched.insert(index);
                }
            }
            // One that is gone names no owner any more; its workload's own status tells of it.
            if let Some(index) = self.store.workload_of(&key).and_then(|workload| phase.by_key.get(&workload).copied())
            {
                touched.insert(index);
            }
        }
    }
}

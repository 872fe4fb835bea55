//! The dispatcher: owns all state of a run and takes every decision in one place, one message at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;

use super::emitter::Emitter;
use super::event::seconds;
use super::event::{Action, CriticalStep, Event, EventKind, ObjectName, Outcome, PhaseSummary};
use super::node::{State, Turn};
use super::path::critical;
use super::phase::{Failure, Phase};
use super::store::Store;
use super::tasks::{self, Done, Note};
use crate::cluster::apply::ApplyError;
use crate::cluster::inventory::{Entry, Inventory, owned_fields_hash};
use crate::cluster::kinds::ServedKind;
use crate::cluster::observe::{ENVIRONMENT_LABEL, Surroundings, environment_of, places, survey};
use crate::cluster::watch::{self, Seen};
use crate::cluster::{Cluster, ClusterError};
use crate::health::diagnosis::{Diagnosis, diagnose};
use crate::health::gate::{Answer, Asker};
use crate::health::status::{Related, pods_of, status};
use crate::manifest::kinds::holds_data;
use crate::manifest::{Object, ObjectKey};
use crate::plan::{Plan, PlannedPhase};
use crate::secrets::redact::Redactor;

/// Requests that write, under way at once. More does not make an API server on two cores faster.
const CONCURRENCY: usize = 16;

/// How long running requests may take to end after the run has been stopped.
const WIND_DOWN: Duration = Duration::from_secs(5);

/// How many unhealthy objects are diagnosed when a phase fails.
const DIAGNOSED: usize = 3;

/// How a run is to be done.
#[derive(Clone)]
pub struct Options {
    /// The run's id.
    pub run: String,
    /// The moment it starts, for the times of events.
    pub started: jiff::Timestamp,
    /// Take over fields that other managers hold.
    pub take_ownership: bool,
    /// Learns the values of Secrets that gates use.
    pub redactor: Redactor,
    /// Begin with this phase; earlier ones are left as they are.
    pub from: Option<String>,
    /// End after this phase.
    pub until: Option<String>,
}

/// How a run that stops before its end ends.
#[derive(Clone, Copy)]
struct Stop {
    outcome: Outcome,
    exit: u8,
}

/// Executes a plan. Everything that happens is told through `events`, the end as [`EventKind::RunFinished`]; returns
/// the exit code told there. When `stop` becomes true, nothing more is written.
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
    emitter.send(EventKind::RunStarted {
        environment: plan.environment.clone(),
        stack: plan.stack.clone(),
        context: cluster.context.clone(),
        server: cluster.server.clone(),
        kubernetes: cluster.version.clone(),
        cluster: cluster.uid.clone(),
        nodes: cluster.nodes,
        phases: summaries.clone(),
    });
    let objects = || plan.phases.iter().flat_map(|phase| &phase.items).map(|item| &item.object);
    let places = places(&cluster, objects());
    let wants_classes = objects().any(|object| matches!(object.kind(), "PersistentVolumeClaim"));
    let no_namespaces = BTreeSet::new();
    let classes = async {
        if wants_classes { Surroundings::read(&cluster, &no_namespaces).await.storage_classes } else { Vec::new() }
    };
    let (live, inventory, classes) = tokio::join!(
        survey(&cluster, &places, ENVIRONMENT_LABEL),
        Inventory::load(&cluster, &plan.environment),
        classes
    );
    let (live, inventory) = (live?, inventory?);
    let mut store = Store::default();
    let mut others = HashMap::new();
    for (key, live) in live {
        match environment_of(&live) {
            Some((_, selector)) if selector == plan.selector => store.put(key, live),
            Some((environment, _)) => drop(others.insert(key, environment)),
            None => {}
        }
    }
    if !options.take_ownership {
        refuse_taken(plan, &others)?;
    }
    for class in classes {
        let name = class.pointer("/metadata/name").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let key = ObjectKey { group: "storage.k8s.io".into(), kind: "StorageClass".into(), namespace: None, name };
        store.put(key, class);
    }
    let (seen, sightings) = mpsc::unbounded_channel();
    let mut dispatcher = Dispatcher {
        asker: Arc::new(Asker::new(cluster.client.clone(), options.redactor.clone())),
        cluster,
        plan,
        recorded: inventory.clone(),
        inventory,
        store,
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
    };
    Ok(dispatcher.run().await)
}

/// Refuses to write over objects of another environment: our field manager is the same for all, so the API server sees no
/// conflict. A definition's name and an API's are given by their group, so those may be shared.
fn refuse_taken(plan: &Plan, others: &HashMap<ObjectKey, String>) -> Result<(), ClusterError> {
    let keys = plan.phases.iter().flat_map(|phase| &phase.items).map(|item| &item.key);
    let own = keys.filter(|key| !matches!(key.kind.as_str(), "CustomResourceDefinition" | "APIService"));
    let taken: Vec<_> = own
        .filter_map(|key| {
            let namespace = key.namespace.as_ref().map(|name| format!(" in namespace {name}")).unwrap_or_default();
            Some(format!("{key}{namespace} belongs to {}", others.get(key)?))
        })
        .collect();
    if taken.is_empty() { Ok(()) } else { Err(ClusterError::Taken(taken)) }
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

struct Dispatcher<'a> {
    cluster: Cluster,
    asker: Arc<Asker>,
    plan: &'a Plan,
    /// As the cluster holds it.
    recorded: Inventory,
    /// As it will be recorded.
    inventory: Inventory,
    store: Store,
    emitter: Emitter,
    options: Options,
    summaries: Vec<PhaseSummary>,
    path: Vec<CriticalStep>,
    watchers: HashMap<(String, String, Option<String>), AbortHandle>,
    seen: mpsc::UnboundedSender<Seen>,
    sightings: mpsc::UnboundedReceiver<Seen>,
    /// Requests under way.
    tasks: JoinSet<Done>,
    /// How many of them send objects.
    applying: usize,
    /// Whether this run has written anything: if not, what a gate held before it still holds.
    wrote: bool,
    /// Whether the API server has not answered a watcher since the last thing that one saw.
    unreachable: bool,
    stop: tokio::sync::watch::Receiver<bool>,
}

impl Drop for Dispatcher<'_> {
    fn drop(&mut self) {
        for watcher in self.watchers.values() {
            watcher.abort();
        }
    }
}

impl Dispatcher<'_> {
    async fn run(&mut self) -> u8 {
        let mut stopped = None;
        let position = |name: &Option<String>| {
            name.as_ref().and_then(|name| self.plan.phases.iter().position(|phase| phase.name == *name))
        };
        let first = position(&self.options.from).unwrap_or(0);
        let last = position(&self.options.until).unwrap_or(self.plan.phases.len().saturating_sub(1));
        for index in first..=last.min(self.plan.phases.len().saturating_sub(1)) {
            let Some(phase) = self.plan.phases.get(index) else { break };
            let result = self.phase(index, phase).await;
            self.record().await;
            if let Err(stop) = result {
                stopped = Some(stop);
                break;
            }
        }
        let stop = stopped.unwrap_or(Stop { outcome: Outcome::Done, exit: 0 });
        self.emitter.send(EventKind::RunFinished {
            outcome: stop.outcome,
            exit: stop.exit,
            seconds: seconds(self.emitter.elapsed()),
            written: self.summaries.iter().map(|summary| summary.written).sum(),
            phases: self.summaries.clone(),
            critical_path: std::mem::take(&mut self.path),
        });
        stop.exit
    }

    /// Writes the inventory if it has changed. A cluster that does not take it costs the next run some requests, no
    /// more, so it is a warning.
    async fn record(&mut self) {
        if self.inventory == self.recorded {
            return;
        }
        match self.inventory.store(&self.cluster, &self.plan.environment).await {
            Ok(()) => self.recorded = self.inventory.clone(),
            Err(error) => self.emitter.send(EventKind::Warning {
                message: format!("the inventory was not written, the next run will send every object again: {error}"),
            }),
        }
    }

    async fn phase(&mut self, index: usize, planned: &PlannedPhase) -> Result<(), Stop> {
        let began = self.emitter.elapsed();
        self.summaries[index].started = Some(seconds(began));
        self.emitter.send(EventKind::PhaseStarted { phase: planned.name.clone() });
        let mut phase = Phase::begin(planned);
        let (notes, mut remarks) = mpsc::unbounded_channel();
        let result = self.drive(&mut phase, &notes, &mut remarks).await;
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
            if *self.stop.borrow() {
                self.wind_down(phase).await;
                return Err(Stop { outcome: Outcome::Interrupted, exit: 130 });
            }
            self.send_queued(phase, notes);
            if let Some(failure) = phase.failure.take() {
                return Err(self.fail(phase, failure).await);
            }
            if !phase.asking && phase.all_ready() {
                self.ask_gates(phase, notes);
            }
            if phase.all_passed() {
                return Ok(());
            }
            let deadline = phase.deadline();
            tokio::select! {
                biased;
                _ = self.stop.changed() => {}
                Some(done) = self.tasks.join_next() => self.done(phase, done),
                Some(note) = remarks.recv() => self.note(phase, note),
                Some(seen) = self.sightings.recv() => self.saw(phase, seen),
                () = tokio::time::sleep_until(deadline) => {
                    let mut failure = phase.overdue(Instant::now());
                    if self.unreachable {
                        // Nothing is known of the objects since.
                        (failure.objects, failure.gates) = (Vec::new(), Vec::new());
                        (failure.outcome, failure.exit) = (Outcome::Unreachable, 5);
                    }
                    phase.failure = Some(failure);
                }
            }
        }
    }

    /// Sends what may be sent.
    fn send_queued(&mut self, phase: &mut Phase<'_>, notes: &mpsc::UnboundedSender<Note>) {
        while self.applying < CONCURRENCY && phase.failure.is_none() {
            let Some(index) = phase.nodes.iter().position(|node| node.state == State::Queued) else { return };
            self.send(phase, index, notes);
        }
    }

    fn send(&mut self, phase: &mut Phase<'_>, index: usize, notes: &mpsc::UnboundedSender<Note>) {
        let item = &phase.plan.items[index];
        let node = &mut phase.nodes[index];
        let Some(kind) = self.cluster.kinds.of(&item.object).cloned() else {
            let (kind, version) = (item.object.kind(), item.object.api_version());
            let reason = format!(
                "the cluster has no kind {kind} in {version}, and no CustomResourceDefinition of the kit makes it"
            );
            let objects = vec![(index, reason)];
            phase.failure = Some(Failure { objects, gates: Vec::new(), outcome: Outcome::Refused, exit: 6 });
            return;
        };
        node.sent = Some(Instant::now());
        let live = self.store.get(&item.key);
        let again = live.is_some_and(|live| tasks::is_failed_job(&item.object, live));
        if !again && live.is_some_and(|live| self.inventory.is_unchanged(&item.key, &item.desired, live)) {
            self.applied(phase, index, Action::Unchanged);
            return;
        }
        node.state = State::Applying;
        let sending = tasks::Sending {
            cluster: self.cluster.clone(),
            kind,
            object: item.object.clone(),
            known: live.cloned(),
            force: self.options.take_ownership,
            limit: node.limit,
        };
        if again {
            // The watch may still name the failed one; it must not be judged in place of the new one.
            self.store.forget(&item.key);
        }
        self.applying += 1;
        self.tasks.spawn(tasks::send(sending, index, notes.clone()));
    }

    /// Tells that an object is in the cluster as the kit says, lets go what only needs it to exist, and judges it.
    fn applied(&mut self, phase: &mut Phase<'_>, index: usize, action: Action) {
        phase.moved();
        phase.nodes[index].state = State::Waiting;
        self.emitter.send(EventKind::ObjectApplied {
            phase: phase.plan.name.clone(),
            object: ObjectName::of(&phase.plan.items[index].object),
            action,
        });
        // What is being deleted is not there to rely on: it is sent again when it is gone.
        if !self.store.get(&phase.plan.items[index].key).is_some_and(is_being_deleted) {
            phase.release(index, false);
        }
        self.judge(phase, index);
        if phase.nodes[index].state == State::Waiting {
            self.watch_for(phase, index);
        }
    }

    /// Judges an object by what is known of it now.
    fn judge(&mut self, phase: &mut Phase<'_>, index: usize) {
        let item = &phase.plan.items[index];
        if phase.nodes[index].state != State::Waiting {
            return;
        }
        let Some(live) = self.store.get(&item.key) else { return };
        let namespace = item.key.namespace.as_deref();
        let own = if owns_pods(&item.object) {
            let pods = self.store.of_kind("", "Pod", namespace);
            pods_of(live, &pods, &self.store.of_kind("apps", "ReplicaSet", namespace))
        } else {
            Vec::new()
        };
        let storage_classes = match item.object.kind() {
            "PersistentVolumeClaim" => self.store.of_kind("storage.k8s.io", "StorageClass", None),
            _ => Vec::new(),
        };
        let related = Related {
            pods: &own,
            storage_classes: &storage_classes,
            crd: self.plan.definition_of(&item.object),
            ..Related::default()
        };
        let verdict = status(live, related);
        match phase.nodes[index].judge(verdict, Instant::now()) {
            Turn::Nothing => {}
            Turn::Waiting(reason) => {
                phase.moved();
                self.emitter.send(EventKind::ObjectWaiting {
                    phase: phase.plan.name.clone(),
                    object: ObjectName::of(&item.object),
                    reason,
                });
            }
            Turn::Failed(reason) => phase.failure = Some(Failure::unhealthy(vec![(index, reason)], Vec::new())),
            Turn::Ready(_) if item.object.kind() == "CustomResourceDefinition" => {
                phase.nodes[index].state = State::Discovering;
                phase.nodes[index].reason = "established, but not yet listed by the API server".into();
                self.tasks.spawn(tasks::discover(self.cluster.clone(), index, item.object.body().clone()));
            }
            Turn::Ready(remark) => self.ready(phase, index, remark),
        }
    }

    fn ready(&mut self, phase: &mut Phase<'_>, index: usize, remark: String) {
        phase.moved();
        let node = &mut phase.nodes[index];
        let now = Instant::now();
        node.state = State::Ready;
        node.ready = Some(now);
        self.emitter.send(EventKind::ObjectReady {
            phase: phase.plan.name.clone(),
            object: ObjectName::of(&phase.plan.items[index].object),
            seconds: seconds(node.sent.map_or(std::time::Duration::ZERO, |sent| now - sent)),
            reason: remark,
        });
        phase.release(index, true);
    }

    /// Watches the object's kind where it lives, and for workloads their pods: what one watcher sees serves all.
    fn watch_for(&mut self, phase: &Phase<'_>, index: usize) {
        let object = &phase.plan.items[index].object;
        let namespace = object.namespace();
        if let Some(kind) = self.cluster.kinds.of(object).cloned() {
            let ours = self.plan.selector.as_str();
            // Pods and ReplicaSets of workloads carry no label of ours, so these kinds are watched whole.
            let labels = (!matches!(object.kind(), "Pod" | "ReplicaSet")).then_some(ours);
            self.watch(&kind, namespace, labels);
        }
        if owns_pods(object) {
            for (api_version, kind) in [("v1", "Pod"), ("apps/v1", "ReplicaSet")] {
                if let Some(kind) = self.cluster.kinds.get(api_version, kind).cloned() {
                    self.watch(&kind, namespace, None);
                }
            }
        }
    }

    fn watch(&mut self, kind: &ServedKind, namespace: Option<&str>, labels: Option<&str>) {
        let place = (kind.resource.group.clone(), kind.resource.kind.clone(), namespace.map(str::to_owned));
        if !self.watchers.contains_key(&place) {
            let watcher = watch::spawn(&self.cluster, kind, namespace, labels, self.seen.clone());
            self.watchers.insert(place, watcher);
        }
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
                    Err(error) => phase.failure = Some(refusal(index, &phase.plan.items[index].object, &error)),
                }
            }
            Ok(Done::Discovered(index, kinds)) => {
                self.cluster.kinds = kinds;
                self.ready(phase, index, String::new());
            }
            Ok(Done::Asked(index, answer)) => self.answered(phase, index, answer),
        }
    }

    /// The API server has taken an object.
    fn landed(&mut self, phase: &mut Phase<'_>, index: usize, action: Action, mut live: serde_json::Value) {
        let item = &phase.plan.items[index];
        if let (Some(uid), Some(fields)) =
            (live.pointer("/metadata/uid").and_then(serde_json::Value::as_str), owned_fields_hash(&live))
        {
            let entry =
                Entry { uid: uid.to_owned(), desired: item.desired.clone(), fields, phase: phase.plan.name.clone() };
            self.inventory.entries.insert(item.key.clone(), entry);
        }
        if let Some(metadata) = live.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
            metadata.shift_remove("managedFields");
        }
        let wrote = action != Action::Unchanged;
        phase.nodes[index].written |= wrote;
        self.wrote |= wrote;
        self.store.answer(item.key.clone(), live);
        self.applied(phase, index, action);
    }

    fn note(&mut self, phase: &mut Phase<'_>, note: Note) {
        // A remark may arrive after the end of what it was about.
        let stale = match &note {
            Note::Object(index, _) => phase.nodes[*index].state != State::Applying,
            Note::Gate(index, _) => phase.gates[*index].passed,
        };
        if stale {
            return;
        }
        phase.moved();
        match note {
            Note::Object(index, reason) => {
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

    /// A watcher saw something: the objects it is about are judged again.
    fn saw(&mut self, phase: &mut Phase<'_>, seen: Seen) {
        if let Seen::Trouble(error) = &seen {
            if !error.is_transient() {
                self.emitter.send(EventKind::Warning { message: format!("a watch is not possible: {error}") });
            } else if matches!(error, ClusterError::Unreachable { .. }) && !self.unreachable {
                self.unreachable = true;
                self.emitter.send(EventKind::Warning { message: format!("{error}; still trying") });
            }
            return;
        }
        // Before a list is asked for nothing has been answered.
        self.unreachable &= matches!(seen, Seen::Relisting(..));
        for key in self.store.take(seen) {
            if let Some(index) = phase.by_key.get(&key).copied() {
                if self.store.get(&key).is_none() && phase.nodes[index].state == State::Waiting {
                    // Somebody deleted it, or what we sent met its own deletion: it is sent again.
                    phase.nodes[index].state = State::Queued;
                    if key.group.is_empty() && key.kind == "Namespace" {
                        self.store.forget_namespace(&key.name);
                    }
                } else {
                    self.judge(phase, index);
                }
            }
            // One that is gone names no owner any more; its workload's own status tells of it.
            if let Some(index) = self.store.workload_of(&key).and_then(|workload| phase.by_key.get(&workload).copied())
            {
                self.judge(phase, index);
            }
        }
    }

    fn ask_gates(&mut self, phase: &mut Phase<'_>, notes: &mpsc::UnboundedSender<Note>) {
        phase.asking = true;
        phase.moved();
        for (index, gate) in phase.plan.gates.iter().enumerate() {
            let state = &mut phase.gates[index];
            if let Some(reason) = &gate.skipped {
                state.skipped = true;
                self.emitter.send(EventKind::GateSkipped {
                    phase: phase.plan.name.clone(),
                    gate: gate.name.clone(),
                    reason: reason.clone(),
                });
                continue;
            }
            state.began = Some(Instant::now());
            let hold = if self.wrote { gate.hold } else { std::time::Duration::ZERO };
            self.tasks.spawn(tasks::ask(self.asker.clone(), index, gate.clone(), hold, notes.clone()));
        }
    }

    fn answered(&mut self, phase: &mut Phase<'_>, index: usize, answer: Result<Answer, Answer>) {
        phase.moved();
        let now = Instant::now();
        let state = &mut phase.gates[index];
        match answer {
            Ok(answer) => {
                state.passed = true;
                state.ended = Some(now);
                self.emitter.send(EventKind::GatePassed {
                    phase: phase.plan.name.clone(),
                    gate: phase.plan.gates[index].name.clone(),
                    answer: answer.text,
                    seconds: seconds(state.began.map_or(std::time::Duration::ZERO, |began| now - began)),
                });
            }
            Err(answer) => phase.failure = Some(Failure::unhealthy(Vec::new(), vec![(index, answer.text)])),
        }
    }

    /// Lets requests that are on the wire end, so that what was done is known, and drops what has not begun.
    async fn wind_down(&mut self, phase: &mut Phase<'_>) {
        let deadline = Instant::now() + WIND_DOWN;
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
    async fn fail(&mut self, phase: &mut Phase<'_>, mut failure: Failure) -> Stop {
        self.wind_down(phase).await;
        phase.failure = None;
        // What else is going wrong at this moment is often the cause, and at least the next thing to mend.
        for (index, node) in phase.nodes.iter().enumerate() {
            if node.is_failing() && failure.objects.iter().all(|(known, _)| *known != index) {
                failure.objects.push((index, node.reason.clone()));
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

/// `metadata.deletionTimestamp` is set.
fn is_being_deleted(live: &serde_json::Value) -> bool {
    live.pointer("/metadata/deletionTimestamp").is_some()
}

/// Whether pods say something about its health.
fn owns_pods(object: &Object) -> bool {
    matches!((object.group(), object.kind()), ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet"))
        || matches!((object.group(), object.kind()), ("batch", "Job"))
}

/// What it means that the API server did not take an object.
fn refusal(index: usize, object: &Object, error: &ApplyError) -> Failure {
    let (outcome, exit) = match error {
        ApplyError::Forbidden(_) => (Outcome::NotAllowed, 5),
        _ => (Outcome::Refused, 6),
    };
    let advice = match error {
        ApplyError::Conflict(_) => "; take over what others hold with --take-ownership",
        ApplyError::Immutable(_) if holds_data(object.group(), object.kind()) => {
            "; it holds data, so it is never deleted to be made again: put the old value back, or give the new one another name"
        }
        ApplyError::Immutable(_) => {
            "; where deleting it and making it again is harmless, say so with the annotation rekindle.dev/replace: allowed"
        }
        _ => "",
    };
    Failure { objects: vec![(index, format!("{error}{advice}"))], gates: Vec::new(), outcome, exit }
}

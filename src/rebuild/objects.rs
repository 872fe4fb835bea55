//! What the dispatcher does with objects: sends them, judges them, watches for what is missing.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::event::{Action, EventKind, ObjectName, seconds};
use super::node::{Node, State, Turn};
use super::phase::{Failure, Phase};
use super::tasks::{self, Note};
use crate::cluster::inventory::{Entry, owned_fields_hash};
use crate::cluster::kinds::ServedKind;
use crate::cluster::observe::{has_no_status, metadata_says_all};
use crate::cluster::watch::{self, Place};
use crate::data::Choice;
use crate::health::status::{Related, Status, missed_deadline, pods_of, status, without_deadline};
use crate::manifest::references::is_builtin_group;
use crate::manifest::{Object, ObjectKey};
use crate::plan::Item;
use crate::plan::decide::{HAS_FINISHED, decide_ours, has_run, is_deleted_when_done};
use crate::plan::proposal::Intent;
use crate::plan::removal;
use crate::plan::standing::is_shared;

/// Requests that write, under way at once. More does not make an API server on two cores faster.
const CONCURRENCY: usize = 16;

/// For how long, and how far apart, a kind is asked for that the cluster does not serve.
const UNSERVED: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);

impl Dispatcher<'_> {
    /// Sends what may be sent.
    pub(super) fn send_queued(&mut self, phase: &mut Phase<'_>, notes: &mpsc::UnboundedSender<Note>) {
        while self.applying < CONCURRENCY && phase.failure.is_none() {
            let Some(index) = phase.nodes.iter().position(|node| node.state == State::Queued) else { return };
            self.send(phase, index, notes);
        }
    }

    pub(super) fn send(&mut self, phase: &mut Phase<'_>, index: usize, notes: &mpsc::UnboundedSender<Note>) {
        let item = &phase.plan.items[index];
        let Some(kind) = self.cluster.kinds.of(&item.object).cloned() else { return self.unserved(phase, index) };
        if !kind.namespaced && item.key.namespace.is_some() {
            // Served only since this run began: the kit was rendered without knowing.
            let reason = format!("{} has no namespace in this cluster: run this again", item.object.kind());
            phase.failure = Some(Failure::refused(vec![(index, reason)]));
            return;
        }
        let node = &mut phase.nodes[index];
        node.sent = Some(Instant::now());
        let live = self.store.get(&item.key);
        node.missed = live.and_then(missed_deadline).map(str::to_owned);
        if live.is_none() && self.has_finished(item) {
            return self.finished_before(phase, index);
        }
        let intent = live.map_or(Intent::Create, |live| decide_ours(item, live, &self.inventory).intent);
        if intent == Intent::Unchanged {
            // What is shared may carry another environment's labels, which no watch of ours names.
            if is_shared(&item.key) || self.store.is_current(&item.key) {
                self.applied(phase, index, Action::Unchanged);
            } else {
                self.look_again(phase, index);
            }
            return;
        }
        node.state = State::Applying;
        let other = if live.is_none() { self.others.remove(&item.key) } else { None };
        let adopting = other.is_some() && !is_shared(&item.key);
        let sending = tasks::Sending {
            cluster: self.cluster.clone(),
            kind,
            object: item.object.clone(),
            known: live.cloned().or(other),
            kept: self.keeps(item),
            adopting,
            recorded: self.inventory.entries.get(&item.key).map(|entry| entry.uid.clone()),
            force: self.options.take_ownership,
            limit: node.limit,
            ending: self.ending.subscribe(),
        };
        if intent == Intent::Replace {
            // The watch may still name the failed one; it must not be judged in place of the new one.
            self.store.forget(&item.key);
        }
        self.applying += 1;
        self.tasks.spawn(tasks::send(sending, index, notes.clone()));
    }

    /// A kind that the cluster does not serve. Operators bring the definitions of their kinds, and may do so only after they are
    /// ready, so it is asked for again for a while.
    fn unserved(&mut self, phase: &mut Phase<'_>, index: usize) {
        let object = &phase.plan.items[index].object;
        let reason = format!(
            "the cluster has no kind {} in {}, and no CustomResourceDefinition of the kit makes it",
            object.kind(),
            object.api_version()
        );
        let now = Instant::now();
        let node = &mut phase.nodes[index];
        let first = node.unserved.is_none();
        // Nobody brings kinds of Kubernetes' own groups.
        let never = is_builtin_group(object.group());
        if never || now - *node.unserved.get_or_insert(now) >= UNSERVED {
            phase.failure = Some(Failure::refused(vec![(index, reason)]));
            return;
        }
        (node.state, node.sent) = (State::Unserved, Some(now));
        node.reason.clone_from(&reason);
        if first {
            self.tell_waiting(phase, index, reason);
        }
        let asked = phase.nodes.iter().filter(|node| node.state == State::Unserved).count() > 1;
        if !asked {
            let pause = if first { Duration::ZERO } else { PAUSE };
            self.tasks.spawn(tasks::served(self.cluster.clone(), pause));
        }
    }

    fn namespace_of(&self, item: &Item) -> Option<&serde_json::Value> {
        self.store.get(&ObjectKey::of_namespace(item.key.namespace.as_deref()?))
    }

    fn has_finished(&self, item: &Item) -> bool {
        !self.others.contains_key(&item.key)
            && self.inventory.has_finished(&item.key, &item.desired, self.namespace_of(item))
    }

    /// A Job that an earlier run has seen complete, and that is gone by itself since.
    fn finished_before(&mut self, phase: &mut Phase<'_>, index: usize) {
        self.emitter.send(EventKind::ObjectApplied {
            phase: phase.plan.name.clone(),
            object: ObjectName::of(&phase.plan.items[index].object),
            action: Action::Unchanged,
        });
        phase.nodes[index].ran = Some(self.namespace_uid_of(&phase.plan.items[index]));
        self.ready(phase, index, HAS_FINISHED.into());
    }

    /// Records of a Job that will be deleted by itself that it has run to its end.
    fn record_finished(&mut self, node: &Node, item: &Item) {
        if is_deleted_when_done(&item.object)
            && self.has_run_here(node, item)
            && let Some(entry) = self.inventory.entries.get_mut(&item.key)
        {
            entry.finished_in = node.ran.clone().flatten();
        }
    }

    /// Whether an object is a claim that was decided to be kept, and that would begin empty if it were made anew: one that names
    /// its volume gets that one or none.
    fn keeps(&self, item: &Item) -> bool {
        let key = &item.key;
        let namespace = key.namespace.as_deref().unwrap_or_default();
        let decision = || self.plan.data.of_claim(namespace, &key.name);
        key.group.is_empty()
            && key.kind == "PersistentVolumeClaim"
            && item.object.body().pointer("/spec/volumeName").is_none()
            && decision().is_some_and(|(_, claim)| claim.choice == Choice::Keep)
    }

    /// Tells that an object is in the cluster as the kit says, lets go what only needs it to exist, and judges it.
    pub(super) fn applied(&mut self, phase: &mut Phase<'_>, index: usize, action: Action) {
        phase.moved();
        phase.nodes[index].state = State::Waiting;
        if action == Action::Replaced {
            // What has run was the one before.
            phase.nodes[index].ran = None;
        }
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

    /// What an object is by what is known of it now; nothing when it is not known to be there.
    pub(super) fn verdict(&self, node: &Node, item: &Item) -> Option<Status> {
        let live = self.store.get(&item.key)?;
        // What this run has seen at work may go when its work is done.
        if (node.written || node.ready.is_some()) && is_being_deleted(live) && has_run(&item.object, live) {
            return Some(Status::Ready { reason: String::new() });
        }
        let own = if owns_pods(&item.object) {
            let (pods, replica_sets) = self.store.family(&item.key);
            pods_of(live, &pods, &replica_sets)
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
        let missed = node.missed.as_deref();
        Some(if missed.is_some() && missed == missed_deadline(live) {
            status(&without_deadline(live), related)
        } else {
            status(live, related)
        })
    }

    /// Notes where an object has run to its end, if it has.
    pub(super) fn note_run(&self, phase: &mut Phase<'_>, index: usize, live: &serde_json::Value) {
        let item = &phase.plan.items[index];
        if has_run(&item.object, live) {
            phase.nodes[index].ran = Some(self.namespace_uid_of(item));
        }
    }

    /// Whether an object has run to its end in the namespace that is there now, so that nothing is missing when it is gone.
    pub(super) fn has_run_here(&self, node: &Node, item: &Item) -> bool {
        node.ran.as_ref().is_some_and(|ran| *ran == self.namespace_uid_of(item))
    }

    fn namespace_uid_of(&self, item: &Item) -> Option<String> {
        self.namespace_of(item)?.pointer("/metadata/uid")?.as_str().map(str::to_owned)
    }

    /// Whether everything that has become ready in this phase is so still: while the rest was waited for, which may take hours,
    /// it may have broken or gone. What is not known any more is looked at, what is not ready is waited for or sent again, and
    /// gates are asked again afterwards.
    pub(super) fn stayed_ready(&mut self, phase: &mut Phase<'_>) -> bool {
        for index in 0..phase.nodes.len() {
            let (node, item) = (&phase.nodes[index], &phase.plan.items[index]);
            match self.verdict(node, item) {
                None if self.has_run_here(node, item) => {}
                None => self.send_again(phase, index),
                Some(status) if !status.is_ready() => self.wait_again(phase, index),
                Some(_) if is_shared(&item.key) || self.store.is_current(&item.key) => {}
                Some(_) => self.look_again(phase, index),
            }
        }
        phase.failure.is_none() && phase.all_ready()
    }

    /// Lets an object be told of anew.
    fn look_again(&mut self, phase: &mut Phase<'_>, index: usize) {
        phase.nodes[index].retry(State::Looking, Instant::now());
        phase.nodes[index].reason = "the API server has not told of it again yet".into();
        self.watch_kind_of(&phase.plan.items[index].object);
    }

    /// Something that was ready is not any more: it is waited for, and gates are asked again afterwards.
    fn wait_again(&mut self, phase: &mut Phase<'_>, index: usize) {
        phase.ask_again();
        phase.nodes[index].retry(State::Waiting, Instant::now());
        self.judge(phase, index);
        self.watch_for(phase, index);
    }

    /// A place has been listed: what waited to be looked at there goes on.
    pub(super) fn looked_at(&mut self, phase: &mut Phase<'_>) {
        for index in 0..phase.nodes.len() {
            let node = &phase.nodes[index];
            if node.state != State::Looking || !self.store.is_current(&phase.plan.items[index].key) {
                continue;
            }
            if node.ready.is_some() {
                self.found_again(phase, index);
            } else {
                phase.nodes[index].state = State::Queued;
            }
        }
    }

    /// Something that was ready is known as it is now. What is gone is sent at once, since others may wait for it, and in a
    /// namespace that is on its way out nothing becomes ready; all else is judged at the phase's end.
    fn found_again(&mut self, phase: &mut Phase<'_>, index: usize) {
        phase.nodes[index].state = State::Ready;
        let item = &phase.plan.items[index];
        match self.store.get(&item.key) {
            None if self.has_run_here(&phase.nodes[index], item) => {}
            None => self.send_again(phase, index),
            Some(live) if item.object.kind() == "Namespace" && is_being_deleted(live) => self.wait_again(phase, index),
            Some(_) => {}
        }
    }

    /// Something is gone, perhaps with its namespace, without which it cannot be sent again.
    pub(super) fn doubt_namespace(&mut self, phase: &mut Phase<'_>, gone: &ObjectKey) {
        let namespace = gone.namespace.as_deref().map(ObjectKey::of_namespace);
        let Some(index) = namespace.and_then(|key| phase.by_key.get(&key).copied()) else { return };
        if phase.nodes[index].state != State::Ready {
            return;
        }
        if self.store.is_current(&phase.plan.items[index].key) {
            self.found_again(phase, index);
        } else {
            self.look_again(phase, index);
        }
    }

    /// Something that is waited for is gone: it has done its work, or somebody deleted it, or what we sent met its own deletion.
    pub(super) fn gone_while_waited_for(&mut self, phase: &mut Phase<'_>, index: usize) {
        if self.has_run_here(&phase.nodes[index], &phase.plan.items[index]) {
            self.ready(phase, index, String::new());
        } else if phase.nodes[index].ready.is_some() {
            self.send_again(phase, index);
        } else {
            phase.nodes[index].state = State::Queued;
        }
    }

    /// Something that was ready is gone. A claim is never made anew here: it would begin as was decided before it held anything,
    /// beside the volume that it has left. The next run looks at that.
    fn send_again(&mut self, phase: &mut Phase<'_>, index: usize) {
        let key = &phase.plan.items[index].key;
        if key.group.is_empty() && key.kind == "PersistentVolumeClaim" {
            phase.failure = Some(Failure::refused(vec![(index, tasks::GONE.to_owned())]));
            return;
        }
        phase.ask_again();
        phase.nodes[index].retry(State::Queued, Instant::now());
        self.tell_waiting(phase, index, "it is gone".to_owned());
        phase.nodes[index].ready = None;
    }

    fn tell_waiting(&self, phase: &mut Phase<'_>, index: usize, reason: String) {
        phase.moved();
        let reason = match phase.nodes[index].ready {
            Some(_) => format!("not ready any more: {reason}"),
            None => reason,
        };
        self.emitter.send(EventKind::ObjectWaiting {
            phase: phase.plan.name.clone(),
            object: ObjectName::of(&phase.plan.items[index].object),
            reason,
        });
    }

    /// Judges an object that is waited for.
    pub(super) fn judge(&mut self, phase: &mut Phase<'_>, index: usize) {
        let item = &phase.plan.items[index];
        if let Some(live) = self.store.get(&item.key) {
            self.note_run(phase, index, live);
        }
        if phase.nodes[index].state != State::Waiting {
            return;
        }
        let Some(verdict) = self.verdict(&phase.nodes[index], item) else { return };
        match phase.nodes[index].judge(verdict, Instant::now()) {
            Turn::Nothing => {}
            Turn::Waiting(reason) => self.tell_waiting(phase, index, reason),
            Turn::Failed(reason) => phase.failure = Some(Failure::unhealthy(vec![(index, reason)], Vec::new())),
            Turn::Ready(_) if item.object.kind() == "CustomResourceDefinition" => {
                phase.nodes[index].state = State::Discovering;
                phase.nodes[index].reason = "established, but not yet listed by the API server".into();
                self.tasks.spawn(tasks::discover(self.cluster.clone(), index, item.object.body().clone()));
            }
            Turn::Ready(remark) => self.ready(phase, index, remark),
        }
    }

    pub(super) fn ready(&mut self, phase: &mut Phase<'_>, index: usize, remark: String) {
        phase.moved();
        self.record_finished(&phase.nodes[index], &phase.plan.items[index]);
        let node = &mut phase.nodes[index];
        let now = Instant::now();
        node.state = State::Ready;
        node.ready = Some(now);
        self.emitter.send(EventKind::ObjectReady {
            phase: phase.plan.name.clone(),
            object: ObjectName::of(&phase.plan.items[index].object),
            seconds: seconds(node.sent.map_or(Duration::ZERO, |sent| now - sent)),
            reason: remark,
        });
        // What goes as it is done was never told to be there.
        phase.release(index, false);
        phase.release(index, true);
    }

    /// Watches the object's kind where it lives, and for workloads their pods: what one watcher sees serves all.
    pub(super) fn watch_for(&mut self, phase: &Phase<'_>, index: usize) {
        let object = &phase.plan.items[index].object;
        self.watch_kind_of(object);
        if owns_pods(object) {
            for (api_version, kind) in [("v1", "Pod"), ("apps/v1", "ReplicaSet")] {
                if let Some(kind) = self.cluster.kinds.get(api_version, kind).cloned() {
                    self.watch(&kind, object.namespace(), None);
                }
            }
        }
    }

    fn watch_kind_of(&mut self, object: &Object) {
        if let Some(kind) = self.cluster.kinds.of(object).cloned() {
            let ours = self.plan.selector.as_str();
            // Pods and ReplicaSets of workloads carry no label of ours, nor do the classes of claims that are another's, so these
            // kinds are watched whole.
            let labels = (!matches!(object.kind(), "Pod" | "ReplicaSet" | "StorageClass")).then_some(ours);
            self.watch(&kind, object.namespace(), labels);
        }
    }

    /// Watches a kind in a place; anew where the watch there has been in trouble.
    fn watch(&mut self, kind: &ServedKind, namespace: Option<&str>, labels: Option<&str>) {
        let place = Place::of(kind, namespace);
        if self.store.take_doubt(&place) || !self.watchers.contains_key(&place) {
            let former = self.watchers.remove(&place);
            // Pods and ReplicaSets, which are not in the kit, have a status.
            let mut ours = self.plan.items().filter(|item| place.holds(&item.key));
            let metadata_only =
                has_no_status(&place.group, &place.kind) && ours.all(|item| metadata_says_all(&item.object));
            let seen = self.seen.clone();
            let watcher = watch::spawn(&self.cluster, kind, namespace, labels, metadata_only, former, seen);
            self.watchers.insert(place, watcher);
        }
    }

    /// The API server has taken an object.
    pub(super) fn landed(&mut self, phase: &mut Phase<'_>, index: usize, action: Action, mut live: serde_json::Value) {
        let item = &phase.plan.items[index];
        if let (Some(uid), Some(fields)) =
            (live.pointer("/metadata/uid").and_then(serde_json::Value::as_str), owned_fields_hash(&live))
        {
            let entry = Entry {
                uid: uid.to_owned(),
                desired: item.desired.clone(),
                fields,
                phase: phase.plan.name.clone(),
                keep: removal::says_keep(item.object.body()),
                left: false,
                finished_in: None,
            };
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

//! One operator at work, the way `rekindle up` goes: guard, look, record, lock, run. Everything that is written on the way is
//! looked at by the invariants of the API server's side.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::scene::{Crash, Misplaced, SPACE, Scene};
use super::survivors::decided;
use crate::cluster::binding::{self, Binding, Record};
use crate::cluster::lock::{self, Claim, Holder, Lock, LockError, Process};
use crate::cluster::{Cluster, ClusterError, SYSTEM_NAMESPACE, residents};
use crate::data::Answers;
use crate::data::decision::Stop;
use crate::plan::down::Scope;
use crate::plan::guard::{Pin, Reached, Subject, may_write, needs_residents};
use crate::rebuild::event::{Event, EventKind};
use crate::rebuild::{Options, Part, assess, down};
use crate::rehearsal::api::Ask;
use crate::rehearsal::deletion::{Propagation, delete};
use crate::rehearsal::request::Target;
use crate::rehearsal::store::Key;
use crate::rehearsal::{Simulation, World};
use crate::secrets::redact::Redactor;

/// How an operator's work ended.
#[derive(Debug)]
pub enum Ended {
    /// With this exit code.
    Run(u8),
    /// The guard said no.
    Guard,
    /// Something of the kit is somebody else's.
    NotOurs,
    /// A person has to be asked about these data sets.
    Stopped(Vec<Stop>),
    /// Somebody else is at work.
    Held,
    /// The process was killed.
    Dead,
}

/// Whether backups may be looked up where nothing else may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookups {
    Allowed,
    Forbidden,
}

/// What is looked at across all operators of a scene.
#[derive(Default)]
pub struct Watched {
    /// Invariants that did not hold.
    pub broken: Vec<String>,
    /// Nothing at all may be written at the moment, for this reason; what looks up backups only where that is said.
    pub sealed: Option<(&'static str, Lookups)>,
    /// How often objects of the kit were made.
    pub made: BTreeMap<Key, usize>,
    /// What may be made once more: it vanished.
    pub again: Vec<Key>,
    /// What was sent or deleted in the environment's namespace, and by which run.
    pub sent: Vec<(String, Key)>,
    /// The lock was lost at this moment: whoever had it may not know yet.
    pub meddled: Option<Instant>,
    /// Nobody may have the lock before: a run that may live holds it.
    pub silent_until: Option<Instant>,
    /// When pods were last made to turn.
    pub turned: Option<Instant>,
    /// The run that wrote last while it held the lock.
    pub writer: Option<&'static str>,
    /// How often each run has taken the lock.
    pub taken: BTreeMap<&'static str, usize>,
    /// The run that knows that it holds the lock: one that is still taking it takes it again when it vanishes.
    pub locked: Option<&'static str>,
}

impl Watched {
    /// What speaks against a write of a run.
    fn unlocked(&mut self, run: &'static str, holder: Option<&str>) -> Option<String> {
        if self.silent_until.is_some_and(|until| Instant::now() < until) {
            return Some("the lock's holder may live".into());
        }
        if holder == Some(run) {
            self.writer = Some(run);
            return None;
        }
        let late = self.meddled.is_none_or(|lost| lost.elapsed() > lock::DURATION);
        let other = self.writer.filter(|writer| *writer != run);
        match other {
            Some(other) => Some(format!("run {other} has begun to write")),
            None if late => Some(format!("{holder:?} holds the lock")),
            None => None,
        }
    }
}

/// An operator.
pub struct Operator<'s> {
    pub scene: &'s Scene,
    pub simulation: Simulation,
    pub name: &'static str,
    pub watched: Arc<Mutex<Watched>>,
    pub misplaced: Option<Misplaced>,
    /// The run whose lock it breaks.
    pub breaking: Option<&'static str>,
    /// What it answers about data.
    pub answers: Answers,
    /// What vanishes while it waits in this phase.
    pub vanishing: Option<(usize, Key)>,
    /// How often it has begun.
    tries: i64,
    /// Told of each request that writes, before it takes effect.
    wrote: watch::Sender<usize>,
    /// Everything that was told, as it came; what is there at that moment can be asked.
    pub events: Vec<Event>,
    /// Sees each event at its moment.
    pub at: fn(&Scene, &World, &Event) -> Result<(), String>,
}

/// How often a run that cannot begin is begun again.
const TRIES: usize = 3000;

/// A request that would change something.
fn writes(ask: &Ask<'_>) -> bool {
    *ask.method != Method::GET && !ask.path.contains("accessreview") && ask.query.get("dryRun").is_none()
}

/// Whether a request makes or removes what looks up backups, or the namespace that it lives in.
fn looks_up(ask: &Ask<'_>, target: &Target) -> bool {
    let body: serde_json::Value = serde_json::from_slice(ask.body).unwrap_or_default();
    let name = target.name.as_deref().or_else(|| body.pointer("/metadata/name")?.as_str()).unwrap_or_default();
    match target.resource.as_str() {
        "jobs" | "secrets" => target.namespace.as_deref() == Some(SYSTEM_NAMESPACE) && name.starts_with("backups-"),
        "namespaces" => name == SYSTEM_NAMESPACE,
        _ => false,
    }
}

impl<'s> Operator<'s> {
    pub fn new(scene: &'s Scene, simulation: &Simulation, name: &'static str, watched: &Arc<Mutex<Watched>>) -> Self {
        let wrote = watch::Sender::new(0);
        let (writing, data) = (wrote.clone(), scene.data.clone());
        let foreign: Vec<Key> = scene.foreign.iter().map(|(key, _)| key.clone()).collect();
        let (told, jobs) = (
            watched.clone(),
            scene.items.iter().filter(|item| item.kind == "Job").map(super::scene::Item::key).collect::<Vec<_>>(),
        );
        let simulation = simulation.witnessed(move |world, ask| {
            if !writes(ask) {
                return;
            }
            writing.send_modify(|writes| *writes += 1);
            let mut told = told.lock().unwrap();
            let what = format!("{name} {} {}", ask.method, ask.path);
            let Some(target) = crate::rehearsal::request::target(ask.path) else { return };
            if let Some((why, lookups)) = told.sealed
                && !(lookups == Lookups::Allowed && looks_up(ask, &target))
            {
                told.broken.push(format!("{what}: nothing may be written, {why}"));
            }
            let namespace = target.namespace.clone().unwrap_or_default();
            let object = target.name.clone().unwrap_or_default();
            let key = Key::new(&target.group, &target.resource, &namespace, &object);
            if foreign.contains(&key) {
                told.broken.push(format!("{what}: it is somebody else's"));
            }
            let precious = ["persistentvolumeclaims", "persistentvolumes", "namespaces", "customresourcedefinitions"];
            if *ask.method == Method::DELETE && precious.contains(&target.resource.as_str()) {
                told.broken.push(format!("{what}: data is deleted without permission"));
            }
            if target.resource == "leases" && holder(world).is_some_and(|holder| holder != name) {
                // From now on the one that had the lock has lost it.
                told.meddled = told.meddled.map(|_| Instant::now());
            }
            let own = namespace == SYSTEM_NAMESPACE
                || object == SYSTEM_NAMESPACE
                || (target.resource == "namespaces" && object.is_empty());
            if let Some(why) = (!own).then(|| told.unlocked(name, holder(world).as_deref())).flatten() {
                told.broken.push(format!("{what}: {why}"));
            }
            if let Some(why) = data.forbids(world, ask, &target) {
                told.broken.push(format!("{what}: {why}"));
            }
            if namespace == SPACE {
                told.sent.push((name.to_owned(), key.clone()));
            }
            if *ask.method == Method::PATCH && namespace == SPACE && world.store.get(&key).is_none() {
                let times = told.made.entry(key.clone()).or_default();
                *times += 1;
                let times = *times;
                let allowed = 1 + told.again.iter().filter(|again| **again == key).count();
                if times > allowed && !jobs.contains(&key) {
                    told.broken.push(format!("{what}: made {times} times"));
                }
            }
        });
        Self {
            scene,
            simulation,
            name,
            watched: watched.clone(),
            misplaced: None,
            breaking: None,
            answers: Answers::default(),
            vanishing: None,
            tries: 0,
            wrote,
            events: Vec::new(),
            at: |_, _, _| Ok(()),
        }
    }

    fn subject(&self) -> Subject {
        let pin = |uid: &str| Some(Pin { uid: uid.to_owned(), ..Pin::default() });
        let pin = match self.misplaced {
            Some(Misplaced::Pin) => pin("another"),
            Some(Misplaced::Others) => None,
            _ => pin(&uid(&self.simulation.world())),
        };
        Subject { name: "test".into(), stack: "test".into(), pin, ..Subject::default() }
    }

    async fn guard(&self, cluster: &Cluster) -> Result<Option<Binding>, ClusterError> {
        let subject = self.subject();
        let records = binding::records(cluster).await?;
        let reached = Reached { uid: cluster.uid.clone(), ..Reached::default() };
        let mut decision = may_write(&subject, &reached, &records, &residents::Residents::new());
        if needs_residents(&decision) {
            let residents = residents::look(cluster, &records, SPACE).await?;
            decision = may_write(&subject, &reached, &records, &residents);
        }
        let record = Record {
            environment: "test".into(),
            cluster: cluster.uid.clone(),
            stack: "test".into(),
            namespaces: [SPACE.to_owned()].into(),
            ..Record::default()
        };
        let known = records.iter().any(|known| known.environment == "test");
        Ok(decision.is_ok().then(|| Binding { record, by: self.name.into(), known }))
    }

    async fn lock(&self, cluster: &Cluster) -> Result<Lock, LockError> {
        // Nothing is known of its process, as from another machine.
        let holder = |run: &str| Holder::new("me".into(), "here".into(), run.into(), Process::default());
        let breaking = self.breaking.map(|run| holder(run).identity());
        let now = self.scene.locks.clock(self.name);
        let claim = Claim { holder: holder(self.name), now, probe: |_| None, breaking };
        Lock::take(cluster, "test", claim, |_, _| {}).await
    }

    /// `rekindle up`, once.
    async fn once(&mut self, version: usize, redactor: &Redactor) -> Result<Ended, ClusterError> {
        self.watched.lock().unwrap().locked = None;
        let cluster = self.simulation.connect().await?;
        let Some(binding) = self.guard(&cluster).await? else { return Ok(Ended::Guard) };
        self.tries += 1;
        // As the id of a run, which no other one has.
        let run = format!("{}-{}", self.name, self.tries);
        let now = self
            .scene
            .locks
            .clock(self.name)
            .saturating_add(jiff::SignedDuration::from_secs(self.tries))
            .unwrap_or_default();
        let plan = match decided(self.scene, version, &cluster, &self.answers, (&run, now)).await? {
            Err(stops) => return Ok(Ended::Stopped(stops)),
            Ok(plan) => plan,
        };
        let plan = &plan;
        match assess(&cluster, plan, &Part::of(plan, None, None), &crate::plan::decide::Wishes::default(), None).await {
            Err(ClusterError::NotOurs(_)) => return Ok(Ended::NotOurs),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let binding = binding.renew(&cluster).await?;
        let lock = match self.lock(&cluster).await {
            Err(LockError::Held(_)) => return Ok(Ended::Held),
            Err(LockError::Cluster(error)) => return Err(error),
            Ok(lock) => lock,
        };
        {
            let mut watched = self.watched.lock().unwrap();
            watched.locked = Some(self.name);
            *watched.taken.entry(self.name).or_default() += 1;
        }
        let options = Options {
            run: self.name.into(),
            started: self.scene.locks.clock(self.name),
            stand_in: Some(self.simulation.answers()),
            lock: Some(lock.lost()),
            binding: Some(binding),
            redactor: redactor.clone(),
            ..Options::default()
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let (_stop, stopped) = watch::channel(false);
        let work = crate::rebuild::run(cluster, plan, options, sender, stopped);
        let ended = self.follow(work, receiver).await;
        lock.release().await;
        match ended {
            Err(ClusterError::NotOurs(_)) => Ok(Ended::NotOurs),
            ended => ended.map(Ended::Run),
        }
    }

    /// Takes away what is to vanish while a gate of this phase must hold: long before the next one begins.
    fn vanish(&mut self, phase: &str) {
        let Some((_, key)) = self.vanishing.take_if(|(of, _)| *of == Scene::phase(phase)) else { return };
        delete(&mut self.simulation.world(), &key, Propagation::Background);
        self.watched.lock().unwrap().again.push(key);
    }

    /// Notes when an event says what is not so.
    fn is_true(&self, event: &Event) {
        if let Err(why) = (self.at)(self.scene, &self.simulation.world(), event) {
            let mut watched = self.watched.lock().unwrap();
            if !self.scene.flapping.is_news(watched.turned) {
                watched.broken.push(why);
            }
        }
    }

    /// A phase ends when what was told to be ready in it is so at that moment.
    fn is_ready_still(&self, finished: &str) {
        let in_it = |event: &&Event| matches!(&event.kind, EventKind::ObjectReady { phase, .. } if phase == finished);
        self.events.iter().filter(in_it).for_each(|event| self.is_true(event));
    }

    async fn follow(
        &mut self,
        work: impl Future<Output = Result<u8, ClusterError>>,
        mut receiver: mpsc::UnboundedReceiver<Event>,
    ) -> Result<u8, ClusterError> {
        let mut work = std::pin::pin!(work);
        let mut ended = None;
        loop {
            tokio::select! {
                biased;
                event = receiver.recv() => match event {
                    Some(event) => {
                        self.is_true(&event);
                        if let EventKind::PhaseFinished { summary } = &event.kind {
                            self.is_ready_still(&summary.phase);
                        }
                        if let EventKind::GateWaiting { phase, answer, .. } = &event.kind
                            && answer.contains("must hold for")
                        {
                            self.vanish(phase);
                        }
                        self.events.push(event);
                    }
                    None => return ended.unwrap_or(Ok(1)),
                },
                code = &mut work, if ended.is_none() => {
                    ended = Some(Ok(code?));
                }
            }
        }
    }

    /// `rekindle up` until it can begin: a run that cannot even look is begun again, as a person would.
    pub async fn up(&mut self, version: usize) -> Ended {
        let redactor = Redactor::default();
        redactor.add(&self.scene.secret);
        let mut last = String::new();
        for _ in 0..TRIES {
            self.events.clear();
            match self.once(version, &redactor).await {
                Ok(ended) => {
                    self.told_no_secret(&redactor);
                    return ended;
                }
                Err(error) => {
                    let text = redactor.redact(&error.to_string());
                    assert!(!text.contains(&self.scene.secret), "{text}");
                    // Another run was there between the decision and the lock: it is decided anew.
                    let overtaken = matches!(error, ClusterError::Data(_)) && text.contains(" since it was decided ");
                    assert!(error.is_transient() || overtaken, "{text}");
                    last = text;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        panic!("the cluster was not reached in {TRIES} tries: {last}");
    }

    /// The same, killed after some time.
    pub async fn killed(&mut self, version: usize, crash: Crash) -> Ended {
        let mut wrote = self.wrote.subscribe();
        let dies = async {
            match crash {
                Crash::Time(after) => tokio::time::sleep(after).await,
                Crash::Writes(many) => drop(wrote.wait_for(|writes| *writes >= many).await),
            }
        };
        tokio::select! {
            biased;
            () = dies => Ended::Dead,
            ended = self.up(version) => ended,
        }
    }

    /// `rekindle down`.
    pub async fn down(&mut self, scope: &Scope) -> u8 {
        let cluster = self.simulation.connect().await.unwrap();
        let lock = self.lock(&cluster).await.unwrap();
        let survey = down::survey(&cluster, scope).await.unwrap();
        let options = down::Options {
            run: self.name.into(),
            started: jiff::Timestamp::UNIX_EPOCH,
            delete_data: Vec::new(),
            lock: Some(lock.lost()),
            notices: Vec::new(),
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let (_stop, stopped) = watch::channel(false);
        self.events.clear();
        let work = async { Ok(down::run(cluster, scope, survey, options, sender, stopped).await) };
        let exit = self.follow(work, receiver).await.unwrap();
        lock.release().await;
        exit
    }

    /// Nothing that leaves the process holds a secret: neither for programs nor for people.
    fn told_no_secret(&self, redactor: &Redactor) {
        for event in &self.events {
            let mut event = event.clone();
            crate::report::sanitize::map_text(&mut event, &|text| redactor.redact(text));
            let text = serde_json::to_string(&event).unwrap();
            assert!(!text.contains(&self.scene.secret), "a secret is told: {text}");
        }
    }

    /// What the last event says: how it ended and how many objects it wrote.
    pub fn written(&self) -> usize {
        match self.events.last().map(|event| &event.kind) {
            Some(EventKind::RunFinished { written, .. }) => *written,
            other => panic!("no last event: {other:?}"),
        }
    }
}

/// The run that holds the lock.
pub fn holder(world: &World) -> Option<String> {
    let leases = ("coordination.k8s.io".to_owned(), "leases".to_owned());
    let (_, lease) = world.store.list(&leases, Some("rekindle-system")).next()?;
    let identity = lease.pointer("/spec/holderIdentity")?.as_str()?;
    identity.split(" run ").nth(1).map(str::to_owned)
}

/// Which cluster it is.
pub fn uid(world: &World) -> String {
    let system = world.store.get(&Key::new("", "namespaces", "", "kube-system")).unwrap();
    system["metadata"]["uid"].as_str().unwrap().to_owned()
}

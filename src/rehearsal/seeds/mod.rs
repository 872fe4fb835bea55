//! Runs of the engine by chance: a seed makes a kit in two versions, a state of the cluster, other people in it, and faults;
//! whatever they are, the invariants hold. The same seed gives the same run. `cargo xtask simulate` runs as many as wanted,
//! replays one and names what a failing one fails without.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod flapping;
mod invariants;
mod meddling;
mod operator;
mod scene;
mod shrink;
mod survivors;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::invariants::{in_order, is_true, name, recorded};
use self::operator::{Ended, Lookups, Operator, Watched};
use self::scene::{Misplaced, SPACE, Scene};
use self::shrink::Without;
use super::deletion::{Propagation, delete};
use super::faults::Chance;
use super::store::Key;
use super::*;
use crate::data::Answers;
use crate::plan::down::Scope;
use crate::rebuild::event::{Event, EventKind};

/// Seeds of an ordinary test run; `cargo xtask test` wants more.
const SEEDS: u64 = 24;

/// Megabytes that no number of seeds may need: nothing of a run may grow without bounds. Two at once need 60.
const MEMORY: u64 = 256;

/// Bytes of stack of a thread that plays: without optimisation a whole scene in one future is large.
const STACK: usize = 64 << 20;

/// Names of the runs that follow each other; the first ones, each of which has a clock of its own.
const RUNS: [&str; 24] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "twenty-one",
    "twenty-two",
    "twenty-three",
    "twenty-four",
];

/// A scene as it is played.
struct Play<'s> {
    scene: &'s Scene,
    simulation: Simulation,
    watched: Arc<Mutex<Watched>>,
    /// What a person answers about data.
    answers: Answers,
    /// What vanishes during the next run.
    vanishing: Option<(usize, Key)>,
    /// The volumes as they were before the first run.
    before: BTreeMap<String, Value>,
    runs: usize,
    told: String,
    /// Whether what is told is printed at once.
    aloud: bool,
}

impl<'s> Play<'s> {
    fn new(scene: &'s Scene) -> Self {
        let mut model = Model { careless: true, controller: scene.flapping.late, ..Model::default() };
        if let Some((workload, fate)) = &scene.fate {
            model.fates.insert(workload.clone(), *fate);
        }
        let mut world = World::new(jiff::Timestamp::UNIX_EPOCH, 3, model, true);
        let policy = if scene.data.keeps { "Retain" } else { "Delete" };
        let class =
            json!({"provisioner": "simulated", "reclaimPolicy": policy, "volumeBindingMode": "WaitForFirstConsumer"});
        world.make(&Key::new("storage.k8s.io", "storageclasses", "", "standard"), class);
        for (key, body) in &scene.foreign {
            world.make(key, body.clone());
        }
        for survivor in &scene.data.survivors {
            world.make(&survivor.volume, survivor.body.clone());
        }
        let (_, before) = survivors::bound(&world);
        let silent_until = scene.locks.leave(&mut world);
        let simulation = Simulation::new(world, Faults::none());
        let watched = Watched { silent_until, ..Watched::default() };
        let aloud = wish("REKINDLE_SEED").is_some();
        Self {
            scene,
            simulation,
            watched: Arc::new(Mutex::new(watched)),
            answers: Answers::default(),
            vanishing: None,
            before,
            runs: 0,
            told: String::new(),
            aloud,
        }
    }

    /// The operator of the next run.
    fn operator(&mut self) -> Operator<'s> {
        self.runs += 1;
        // Where a third of all requests go wrong, a run may lose its lock more often than there are names.
        let name = RUNS.get(self.runs - 1).copied().unwrap_or_else(|| format!("run-{}", self.runs).leak());
        let mut operator = Operator::new(self.scene, &self.simulation, name, &self.watched);
        operator.at = is_true;
        operator.answers = self.answers.clone();
        operator.vanishing = self.vanishing.take();
        operator
    }

    /// What a run has told is kept, and must be in order.
    fn heard(&mut self, events: &[Event]) {
        for event in events {
            let text = serde_json::to_string(event).unwrap() + "\n";
            if self.aloud {
                #[expect(clippy::print_stdout, reason = "a replay is looked at")]
                {
                    print!("{text}");
                }
            }
            self.told += &text;
        }
        in_order(events, self.scene);
    }

    fn seal(&self, why: Option<(&'static str, Lookups)>) {
        self.watched.lock().unwrap().sealed = why;
    }

    /// Takes objects away, as an accident would.
    fn lose(&self, keys: &[Key]) {
        for key in keys {
            delete(&mut self.simulation.world(), key, Propagation::Background);
            self.watched.lock().unwrap().again.push(key.clone());
        }
    }

    /// A run that must not begin.
    async fn refused(&mut self, version: usize, misplaced: Option<Misplaced>, why: &'static str) -> Ended {
        // Keys to backups go into no cluster that the guard refuses.
        self.seal(Some((why, if misplaced.is_some() { Lookups::Forbidden } else { Lookups::Allowed })));
        let mut operator = self.operator();
        operator.misplaced = misplaced;
        let ended = operator.up(version).await;
        self.runs -= 1;
        self.seal(None);
        ended
    }

    /// The guard sends away who is in the wrong place.
    async fn wrong_place(&mut self, misplaced: Misplaced) {
        let record = |name: &str| Key::new("", "configmaps", "rekindle-system", &format!("environment-{name}"));
        let data = |cluster: &str| json!({"data": {"cluster": cluster, "stack": "test", "protected": "false"}});
        let own = operator::uid(&self.simulation.world());
        match misplaced {
            Misplaced::Pin => {}
            Misplaced::Record => self.simulation.world().make(&record("test"), data("another")),
            Misplaced::Others => self.simulation.world().make(&record("other"), data(&own)),
        }
        let ended = self.refused(0, Some(misplaced), "the environment does not belong here").await;
        assert!(matches!(ended, Ended::Guard), "{misplaced:?} ended with {ended:?}");
        self.simulation.world().remove(&record("test"));
    }

    /// The first runs: some are killed, two may be at work at once. The last one's exit code and events.
    async fn begin(&mut self, version: usize) -> (u8, Vec<Event>) {
        let mut done: BTreeSet<String> = BTreeSet::new();
        for crash in self.scene.crashes.clone() {
            let mut operator = self.operator();
            let ended = operator.killed(version, crash).await;
            self.heard(&operator.events);
            self.not_again(&done, operator.name);
            match ended {
                Ended::Dead | Ended::Run(8) => done = recorded(&operator.events),
                Ended::Run(exit) => return (exit, operator.events),
                other => panic!("a run alone ended with {other:?}"),
            }
        }
        let (mut first, second) = (self.operator(), self.scene.second.map(|after| (after, self.operator())));
        let other = async {
            let (after, mut second) = second?;
            tokio::time::sleep(after).await;
            let ended = second.up(version).await;
            Some((second, ended))
        };
        let (ended, other) = tokio::join!(first.up(version), other);
        let (ended, last) = match (ended, other) {
            // The other one was faster.
            (Ended::Held, Some((second, ended))) => (ended, second),
            (ended, Some((second, other))) => {
                assert!(matches!(other, Ended::Held | Ended::Run(_)), "the second operator ended with {other:?}");
                self.heard(&second.events);
                (ended, first)
            }
            (ended, None) => {
                self.not_again(&done, first.name);
                (ended, first)
            }
        };
        self.heard(&last.events);
        let (ended, last) = if self.unlucky(&ended) { self.run(version).await } else { (ended, last) };
        let Ended::Run(exit) = ended else { panic!("a run ended with {ended:?}") };
        (exit, last.events)
    }

    /// Whether a run has lost its lock: requests that fail one after the other may cost it that, and it says so and stops.
    fn unlucky(&self, ended: &Ended) -> bool {
        matches!(ended, Ended::Run(8)) && self.scene.errors > 0.0
    }

    /// One run after the other until one keeps its lock.
    async fn run(&mut self, version: usize) -> (Ended, Operator<'s>) {
        loop {
            let mut operator = self.operator();
            let ended = operator.up(version).await;
            self.heard(&operator.events);
            if !self.unlucky(&ended) {
                return (ended, operator);
            }
        }
    }

    /// What an earlier run finished and recorded is not sent again by the one that goes on.
    fn not_again(&self, done: &BTreeSet<String>, run: &str) {
        let watched = self.watched.lock().unwrap();
        let finished = |item: &&scene::Item| done.iter().any(|phase| Scene::phase(phase) == item.phase);
        for item in self.scene.items.iter().filter(finished) {
            let sent = watched.sent.iter().any(|(by, key)| by == run && *key == item.key());
            assert!(!sent, "{} was sent again by run {run} although its phase was done", item.full());
        }
    }

    /// A run that must reach a healthy environment.
    async fn succeed(&mut self, version: usize) -> Operator<'s> {
        let (ended, operator) = self.run(version).await;
        assert!(matches!(ended, Ended::Run(0)), "{ended:?}: {:?}", operator.events.last());
        operator
    }

    /// What left the kit is gone, what is in it is there.
    fn as_the_kit_says(&self, version: usize) {
        let world = self.simulation.world();
        for item in &self.scene.items {
            let there = world.store.get(&item.key()).is_some_and(|live| !deletion::is_dying(live))
                || (world.may_be_gone(&item.key()) && (version == 0 || item.stays));
            assert_eq!(there, version == 0 || item.stays, "{} in version {version}", item.full());
        }
    }

    /// Volumes by name with their policies.
    fn volumes(&self) -> Vec<(String, Value)> {
        let world = self.simulation.world();
        let volumes = world.store.list(&(String::new(), "persistentvolumes".into()), None);
        volumes
            .map(|((_, name), volume)| (name.clone(), volume["spec"]["persistentVolumeReclaimPolicy"].clone()))
            .collect()
    }

    /// Taken down, the environment leaves its data and nothing else.
    async fn down(&mut self, scope: &Scope) {
        let before: Vec<String> = self.volumes().into_iter().map(|(name, _)| name).collect();
        let mut operator = self.operator();
        assert_eq!(operator.down(scope).await, 0, "{:?}", operator.events.last());
        tokio::time::sleep(Duration::from_secs(60)).await;
        let after = self.volumes();
        assert_eq!(after.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), before, "volumes are kept");
        assert!(after.iter().all(|(name, policy)| policy == "Retain" || self.scene.data.is_foreign(name)), "{after:?}");
        let world = self.simulation.world();
        for item in &self.scene.items {
            assert!(world.store.get(&item.key()).is_none(), "{} is still there", item.full());
        }
    }
}

/// Runs a seed and checks the invariants; everything that was told, as text.
async fn play(seed: u64, without: &Without) -> String {
    let scene = Scene::of(&mut Chance::new(seed), without);
    let scope = Scope::of(scene.rendered(1));
    let mut play = Play::new(&scene);
    let simulation = play.simulation.clone();
    let theirs: Vec<_> = scene.foreign.iter().map(|(key, _)| simulation.world().store.get(key).cloned()).collect();
    if let Some((_, after)) = scene.sign {
        let simulation = simulation.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let sign = Key::new("", "configmaps", "default", "sign");
            simulation.world().make(&sign, json!({"data": {"given": "yes"}}));
        });
    }
    simulation.world().archives = scene.data.held();
    scene.flapping.begin(&simulation, &play.watched);
    simulation.go_wrong(Faults::new(seed, scene.errors));
    if let Some(misplaced) = scene.misplaced {
        play.wrong_place(misplaced).await;
    }
    play.undecided().await;
    play.meddled(0).await;
    let (exit, events) = play.begin(0).await;
    match &scene.fate {
        None => assert_eq!(exit, 0, "{:?}", events.last()),
        Some((workload, _)) => {
            assert_eq!(exit, 7, "{:?}", events.last());
            let failed = events.iter().find_map(|event| match &event.kind {
                EventKind::ObjectFailed { object, .. } => Some(name(object)),
                _ => None,
            });
            assert_eq!(failed.as_ref(), Some(workload), "the reason is right");
        }
    }
    // What was wrong is mended, something is lost, and it goes on from where it stopped.
    simulation.world().model.fates.clear();
    play.lose(&scene.lost);
    let mut expected = play.expected();
    if scene.data.accident {
        let survived = play.accident();
        play.takes_back(&survived);
        expected.extend(survived);
    }
    tokio::time::sleep(Duration::from_secs(900)).await;
    play.vanishing.clone_from(&scene.vanishing);
    play.succeed(0).await;
    play.bound_as_expected(&expected);
    play.filled_as_expected();
    play.as_the_kit_says(0);
    // The next version of the kit, in which somebody else has taken a name.
    if let Some(squatter) = &scene.squatter {
        let key = Key::new("", "configmaps", SPACE, squatter);
        play.lose(std::slice::from_ref(&key));
        let body = json!({"metadata": {"labels": {"rekindle.dev/environment": "other"}}, "data": {}});
        simulation.world().make(&key, body);
        let ended = play.refused(1, None, "something of the kit is another environment's").await;
        assert!(matches!(ended, Ended::NotOurs), "{ended:?}");
        simulation.world().remove(&key);
    }
    play.succeed(1).await;
    // Nothing is left to do then but what could not be recorded or looked for; after that, nothing is written.
    simulation.go_wrong(Faults::none());
    play.succeed(1).await;
    play.as_the_kit_says(1);
    play.bound_as_expected(&expected);
    play.filled_as_expected();
    play.watched.lock().unwrap().sent.clear();
    let last = play.succeed(1).await;
    assert_eq!(last.written(), 0);
    let sent: Vec<_> = play.watched.lock().unwrap().sent.clone();
    assert!(sent.is_empty(), "a second run sends {sent:?}");
    if scene.down {
        play.down(&scope).await;
    }
    let now: Vec<_> = scene.foreign.iter().map(|(key, _)| simulation.world().store.get(key).cloned()).collect();
    assert_eq!(now, theirs, "somebody else's objects are as they were");
    let broken = std::mem::take(&mut play.watched.lock().unwrap().broken);
    assert!(broken.is_empty(), "{} times: {}", broken.len(), broken[0]);
    std::mem::take(&mut play.told)
}

fn play_alone(seed: u64, without: &Without) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let week = Duration::from_secs(7 * 24 * 3600);
        tokio::time::timeout(week, play(seed, without)).await.expect("it ends")
    })
}

fn holds(seed: u64, without: &Without) -> Result<(), String> {
    let outcome = std::panic::catch_unwind(|| {
        let told = play_alone(seed, without);
        // One seed is one run, to the byte.
        if seed.is_multiple_of(10) {
            let again = play_alone(seed, without);
            let lines = told.lines().zip(again.lines()).find(|(one, other)| one != other);
            assert!(told == again, "seed {seed} gave another run the second time: {lines:?}");
        }
    });
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// What a failing seed fails without.
fn shrink(seed: u64) -> Without {
    let work = move || {
        let objects = Scene::of(&mut Chance::new(seed), &Without::default()).items.len();
        Without::most(objects, |without| holds(seed, without).is_err())
    };
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap()
}

/// A number of the process environment: this is how `cargo xtask simulate` says which seeds.
fn wish(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `REKINDLE_WITHOUT=0,3,errors`: what is left out.
fn without() -> Without {
    Without::read(&std::env::var("REKINDLE_WITHOUT").unwrap_or_default())
}

/// The most memory that this process has had, where the kernel tells it (`VmHWM`).
fn peak_megabytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? / 1024)
}

/// Seeds side by side on all cores; the failing ones with what was wrong.
fn failing(seeds: &[u64], without: &Without) -> Vec<(u64, String)> {
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(seed) = seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap()) {
            if let Err(why) = holds(*seed, without) {
                failed.lock().unwrap().push((*seed, why));
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for _ in 0..cores {
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).unwrap();
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    failed
}

#[test]
fn whatever_the_seed_the_invariants_hold() {
    let (first, without) = (wish("REKINDLE_SEED"), without());
    let count = wish("REKINDLE_SEEDS").unwrap_or(SEEDS);
    let seeds: Vec<u64> = first.map_or_else(|| (0..count).collect(), |seed| vec![seed]);
    let began = Instant::now();
    // Of each failing seed one line is told below; a replay tells all.
    let hook = std::panic::take_hook();
    if seeds.len() > 1 {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let failed = failing(&seeds, &without);
    // `cargo xtask mutants` only counts.
    let wants_small = without.is_empty() && first.is_none() && std::env::var_os("REKINDLE_SHRINK").is_none();
    let small = failed.first().filter(|_| wants_small).map(|(seed, _)| (*seed, shrink(*seed)));
    std::panic::set_hook(hook);
    let took = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "it is told with one digit")]
    let rate = seeds.len() as f64 / took;
    let peak = peak_megabytes();
    #[expect(clippy::print_stdout, reason = "shown with --nocapture, to who runs the seeds")]
    {
        let memory = peak.map(|peak| format!(", at most {peak} MB")).unwrap_or_default();
        println!("{} seeds, {} failed, {took:.1} s, {rate:.1} runs a second{memory}", seeds.len(), failed.len());
    }
    let mut lines: Vec<String> = failed
        .iter()
        .take(20)
        .map(|(seed, why)| format!("cargo xtask simulate --seed {seed}   # {}", why.lines().next().unwrap_or_default()))
        .collect();
    if let Some((seed, without)) = small.filter(|(_, without)| !without.is_empty()) {
        lines.push(format!("cargo xtask simulate --seed {seed} --without {without}   # as small as it gets"));
    }
    assert!(failed.is_empty(), "{} seeds failed; to replay one:\n  {}", failed.len(), lines.join("\n  "));
    // Other tests of the process have a memory of their own.
    if wish("REKINDLE_SEEDS").is_some() {
        assert!(peak.is_none_or(|peak| peak < MEMORY), "memory grew to {peak:?} MB");
    }
}

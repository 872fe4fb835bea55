//! Data that has survived: which volumes lie there before the first run and what each of them is, what a person answers where
//! they are not enough to decide by, and what must be true of volumes whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Value, json};

use super::Play;
use super::operator::Ended;
use super::scene::{Item, SPACE, Scene};
use crate::cluster::{Cluster, ClusterError};
use crate::data::answers::Answer;
use crate::data::backups::{Archive, Backup, History};
use crate::data::decide::decide_all;
use crate::data::decision::Policy;
use crate::data::{Answers, DATA_ANNOTATION, Source, Stop, Survey, lookup, marks, objects, restore};
use crate::plan::Plan;
use crate::rehearsal::World;
use crate::rehearsal::api::Ask;
use crate::rehearsal::archives::Archives;
use crate::rehearsal::faults::Chance;
use crate::rehearsal::request::Target;
use crate::rehearsal::store::Key;

/// What speaks for a volume being a claim's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// It held the claim, in this namespace.
    Claimed,
    /// Somebody has reserved it for a claim of this name.
    Reserved,
    /// It carries our marks, from when the namespace had another name.
    Marked,
    /// It held a claim of this name somewhere else: not enough.
    Elsewhere,
    /// It held the claim, and it carries the marks of another environment.
    Another,
}

/// A volume that lies there before the first run.
#[derive(Clone, Debug)]
pub struct Survivor {
    claim: String,
    set: String,
    pub volume: Key,
    pub body: Value,
    evidence: Evidence,
}

impl Survivor {
    fn of(chance: &mut Chance, claim: &str, set: &str, number: usize) -> Self {
        use Evidence::{Another, Claimed, Elsewhere, Marked, Reserved};
        let evidence = [Claimed, Claimed, Claimed, Reserved, Marked, Elsewhere, Another][chance.below(7)];
        let policy = ["Retain", "Delete"][chance.below(2)];
        let mut body = json!({
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
                "persistentVolumeReclaimPolicy": policy, "csi": {"driver": "simulated", "volumeHandle": format!("old-{number}")},
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": SPACE, "name": claim,
                    "uid": format!("gone-{number}")}},
            "status": {"phase": "Released"},
        });
        let marked = |environment: &str, space: &str| {
            json!({"labels": {"rekindle.dev/environment": environment},
                "annotations": {"rekindle.dev/claim": format!("{space}/{claim}"), "rekindle.dev/data-set": set}})
        };
        match evidence {
            Claimed => {}
            Reserved => {
                body["spec"]["claimRef"].as_object_mut().unwrap().shift_remove("uid");
                body["status"]["phase"] = "Available".into();
            }
            Marked => {
                body["metadata"] = marked("test", "before");
                body["spec"]["claimRef"]["namespace"] = "before".into();
            }
            Elsewhere => body["spec"]["claimRef"]["namespace"] = "elsewhere".into(),
            Another => body["metadata"] = marked("other", SPACE),
        }
        let volume = Key::new("", "persistentvolumes", "", &format!("old-{number}"));
        Self { claim: claim.to_owned(), set: set.to_owned(), volume, body, evidence }
    }

    fn is_strong(&self) -> bool {
        matches!(self.evidence, Evidence::Claimed | Evidence::Reserved | Evidence::Marked)
    }
}

/// What a seed decides about data.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// StatefulSets that are data sets, each with whether its claims are copies of one another.
    sets: BTreeMap<String, bool>,
    pub survivors: Vec<Survivor>,
    /// Which volume each claim must get.
    expected: BTreeMap<String, String>,
    /// What a person says when asked.
    answers: Answers,
    /// What a person may say, and must not get.
    refused: Vec<(String, Answer)>,
    /// What the archives hold of data sets that can be restored.
    pub archives: BTreeMap<String, Archive>,
    /// What the environment allows.
    pub policy: Policy,
    /// Whether volumes that are made are kept when their claims go.
    pub keeps: bool,
    /// Whether the StatefulSets and their claims are lost between two runs.
    pub accident: bool,
}

/// The claims of a StatefulSet.
fn claims(item: &Item) -> Vec<String> {
    (0..item.replicas).map(|ordinal| format!("data-{}-{ordinal}", item.name)).collect()
}

/// What an archive holds: a backup, nothing, WAL without a backup, or what nobody knows.
fn archive(chance: &mut Chance) -> Archive {
    let long_ago = || "2020-02-02T02:02:02Z".parse().unwrap();
    let backup = Backup {
        name: "base_000000010000000000000002".into(),
        finished: long_ago(),
        size: Some(1 << 20),
        system_identifier: None,
        gaps: Vec::new(),
    };
    let history = |backups: Vec<Backup>, newest_wal| History { name: String::new(), backups, newest_wal };
    match chance.below(6) {
        0 => Archive::Known(vec![History::default()]),
        1 => Archive::Known(vec![history(Vec::new(), Some(long_ago()))]),
        2 => Archive::Unknown("no such bucket".into()),
        _ => Archive::Known(vec![history(vec![backup], Some(long_ago()))]),
    }
}

/// Whether somebody has to be asked before a data set with such an archive may begin empty.
fn is_doubtful(archive: &Archive) -> bool {
    match archive {
        Archive::Unknown(_) => true,
        Archive::Known(_) => archive.holds_something() && archive.backup(None).is_none(),
    }
}

/// What an environment allows: in some nothing begins empty unless a person says so.
fn policy(chance: &mut Chance) -> Policy {
    let environment = "test".to_owned();
    match chance.below(6) {
        0 => Policy { environment, protected: true, ..Policy::default() },
        1 => Policy { environment, allow: Some(vec![Source::Adopt, Source::Restore]), ..Policy::default() },
        _ => Policy { environment, ..Policy::default() },
    }
}

fn stateful_sets(items: &[Item]) -> impl Iterator<Item = &Item> {
    items.iter().filter(|item| item.kind == "StatefulSet")
}

impl Data {
    pub fn of(chance: &mut Chance, items: &[Item]) -> Self {
        let (keeps, accident, policy) = (chance.happens(0.5), chance.happens(0.4), policy(chance));
        let mut data = Self { keeps, accident, policy, ..Self::default() };
        let survives = chance.happens(0.6);
        for item in stateful_sets(items) {
            if chance.happens(0.2) {
                continue;
            }
            data.sets.insert(item.name.clone(), chance.happens(0.3));
            if chance.happens(0.4) {
                data.archives.insert(item.name.clone(), archive(chance));
            }
            for claim in claims(item) {
                let many = if survives { [0, 0, 1, 1, 1, 1, 2][chance.below(7)] } else { 0 };
                for _ in 0..many {
                    let number = data.survivors.len();
                    data.survivors.push(Survivor::of(chance, &claim, &item.name, number));
                }
            }
        }
        data.answer_all(chance, items);
        data
    }

    fn answer_all(&mut self, chance: &mut Chance, items: &[Item]) {
        for item in stateful_sets(items) {
            if self.sets.contains_key(&item.name) {
                self.answer(chance, item);
            }
        }
    }

    /// Nothing has survived.
    pub fn forget(&mut self, items: &[Item]) {
        self.survivors.clear();
        self.expected.clear();
        self.refused.clear();
        self.answers = Answers::default();
        // Of volumes that are not there none has to be chosen.
        self.answer_all(&mut Chance::new(0), items);
    }

    /// What a person answers about a data set, and what comes of it.
    fn answer(&mut self, chance: &mut Chance, item: &Item) {
        let (mut found, mut doubted, mut missing) = (Vec::new(), Vec::new(), false);
        for claim in claims(item) {
            let of_claim = || self.survivors.iter().filter(|survivor| survivor.claim == claim);
            let strong: Vec<&Survivor> = of_claim().filter(|survivor| survivor.is_strong()).collect();
            let weak: Vec<&Survivor> = of_claim().filter(|it| it.evidence == Evidence::Elsewhere).collect();
            let one = match (&strong[..], &weak[..]) {
                ([], []) => {
                    missing = true;
                    continue;
                }
                ([only], _) => only,
                ([], some) | (some, _) => {
                    doubted.push(claim.clone());
                    some[chance.below(some.len())]
                }
            };
            found.push((claim, one.volume.name.clone()));
        }
        let set = &item.name;
        for (claim, volume) in &found {
            if doubted.contains(claim) {
                let answer = Answer::Adopt { claim: Some(claim.clone()), volume: volume.clone() };
                self.answers.given.push((set.clone(), answer));
            }
        }
        if missing && !found.is_empty() && !self.sets[set] {
            self.answers.allow_empty.insert(set.clone());
        }
        let archive = self.archives.get(set);
        let restorable = archive.is_some_and(|archive| archive.backup(None).is_some());
        if found.is_empty() && archive.is_some_and(is_doubtful) {
            self.answers.given.push((set.clone(), Answer::Empty));
        } else if found.is_empty() && !restorable && !self.policy.permits(Source::Empty) {
            self.answers.allow_empty.insert(set.clone());
        }
        let another = self.survivors.iter().find(|it| it.set == *set && it.evidence == Evidence::Another);
        if let Some(another) = another {
            let answer = Answer::Adopt { claim: Some(another.claim.clone()), volume: another.volume.name.clone() };
            self.refused.push((set.clone(), answer));
        }
        // The volume of one claim for another one as well.
        if let Some((claim, volume)) = found.first()
            && let Some(other) = claims(item).into_iter().find(|other| other != claim)
        {
            self.refused.push((set.clone(), Answer::Adopt { claim: Some(other), volume: volume.clone() }));
        }
        self.expected.extend(found);
    }

    /// The `DataSet` documents of a phase.
    pub fn documents<'d>(&'d self, items: impl Iterator<Item = &'d Item> + 'd) -> impl Iterator<Item = Value> + 'd {
        items.filter(|item| item.kind == "StatefulSet").filter_map(|item| {
            let replicated = self.sets.get(&item.name)?;
            let mut spec = json!({"claims": [{"statefulset": item.name}], "sources": ["adopt", "empty"], "replicated": replicated});
            if self.archives.contains_key(&item.name) {
                spec["sources"] = json!(["adopt", "restore", "empty"]);
                spec["restore"] = json!({"backups": {"tool": "wal-g", "image": "backups:1"}});
            }
            Some(json!({"apiVersion": "rekindle.dev/v1", "kind": "DataSet", "metadata": {"name": item.name}, "spec": spec}))
        })
    }

    /// The archives as the simulated cluster holds them.
    pub fn held(&self) -> Archives {
        Archives { own: self.archives.clone(), ..Archives::default() }
    }

    /// Looks up backups as `up` does. What is not found out although it could have been is an error, with which a person begins
    /// again.
    async fn look_up(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        survey: &mut Survey,
        (policy, answers, run): (&Policy, &Answers, &str),
    ) -> Result<(), ClusterError> {
        let sets = restore::to_look_up(&plan.data_sets, &plan.claims, survey, policy, answers);
        if sets.is_empty() {
            return Ok(());
        }
        lookup::look_up(cluster, &sets, run, survey).await;
        for (set, found) in &survey.archives {
            match (found, &self.archives[set]) {
                (Archive::Unknown(reason), Archive::Known(_)) => {
                    return Err(ClusterError::Unreachable { server: "simulated".into(), reason: reason.clone() });
                }
                (Archive::Known(found), Archive::Known(held)) => assert_eq!(found, held, "the archive of {set}"),
                (Archive::Unknown(_), Archive::Unknown(_)) => {}
                (found, held) => panic!("of {set} is known {found:?}, and there is {held:?}"),
            }
        }
        Ok(())
    }

    /// What must be written on a claim of a data set of which nothing has survived: how it was filled.
    fn filled(&self, set: &str) -> &'static [&'static str] {
        match self.archives.get(set) {
            Some(archive) if archive.backup(None).is_some() => &["restore", "copy"],
            _ => &["empty", "copy"],
        }
    }

    /// Whether a person is asked about anything.
    fn asks(&self) -> bool {
        self.answers != Answers::default()
    }

    /// Whether a volume is one that lay there and that nothing makes ours.
    pub fn is_foreign(&self, volume: &str) -> bool {
        self.survivors.iter().any(|it| it.volume.name == volume) && !self.expected.values().any(|it| it == volume)
    }

    /// What speaks against a write, where it is about volumes.
    pub fn forbids(&self, world: &World, ask: &Ask<'_>, target: &Target) -> Option<String> {
        let name = target.name.as_deref().unwrap_or_default();
        let body: Value = serde_json::from_slice(ask.body).unwrap_or_default();
        let volume = |name: &str| world.store.get(&Key::new("", "persistentvolumes", "", name));
        let is_kept = |volume: &Value| volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain";
        match target.resource.as_str() {
            "persistentvolumes" if self.is_foreign(name) => Some("nothing says that the volume is ours".into()),
            "persistentvolumes" => {
                let points = body.pointer("/spec/claimRef").is_some();
                (points && !volume(name).is_some_and(|it| is_kept(it))).then(|| "it is bound before it is kept".into())
            }
            "persistentvolumeclaims" if *ask.method == Method::PATCH => {
                let wanted = body.pointer("/spec/volumeName").and_then(Value::as_str)?;
                let Some(found) = volume(wanted) else { return Some(format!("there is no volume {wanted}")) };
                let of = |part: &str| found.pointer(&format!("/spec/claimRef/{part}")).and_then(Value::as_str);
                let own = of("name") == Some(name) && of("namespace") == target.namespace.as_deref();
                let survived = self.survivors.iter().any(|it| it.volume.name == wanted);
                if self.is_foreign(wanted) {
                    Some(format!("nothing says that the volume {wanted} is ours"))
                } else if !own {
                    Some(format!("{wanted} is not reserved for it: {}", found["spec"]["claimRef"]))
                } else {
                    (survived && !is_kept(found)).then(|| format!("{wanted} is not kept"))
                }
            }
            _ => None,
        }
    }
}

/// A plan with its decisions about data, or what stops them: as `up` goes.
pub async fn decided(
    scene: &Scene,
    version: usize,
    cluster: &Cluster,
    answers: &Answers,
    (run, now): (&str, jiff::Timestamp),
) -> Result<Result<Plan, Vec<Stop>>, ClusterError> {
    let mut rendered = scene.rendered(version).clone();
    let plan = Plan::of(&rendered).unwrap();
    if plan.claims.iter().all(|claim| claim.data_set.is_none()) {
        return Ok(Ok(plan));
    }
    // The history that a data set archives to is named after the time.
    let mut survey = Survey { now, ..Survey::read(cluster, &plan.claims).await? };
    let policy = &scene.data.policy;
    scene.data.look_up(cluster, &plan, &mut survey, (policy, answers, run)).await?;
    let mut decisions = match decide_all(&plan.data_sets, &plan.claims, &survey, policy, answers) {
        Err(stops) => return Ok(Err(stops)),
        Ok(decisions) => decisions,
    };
    decisions.settled = marks::settled(&survey, &plan.environment, &plan.claims, &plan.data_sets, &[]);
    objects::add_gates(&mut rendered, &decisions, &survey);
    objects::add(&mut rendered, &decisions, &survey, &plan.environment);
    let mut plan = Plan::of(&rendered).unwrap();
    plan.data = decisions;
    Ok(Ok(plan))
}

/// Bound claims of the environment with their volumes, and all volumes.
pub fn bound(world: &World) -> (BTreeMap<String, String>, BTreeMap<String, Value>) {
    let all = |resource: &str, namespace| {
        let objects = world.store.list(&(String::new(), resource.to_owned()), namespace);
        objects.map(|((_, name), object)| (name.clone(), (**object).clone())).collect::<BTreeMap<_, _>>()
    };
    let claims = all("persistentvolumeclaims", Some(SPACE)).into_iter();
    let named = claims.filter_map(|(name, claim)| Some((name, claim["spec"]["volumeName"].as_str()?.to_owned())));
    (named.collect(), all("persistentvolumes", None))
}

impl Play<'_> {
    /// The answers that operators give from now on.
    fn say(&mut self, answers: Answers) {
        self.answers = answers;
    }

    /// Where a person has to be asked, nothing happens before; and not every answer is taken.
    pub async fn undecided(&mut self) {
        let data = &self.scene.data;
        for wrong in &data.refused {
            let mut answers = data.answers.clone();
            answers.given.retain(|given| !same_claim(given, wrong));
            if let (set, Answer::Adopt { volume, .. }) = wrong
                && !data.is_foreign(volume)
            {
                // Both claims would get it only if the first one does.
                let first = data.expected.iter().find(|(_, of)| *of == volume).map(|(claim, _)| claim.clone());
                let first = (set.clone(), Answer::Adopt { claim: first, volume: volume.clone() });
                answers.given.retain(|given| !same_claim(given, &first));
                answers.given.push(first);
            }
            answers.given.push(wrong.clone());
            answers.allow_empty.insert(wrong.0.clone());
            self.say(answers);
            let ended = self.refused(0, None, "a volume is named that the claim must not get").await;
            let stopped = matches!(&ended, Ended::Stopped(stops) if stops.iter().any(|stop| stop.data_set == wrong.0));
            assert!(stopped, "{wrong:?} ended with {ended:?}");
        }
        self.say(Answers::default());
        if data.asks() {
            let ended = self.refused(0, None, "a person has to be asked about data").await;
            assert!(matches!(ended, Ended::Stopped(_)), "nobody was asked about data: {ended:?}");
        }
        self.say(data.answers.clone());
    }

    /// Each claim has the volume that it must have, no two have the same one, and what is not ours is as it was.
    pub fn bound_as_expected(&self, expected: &BTreeMap<String, String>) {
        let (claims, volumes) = bound(&self.simulation.world());
        for (claim, volume) in expected {
            assert_eq!(claims.get(claim), Some(volume), "PersistentVolumeClaim/{claim} has another volume");
        }
        let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
        for (claim, volume) in &claims {
            if let Some(other) = holders.insert(volume, claim) {
                panic!("{claim} and {other} share pv/{volume}");
            }
        }
        let references = volumes.values().filter(|volume| volume["status"]["phase"] == "Bound");
        let mut once = BTreeSet::new();
        for reference in references.map(|volume| &volume["spec"]["claimRef"]) {
            assert!(once.insert(reference["uid"].to_string()), "two volumes are bound to {reference}");
        }
        for survivor in &self.scene.data.survivors {
            let name = &survivor.volume.name;
            let Some(found) = volumes.get(name) else { panic!("pv/{name} is gone: {survivor:?}") };
            if self.scene.data.is_foreign(name) {
                assert_eq!(Some(found), self.before.get(name), "pv/{name} is not ours and was changed");
            }
        }
    }

    /// Nobody says any more that a data set begins empty of which volumes have survived.
    pub fn takes_back(&mut self, survived: &BTreeMap<String, String>) {
        let items = &self.scene.items;
        let survives = |set: &str| {
            let mut own = stateful_sets(items).filter(|item| item.name == set).flat_map(claims);
            own.any(|claim| survived.contains_key(&claim))
        };
        self.answers.given.retain(|(set, answer)| *answer != Answer::Empty || !survives(set));
    }

    /// A data set of which nothing has survived was filled from its backups where there are any, and is never filled otherwise
    /// later on.
    pub fn filled_as_expected(&self) {
        let data = &self.scene.data;
        let world = self.simulation.world();
        for item in stateful_sets(&self.scene.items).filter(|item| data.sets.contains_key(&item.name)) {
            let own = self::claims(item);
            if own.iter().any(|claim| data.expected.contains_key(claim)) {
                continue;
            }
            let how: Vec<&str> = own
                .iter()
                .filter_map(|claim| world.store.get(&Key::new("", "persistentvolumeclaims", SPACE, claim)))
                .filter_map(|live| live["metadata"]["annotations"].get(DATA_ANNOTATION)?.as_str())
                .collect();
            let wanted = data.filled(&item.name);
            // What an accident has left is adopted.
            let fits = |how: &&str| wanted.contains(how) || data.accident && *how == "adopt";
            assert!(how.iter().all(fits), "{}: {how:?}, not {wanted:?}", item.full());
            assert!(how.iter().any(|how| *how != "copy"), "{}: {how:?}, copies of nothing", item.full());
        }
    }

    /// The volumes of claims, as the scene wants them.
    pub fn expected(&self) -> BTreeMap<String, String> {
        self.scene.data.expected.clone()
    }

    /// The data sets and their claims are deleted; returns the volumes that survive that, by claim.
    pub fn accident(&self) -> BTreeMap<String, String> {
        let (claims, volumes) = bound(&self.simulation.world());
        let of_set = |claim: &str| {
            let sets = stateful_sets(&self.scene.items).filter(|item| self.scene.data.sets.contains_key(&item.name));
            sets.into_iter().any(|item| self::claims(item).iter().any(|own| own == claim))
        };
        let mut lost: Vec<Key> = stateful_sets(&self.scene.items).map(Item::key).collect();
        let own = claims.into_iter().filter(|(claim, _)| of_set(claim));
        let own: BTreeMap<String, String> = own.collect();
        lost.extend(own.keys().map(|claim| Key::new("", "persistentvolumeclaims", SPACE, claim)));
        self.lose(&lost);
        let is_kept = |volume: &String| volumes[volume]["spec"]["persistentVolumeReclaimPolicy"] == "Retain";
        own.into_iter().filter(|(_, volume)| is_kept(volume)).collect()
    }
}

/// Whether two answers are about the same claim.
fn same_claim(one: &(String, Answer), other: &(String, Answer)) -> bool {
    let claim = |answer: &Answer| match answer {
        Answer::Adopt { claim, .. } => claim.clone(),
        _ => None,
    };
    one.0 == other.0 && claim(&one.1) == claim(&other.1)
}

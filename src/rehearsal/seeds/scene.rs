//! What a seed decides: a kit in two versions, who else lives in the cluster, what goes wrong.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::flapping::Flapping;
use super::meddling::Locks;
use super::shrink::Without;
use super::survivors::Data;
use crate::kit::{Kit, KitSource, Overrides, Rendered};
use crate::rehearsal::Fate;
use crate::rehearsal::faults::Chance;
use crate::rehearsal::store::Key;

use crate::secrets::{SecretError, SecretSource};

/// The namespace of the environment.
pub const SPACE: &str = "space";

const PHASES: [&str; 3] = ["storage", "database", "services"];

/// An object of the kit.
#[derive(Clone, Debug)]
pub struct Item {
    pub phase: usize,
    pub kind: &'static str,
    pub name: String,
    /// `Kind/name` that it says it comes after.
    pub after: Option<String>,
    /// `Kind/name` that its containers read.
    pub reads: Option<String>,
    image: [usize; 2],
    pub replicas: usize,
    outside: bool,
    /// Seconds after which a Job that has ended is deleted.
    expires: Option<usize>,
    /// Whether the second version of the kit has it; the first has all.
    pub stays: bool,
}

impl Item {
    pub fn full(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    pub fn key(&self) -> Key {
        let (group, resource) = match self.kind {
            "Deployment" => ("apps", "deployments"),
            "StatefulSet" => ("apps", "statefulsets"),
            "Job" => ("batch", "jobs"),
            "Service" => ("", "services"),
            "Secret" => ("", "secrets"),
            _ => ("", "configmaps"),
        };
        Key::new(group, resource, SPACE, &self.name)
    }

    pub fn runs(&self) -> bool {
        matches!(self.kind, "Deployment" | "StatefulSet" | "Job") && (self.replicas > 0 || self.kind == "Job")
    }

    fn body(&self, version: usize) -> Value {
        let mut metadata = json!({"name": self.name});
        if let Some(after) = &self.after {
            metadata["annotations"] = json!({"rekindle.dev/after": after});
        }
        let mut container = json!({"name": "c", "image": format!("image{}:{}", self.image[0], self.image[version])});
        container["env"] =
            json!([{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "secrets", "key": "password"}}}]);
        if let Some((kind, name)) = self.reads.as_deref().and_then(|reads| reads.split_once('/')) {
            let source = if kind == "Secret" { "secretRef" } else { "configMapRef" };
            container["envFrom"] = json!([{source: {"name": name}}]);
        }
        let labels = json!({"app": self.name});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
        let (api_version, spec) = match self.kind {
            "Deployment" => (
                "apps/v1",
                json!({"replicas": self.replicas, "selector": {"matchLabels": labels}, "template": template}),
            ),
            "StatefulSet" => {
                let mut template = template;
                template["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
                let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                    "storageClassName": "standard", "resources": {"requests": {"storage": "1Gi"}}}});
                (
                    "apps/v1",
                    json!({"serviceName": self.name, "replicas": self.replicas, "selector": {"matchLabels": labels},
                        "template": template, "volumeClaimTemplates": [claim]}),
                )
            }
            "Job" => {
                let mut template = template;
                template["spec"]["restartPolicy"] = "Never".into();
                template["spec"]["containers"][0]["image"] = "image:1".into();
                let mut spec = json!({"template": template});
                if let Some(seconds) = self.expires {
                    spec["ttlSecondsAfterFinished"] = seconds.into();
                }
                ("batch/v1", spec)
            }
            "Service" => {
                let kind = if self.outside { "LoadBalancer" } else { "ClusterIP" };
                ("v1", json!({"type": kind, "selector": {"app": "x"}, "ports": [{"port": 80}]}))
            }
            "Secret" => {
                return json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"A": "c2VjcmV0"}});
            }
            _ => {
                let data = json!({"A": self.image[version].to_string()});
                return json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
            }
        };
        json!({"apiVersion": api_version, "kind": self.kind, "metadata": metadata, "spec": spec})
    }
}

/// What speaks against the first run from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misplaced {
    /// The environment is pinned to another cluster.
    Pin,
    /// The cluster's record of the environment was made for another cluster.
    Record,
    /// The environment is pinned to none, and others live here.
    Others,
}

/// When a run is killed.
#[derive(Clone, Copy, Debug)]
pub enum Crash {
    /// After this time.
    Time(Duration),
    /// After so many requests that write.
    Writes(usize),
}

impl Crash {
    fn of(chance: &mut Chance) -> Self {
        if chance.happens(0.5) {
            Self::Time(Duration::from_millis(chance.below(60_000) as u64))
        } else {
            Self::Writes(1 + chance.below(30))
        }
    }
}

/// Something to vanish: in the phase behind one whose gate holds for so long that everybody can notice, where there is one.
fn vanishing(chance: &mut Chance, items: &[Item], gates: &[Option<usize>]) -> Option<(usize, Key)> {
    let waits = gates.iter().position(|hold| hold.is_some_and(|hold| hold >= 3))?;
    let light = ["ConfigMap", "Secret", "Service", "Deployment"];
    let next: Vec<&Item> = items.iter().filter(|item| item.phase == waits + 1 && light.contains(&item.kind)).collect();
    let item = next.get(chance.below(next.len().max(1)))?;
    Some((waits, item.key()))
}

/// What a seed decides.
pub struct Scene {
    pub items: Vec<Item>,
    phases: usize,
    /// Seconds that the gate of each phase holds, where it has one.
    gates: [Option<usize>; 3],
    /// The phase whose gate waits for a sign, and the moment at which it is given.
    pub sign: Option<(usize, Duration)>,
    /// `Kind/name` of the workload that is made to fail, and how.
    pub fate: Option<(String, Fate)>,
    /// Share of requests that go wrong.
    pub errors: f64,
    pub misplaced: Option<Misplaced>,
    /// Objects in the environment's namespace and elsewhere that are somebody else's, by what they look like.
    pub foreign: Vec<(Key, Value)>,
    /// An object of the kit's second version that another environment has put there.
    pub squatter: Option<String>,
    /// Whose objects vanish between runs.
    pub lost: Vec<Key>,
    /// An object that vanishes while a run waits in the phase before its own, which that run has found as it should be.
    pub vanishing: Option<(usize, Key)>,
    /// When the first runs die.
    pub crashes: Vec<Crash>,
    /// When somebody else begins the same.
    pub second: Option<Duration>,
    pub down: bool,
    pub locks: Locks,
    pub data: Data,
    pub flapping: Flapping,
    rendered: [OnceCell<Rendered>; 2],
    pub secret: String,
}

impl Scene {
    /// The scene of a seed, without what is left out of it; nothing else changes.
    pub fn of(chance: &mut Chance, without: &Without) -> Self {
        let phases = 1 + chance.below(3);
        let mut items: Vec<Item> = Vec::new();
        for (phase, title) in PHASES.iter().enumerate().take(phases) {
            let first = items.len();
            for index in 0..1 + chance.below(6) {
                let kind = ["ConfigMap", "Deployment", "StatefulSet", "Job", "Service", "Secret"][chance.below(6)];
                let some =
                    |chance: &mut Chance, from: &[Item]| from.get(chance.below(from.len().max(1))).map(Item::full);
                let after = chance.happens(0.4).then(|| some(chance, &items[first..])).flatten();
                let mut reads = chance.happens(0.5).then(|| some(chance, &items)).flatten();
                reads = reads.filter(|name| {
                    let runs = matches!(kind, "Deployment" | "StatefulSet" | "Job");
                    runs && (name.starts_with("ConfigMap/") || name.starts_with("Secret/"))
                });
                let image = chance.below(3);
                let second = if chance.happens(0.4) { 3 + chance.below(3) } else { image };
                let replicas = if kind == "StatefulSet" { 1 + chance.below(3) } else { chance.below(4) };
                items.push(Item {
                    phase,
                    kind,
                    name: format!("{title}-{index}"),
                    after,
                    reads,
                    image: [image, second],
                    replicas,
                    outside: chance.happens(0.3),
                    expires: chance.happens(0.5).then(|| 60 * chance.below(5)),
                    stays: chance.happens(0.8),
                });
            }
        }
        let mut number = 0;
        items.retain(|_| {
            number += 1;
            !without.objects.contains(&(number - 1))
        });
        // What is needed stays for as long as what needs it, and is there at all.
        let there: BTreeSet<String> = items.iter().map(Item::full).collect();
        for item in &mut items {
            for need in [&mut item.after, &mut item.reads] {
                *need = need.take().filter(|name| there.contains(name));
            }
        }
        for index in (0..items.len()).rev() {
            if items[index].stays {
                let needs = [items[index].after.clone(), items[index].reads.clone()];
                items.iter_mut().filter(|item| needs.contains(&Some(item.full()))).for_each(|item| item.stays = true);
            }
        }
        let gates = [0, 1, 2].map(|_| chance.happens(0.5).then(|| chance.below(7)));
        let sign =
            chance.happens(0.3).then(|| (chance.below(phases), Duration::from_secs(60 + chance.below(200) as u64)));
        let runs: Vec<String> = items.iter().filter(|item| item.runs()).map(Item::full).collect();
        let fate = (chance.happens(0.3) && !runs.is_empty())
            .then(|| (runs[chance.below(runs.len())].clone(), [Fate::Crash, Fate::Pull, Fate::Never][chance.below(3)]));
        // Questions are asked again, so that few errors seldom reach what a failed question leads to.
        let errors = if chance.happens(0.6) { chance.share() * [0.15, 0.3][chance.below(2)] } else { 0.0 };
        let misplaced =
            chance.happens(0.3).then(|| [Misplaced::Pin, Misplaced::Record, Misplaced::Others][chance.below(3)]);
        let foreign = (0..chance.below(5)).map(|index| foreign(chance, index)).collect();
        let fresh: Vec<String> =
            items.iter().filter(|item| item.kind == "ConfigMap" && item.stays).map(|item| item.name.clone()).collect();
        let squatter = (chance.happens(0.3) && !fresh.is_empty()).then(|| fresh[chance.below(fresh.len())].clone());
        let lost = items.iter().filter(|_| chance.happens(0.2)).map(Item::key).collect();
        let vanishing = vanishing(chance, &items, &gates[..phases - 1]).filter(|_| errors == 0.0);
        let crashes = (0..chance.below(3)).map(|_| Crash::of(chance)).collect();
        let second = chance.happens(0.3).then(|| Duration::from_millis(chance.below(40_000) as u64));
        let secret = format!("swordfish{:08}", chance.below(100_000_000));
        let down = chance.happens(0.5);
        let locks = Locks::of(chance);
        let data = Data::of(chance, &items);
        let flapping = Flapping::of(chance);
        let mut scene = Self {
            items,
            phases,
            gates,
            sign,
            fate,
            errors,
            misplaced,
            foreign,
            squatter,
            lost,
            vanishing,
            crashes,
            second,
            down,
            locks,
            data,
            flapping,
            rendered: Default::default(),
            secret,
        };
        without.spare(&mut scene);
        scene
    }

    fn kit(&self, version: usize) -> Kit {
        let mut files = BTreeMap::new();
        files.insert("environments/test.yaml".to_owned(), format!("namespace: {SPACE}\n").into_bytes());
        let names: Vec<String> =
            PHASES[..self.phases].iter().map(|name| format!("{{name: {name}, timeout: 30m}}")).collect();
        let stack = format!("name: test\nphases: [{}]\n", names.join(", "));
        files.insert("templates/stack.yaml".to_owned(), stack.into_bytes());
        for (phase, name) in PHASES[..self.phases].iter().enumerate() {
            let mut documents = Vec::new();
            if phase == 0 {
                documents.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}));
            }
            let here = self.items.iter().filter(|item| item.phase == phase && (version == 0 || item.stays));
            documents.extend(self.data.documents(here.clone()));
            documents.extend(here.map(|item| item.body(version)));
            let gate = |title: String, spec: Value| json!({"apiVersion": "rekindle.dev/v1", "kind": "Gate", "metadata": {"name": title}, "spec": spec});
            if let Some(hold) = self.gates[phase] {
                let condition = json!({"api_version": "v1", "kind": "Namespace", "name": SPACE,
                    "ready": format!("object.metadata.name == \"{SPACE}\"")});
                let spec = json!({"timeout": "10m", "hold": format!("{hold}s"), "condition": condition});
                documents.push(gate(format!("{name} is there"), spec));
            }
            if self.sign.is_some_and(|(of, _)| of == phase) {
                let condition = json!({"api_version": "v1", "kind": "ConfigMap", "namespace": "default", "name": "sign",
                    "ready": "object.data.given == \"yes\""});
                documents.push(gate(format!("{name} has a sign"), json!({"timeout": "20m", "condition": condition})));
            }
            let text: Vec<String> = documents.iter().map(Value::to_string).collect();
            files.insert(format!("templates/{name}/all.yaml"), text.join("\n---\n").into_bytes());
        }
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: secrets}\nstringData: {password: {{ secret(name=\"password\") }}}\n";
        files.insert("templates/storage/secrets.yaml.tera".to_owned(), secret.as_bytes().to_vec());
        Kit { source: KitSource::Embedded, files }
    }

    /// A version of the kit, 0 or 1, rendered.
    pub fn rendered(&self, version: usize) -> &Rendered {
        self.rendered[version].get_or_init(|| {
            let kit = self.kit(version);
            let environment = kit.environment("test", &Overrides::default()).unwrap();
            kit.render(&environment, &Password(self.secret.clone())).unwrap()
        })
    }

    pub fn item(&self, full: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.full() == full)
    }

    /// The number of a phase.
    pub fn phase(name: &str) -> usize {
        PHASES.iter().position(|known| *known == name).unwrap()
    }
}

/// Somebody else's object: in the environment's namespace or elsewhere, with labels that look more or less like ours.
fn foreign(chance: &mut Chance, index: usize) -> (Key, Value) {
    let namespace = if chance.happens(0.6) { SPACE } else { "default" };
    let labels = match chance.below(3) {
        0 => json!({}),
        1 => json!({"rekindle.dev/environment": "other"}),
        // As a controller copies them; nobody has applied it.
        _ => json!({"rekindle.dev/environment": "test"}),
    };
    let key = Key::new("", "configmaps", namespace, &format!("theirs-{index}"));
    (key, json!({"metadata": {"labels": labels}, "data": {"index": index.to_string()}}))
}

/// One secret that everything is told.
struct Password(String);

impl SecretSource for Password {
    fn secret(&self, name: &str) -> Result<secrecy::SecretString, SecretError> {
        if name == "password" { Ok(self.0.clone().into()) } else { Err(SecretError::Unknown(name.to_owned())) }
    }

    fn names(&self) -> Vec<String> {
        vec!["password".to_owned()]
    }
}

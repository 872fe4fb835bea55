//! The nodes that are supposed where nobody says which there are: as many as a kit needs, with the labels that it asks for. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::scheduling::{APART, HostPort, TOGETHER, list, term_selects, text, volume_reaches, wants};
use crate::data::evidence::NODE_NAME;
use crate::manifest::Object;
use crate::plan::Plan;
use crate::report::text::{count, list as words};

const HOST: &str = "kubernetes.io/hostname";

/// What makes pods, with one of them.
pub struct Workload {
    /// A pod of it: labels, namespace, spec.
    pub pod: Value,
    /// How many run at the same time; of a DaemonSet, on each node.
    pub at_once: usize,
    /// How many there are in the end, those included that have run to completion.
    pub in_all: usize,
    /// Whether it is a DaemonSet.
    pub each_node: bool,
}

impl Workload {
    /// Reads an object that makes pods, or is one.
    pub fn of(object: &Object) -> Option<Self> {
        let body = object.body();
        let pointer = match (object.group(), object.kind()) {
            ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job")
            | ("", "ReplicationController") => "/spec/template",
            ("batch", "CronJob") => "/spec/jobTemplate/spec/template",
            ("", "Pod") => "",
            _ => return None,
        };
        let template = body.pointer(pointer)?;
        let number = |name: &str| {
            let number = body.pointer(&format!("/spec/{name}")).and_then(Value::as_u64);
            number.map(|it| usize::try_from(it).unwrap_or(usize::MAX))
        };
        let (at_once, in_all) = match object.kind() {
            "Job" => {
                let parallelism = number("parallelism").unwrap_or(1);
                let completions = number("completions").unwrap_or(parallelism);
                (parallelism.min(completions), completions)
            }
            "DaemonSet" | "CronJob" | "Pod" => (1, 1),
            _ => (number("replicas").unwrap_or(1), number("replicas").unwrap_or(1)),
        };
        let pod = json!({
            "metadata": {"namespace": object.namespace(), "labels": template.pointer("/metadata/labels")},
            "spec": template.get("spec")?,
        });
        Some(Self { pod, at_once, in_all, each_node: object.kind() == "DaemonSet" })
    }

    /// Whether a term of it selects pods of another workload.
    fn selects(&self, term: &Value, other: &Self) -> bool {
        term_selects(term, &self.pod, &other.pod, Some(&json!({})))
    }

    /// How many hosts its pods spread over where there are enough.
    pub fn spread(&self) -> usize {
        let by_host =
            |it: &&Value| text(it, "/topologyKey") == HOST && text(it, "/whenUnsatisfiable") != "ScheduleAnyway";
        if list(&self.pod, "/spec/topologySpreadConstraints").any(|it| by_host(&it)) { self.at_once } else { 1 }
    }

    /// How many values of a label its pods need so that each has one of its own; `None` where they may share one.
    fn apart_by(&self, topology: &str) -> Option<usize> {
        let terms = list(&self.pod, APART).filter(|term| text(term, "/topologyKey") == topology);
        let least = list(&self.pod, "/spec/topologySpreadConstraints")
            .filter(|it| text(it, "/topologyKey") == topology && text(it, "/whenUnsatisfiable") != "ScheduleAnyway")
            .filter_map(|it| usize::try_from(it.get("minDomains")?.as_u64()?).ok());
        let by_port = (topology == HOST && !HostPort::of(&self.pod).is_empty()).then_some(self.at_once);
        terms.filter(|term| self.selects(term, self)).map(|_| self.at_once).chain(least).chain(by_port).max()
    }
}

/// The workloads of a plan.
pub fn workloads(plan: &Plan) -> Vec<Workload> {
    plan.items().filter_map(|item| Workload::of(&item.object)).collect()
}

/// How many nodes pods need that want a host of their own, or none with certain others.
pub fn for_apart(workloads: &[Workload]) -> usize {
    let need = |one: &Workload| {
        let by_host = || list(&one.pod, APART).filter(|term| text(term, "/topologyKey") == HOST);
        let ports = HostPort::of(&one.pod);
        let avoids = |other: &Workload| {
            !std::ptr::eq(one, other)
                && (by_host().any(|term| one.selects(term, other))
                    || HostPort::clash(&ports, &HostPort::of(&other.pod)))
        };
        let avoided = workloads.iter().filter(|other| !other.each_node && avoids(other)).map(|it| it.at_once);
        one.apart_by(HOST).unwrap_or(1).saturating_add(avoided.fold(0, usize::saturating_add))
    };
    workloads.iter().filter(|it| !it.each_node).map(need).max().unwrap_or(1)
}

/// The labels of a node.
type Labels = BTreeMap<String, String>;

/// A wish for nodes: how many, who wants them, and labels of which one set is enough.
struct Wish<'w> {
    nodes: usize,
    is_met: Box<dyn Fn(&Labels) -> bool + 'w>,
    plain: Option<&'w Value>,
    terms: Vec<&'w Value>,
}

/// A supposed node: labels that it has, and those that it must not have.
type Draft = BTreeMap<String, Option<String>>;

/// Nodes that a kit fits on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Supposed {
    /// The labels of each; its host name is its name.
    pub nodes: Vec<BTreeMap<String, String>>,
    /// What was supposed of them, a phrase each.
    pub told: BTreeSet<String>,
}

impl Supposed {
    /// The nodes of a plan: at least `least`, and no more where a number is `given`.
    pub fn of(plan: &Plan, workloads: &[Workload], least: usize, given: Option<usize>) -> Self {
        let volumes = plan.items().map(|item| &item.object).filter(|it| it.kind() == "PersistentVolume");
        let mut wishes: Vec<Wish<'_>> = volumes
            .map(|volume| Wish {
                nodes: 1,
                is_met: Box::new(|labels| volume_reaches(volume.body(), labels)),
                plain: None,
                terms: list(volume.body(), "/spec/nodeAffinity/required/nodeSelectorTerms").collect(),
            })
            .collect();
        let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        wishes.extend(workloads.iter().filter(|it| it.at_once > 0).map(|it| Wish {
            nodes: if it.each_node { 1 } else { it.apart_by(HOST).unwrap_or(1) },
            is_met: Box::new(|labels| wants(&it.pod, labels)),
            plain: it.pod.pointer("/spec/nodeSelector"),
            terms: list(&it.pod, required).collect(),
        }));
        let mut drafts = vec![Draft::new(); given.unwrap_or(least)];
        let mut told = BTreeSet::new();
        for wish in &wishes {
            told.extend(grant(&mut drafts, wish, given.is_none()));
        }
        for (topology, values) in topologies(workloads) {
            if given.is_none() && drafts.len() < values {
                drafts.resize(values, Draft::new());
            }
            let mut is_new = false;
            for (number, draft) in drafts.iter_mut().enumerate() {
                let value = || Some(format!("supposed-{}", number % values + 1));
                is_new |= !draft.contains_key(&topology);
                draft.entry(topology.clone()).or_insert_with(value);
            }
            if is_new && values > 1 {
                told.insert(format!("nodes with {values} values of the label {topology}"));
            } else if is_new {
                told.insert(format!("nodes with the label {topology}"));
            }
        }
        Self { nodes: (0..drafts.len()).map(|at| finished(&drafts, at)).collect(), told }
    }
}

/// The labels that nodes must have for pods to be apart or together by them, beside the host's, and how many values at least.
fn topologies(workloads: &[Workload]) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for workload in workloads {
        let spread = list(&workload.pod, "/spec/topologySpreadConstraints")
            .filter(|it| text(it, "/whenUnsatisfiable") != "ScheduleAnyway");
        for term in spread.chain(list(&workload.pod, APART)).chain(list(&workload.pod, TOGETHER)) {
            let topology = text(term, "/topologyKey");
            let known = all.entry(topology.to_owned()).or_insert(1);
            *known = (*known).max(workload.apart_by(topology).unwrap_or(1));
        }
    }
    all.remove(HOST);
    all.remove("kubernetes.io/os");
    all
}

/// The labels of a node with those that every node has.
fn finished(drafts: &[Draft], at: usize) -> BTreeMap<String, String> {
    let own = drafts[at].iter().filter_map(|(label, value)| Some((label.clone(), value.clone()?)));
    let name = drafts[at].get(HOST).cloned().flatten().unwrap_or_else(|| format!("node-{}", at + 1));
    let known = [("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64"), (HOST, &name), (NODE_NAME, &name)];
    let mut labels: BTreeMap<String, String> =
        known.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
    labels.extend(own);
    labels
}

/// Gives as many nodes as are wished for the labels that are missing; says so.
fn grant(drafts: &mut Vec<Draft>, wish: &Wish<'_>, may_grow: bool) -> Option<String> {
    let mut told = None;
    let mut met = (0..drafts.len()).filter(|at| (wish.is_met)(&finished(drafts, *at))).count();
    let mut at = 0;
    while met < wish.nodes && (at < drafts.len() || may_grow) {
        let is_new = at == drafts.len();
        if is_new {
            drafts.push(Draft::new());
        }
        if !(wish.is_met)(&finished(drafts, at)) {
            let before = drafts[at].clone();
            let wanted = wish.terms.iter().map(Some).chain(wish.terms.is_empty().then_some(None));
            let granted = wanted.into_iter().find_map(|term| {
                let labels = labels_for(drafts, wish.plain, term.copied())?;
                let fits = labels.iter().all(|(label, value)| before.get(label).is_none_or(|known| known == value));
                drafts[at].extend(labels.clone());
                let granted = fits && (wish.is_met)(&finished(drafts, at));
                if !granted {
                    drafts[at].clone_from(&before);
                }
                granted.then_some(labels)
            });
            if let Some(labels) = granted {
                met += 1;
                let labels = labels.into_iter().filter_map(|(label, value)| Some(format!("{label}={}", value?)));
                told = told.or_else(|| phrase(wish.nodes, &labels.collect::<Vec<_>>()));
            } else if is_new {
                // Not even a node of its own would do.
                drafts.pop();
                return told;
            }
        } else if is_new {
            met += 1;
        }
        at += 1;
    }
    told
}

fn phrase(nodes: usize, labels: &[String]) -> Option<String> {
    let names = words(&labels.iter().map(String::as_str).collect::<Vec<_>>());
    let nodes = if nodes == 1 { "a node".to_owned() } else { count(nodes, "node") };
    match labels.len() {
        0 => None,
        1 => Some(format!("{nodes} with the label {names}")),
        _ => Some(format!("{nodes} with the labels {names}")),
    }
}

/// Labels with which a node is what a selector and one term of an affinity want; `None` where there are none.
fn labels_for(drafts: &[Draft], plain: Option<&Value>, term: Option<&Value>) -> Option<Draft> {
    let plain = plain.and_then(Value::as_object).into_iter().flatten();
    let mut labels: Draft = plain.map(|(label, value)| (label.clone(), value.as_str().map(str::to_owned))).collect();
    let by_label = term.into_iter().flat_map(|term| list(term, "/matchExpressions"));
    for wish in by_label.chain(term.into_iter().flat_map(|term| list(term, "/matchFields"))) {
        let key = if text(wish, "/key") == NODE_NAME { HOST } else { text(wish, "/key") };
        let values: Vec<&str> = list(wish, "/values").filter_map(Value::as_str).collect();
        let is_used = |value: &str| drafts.iter().any(|it| it.get(HOST).is_some_and(|it| it.as_deref() == Some(value)));
        let number = || values.first()?.parse::<i64>().ok();
        let value = match text(wish, "/operator") {
            // Two nodes do not have one host name.
            "In" => Some((*values.iter().find(|value| key != HOST || !is_used(value))?).to_owned()),
            "Exists" if labels.contains_key(key) || key == HOST => continue,
            "Exists" => Some("supposed".to_owned()),
            "Gt" => Some(number()?.checked_add(1)?.to_string()),
            "Lt" => Some(number()?.checked_sub(1)?.to_string()),
            _ if labels.contains_key(key) || key == HOST => continue,
            _ => None,
        };
        labels.insert(key.to_owned(), value);
    }
    Some(labels)
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;

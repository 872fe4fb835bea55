//! Whether the pods that run already let a pod be on a node: required affinity and anti-affinity, and how pods are spread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::filters::{has_ended, labels, wants};
use super::{Node, list, text};
use crate::rehearsal::request::selects;
use crate::rehearsal::world::World;

/// Where the terms of a pod stand that keep it apart from others.
pub const APART: &str = "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
/// Where the terms stand that keep it together with others.
pub const TOGETHER: &str = "/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution";

/// Whether a term of a pod selects another pod. Without namespaces it means its own. Source: `AffinityTerm.Matches` of
/// kube-scheduler.
pub fn term_selects(term: &Value, of: &Value, other: &Value, namespace: Option<&Value>) -> bool {
    let space = text(other, "/metadata/namespace");
    let mut named = list(term, "/namespaces").peekable();
    let by_label = term.get("namespaceSelector");
    let in_space = match (named.peek(), by_label) {
        (None, None) => space == text(of, "/metadata/namespace"),
        _ => {
            named.any(|name| name == space)
                || by_label.is_some_and(|selector| namespace.is_some_and(|namespace| selects(selector, namespace)))
        }
    };
    in_space && selects_like(term, of, other)
}

/// Whether the selector selects a pod that also has the same values of `matchLabelKeys`. No selector selects nothing.
fn selects_like(wish: &Value, of: &Value, other: &Value) -> bool {
    let label = |pod: &Value, key: &Value| pod.pointer("/metadata/labels")?.get(key.as_str()?).cloned();
    wish.get("labelSelector").is_some_and(|selector| selects(selector, other))
        && list(wish, "/matchLabelKeys").all(|key| label(of, key) == label(other, key))
}

/// A label and its value: where pods that it selects are.
type Domain = (String, String);

/// A wish of a pod, with where the pods are that it selects.
struct Wish {
    topology: String,
    domains: BTreeSet<String>,
}

/// A constraint on how pods are spread, with how many there are in each domain.
struct Spread {
    topology: String,
    counts: BTreeMap<String, u64>,
    most: u64,
    least: u64,
    own: u64,
}

/// What a pod and those that run already want of each other.
pub struct Neighbours {
    apart: Vec<Wish>,
    together: Vec<Wish>,
    /// Whether the pod may begin a group that it is to be together with.
    is_first: bool,
    /// Where pods are that want this one elsewhere.
    closed: BTreeSet<Domain>,
    spread: Vec<Spread>,
}

impl Neighbours {
    /// Reads what concerns a pod off the cluster.
    pub fn of(world: &World, pod: &Value, nodes: &[(String, Arc<Value>)]) -> Self {
        let mut found =
            Self { apart: vec![], together: vec![], is_first: false, closed: BTreeSet::new(), spread: vec![] };
        let spread: Vec<&Value> = list(pod, "/spec/topologySpreadConstraints").filter(|it| is_strict(it)).collect();
        let has_terms = [APART, TOGETHER].iter().any(|at| list(pod, at).next().is_some());
        if !has_terms && spread.is_empty() && world.apart.is_empty() {
            return found;
        }
        let places: BTreeMap<&str, BTreeMap<String, String>> =
            nodes.iter().map(|(name, body)| (name.as_str(), labels(body))).collect();
        let at = |other: &Value, topology: &str| places.get(text(other, "/spec/nodeName"))?.get(topology).cloned();
        let namespace = |pod: &Value| {
            let key = crate::rehearsal::store::Key::new("", "namespaces", "", text(pod, "/metadata/namespace"));
            world.store.get(&key).cloned()
        };
        let runs = |other: &&Arc<Value>| !text(other, "/spec/nodeName").is_empty() && !has_ended(other);
        let all = || world.store.list(&(String::new(), "pods".into()), None).map(|(_, other)| other).filter(runs);
        let wishes = |pointer: &str| -> Vec<Wish> {
            let wish = |term: &Value| {
                let topology = text(term, "/topologyKey").to_owned();
                let others = all().filter(|other| term_selects(term, pod, other, namespace(other).as_deref()));
                let domains = others.filter_map(|other| at(other, &topology)).collect();
                Wish { topology, domains }
            };
            list(pod, pointer).map(wish).collect()
        };
        (found.apart, found.together) = (wishes(APART), wishes(TOGETHER));
        let own = namespace(pod);
        found.is_first = found.together.iter().all(|wish| wish.domains.is_empty())
            && list(pod, TOGETHER).all(|term| term_selects(term, pod, pod, own.as_deref()));
        for other in world.apart.iter().filter_map(|key| world.store.get(key)).filter(runs) {
            let terms = list(other, APART).filter(|term| term_selects(term, other, pod, own.as_deref()));
            let domains = terms.filter_map(|term| {
                let topology = text(term, "/topologyKey");
                Some((topology.to_owned(), at(other, topology)?))
            });
            found.closed.extend(domains);
        }
        let eligible: Vec<_> = places.values().filter(|labels| wants(pod, labels)).collect();
        for wish in spread {
            let topology = text(wish, "/topologyKey").to_owned();
            let domains = eligible.iter().filter_map(|labels| labels.get(&topology));
            let mut counts: BTreeMap<String, u64> = domains.map(|domain| (domain.clone(), 0)).collect();
            let space = text(pod, "/metadata/namespace");
            let alike = all().filter(|other| {
                text(other, "/metadata/namespace") == space
                    && other.pointer("/metadata/deletionTimestamp").is_none()
                    && selects_like(wish, pod, other)
            });
            for domain in alike.filter_map(|other| at(other, &topology)) {
                counts.entry(domain).and_modify(|count| *count += 1);
            }
            let number = |name: &str| wish.get(name).and_then(Value::as_u64).unwrap_or(1);
            // Too few domains count as if there were an empty one.
            let enough = counts.len() as u64 >= number("minDomains");
            let least = counts.values().min().copied().filter(|_| enough).unwrap_or_default();
            let own = u64::from(selects_like(wish, pod, pod));
            found.spread.push(Spread { topology, counts, most: number("maxSkew"), least, own });
        }
        found
    }

    /// Why a node does not take the pod for the sake of others.
    pub fn refusal(&self, node: &Node) -> Option<&'static str> {
        for spread in &self.spread {
            let Some(domain) = node.labels.get(&spread.topology) else {
                return Some("node(s) didn't match pod topology spread constraints (missing required label)");
            };
            let there = spread.counts.get(domain).copied().unwrap_or_default();
            if there + spread.own > spread.least + spread.most {
                return Some("node(s) didn't match pod topology spread constraints");
            }
        }
        let holds = |wish: &Wish| {
            let domain = node.labels.get(&wish.topology);
            domain.is_some_and(|domain| self.is_first || wish.domains.contains(domain))
        };
        if !self.together.iter().all(holds) {
            return Some("node(s) didn't match pod affinity rules");
        }
        let meets = |wish: &Wish| node.labels.get(&wish.topology).is_some_and(|it| wish.domains.contains(it));
        if self.apart.iter().any(meets) {
            return Some("node(s) didn't match pod anti-affinity rules");
        }
        let is_closed = |(topology, domain): &Domain| node.labels.get(topology) == Some(domain);
        self.closed.iter().any(is_closed).then_some("node(s) didn't satisfy existing pods anti-affinity rules")
    }
}

/// Whether a constraint keeps pods waiting rather than only preferring.
fn is_strict(constraint: &Value) -> bool {
    text(constraint, "/whenUnsatisfiable") != "ScheduleAnyway"
}

//! Whether a node by itself takes a pod: its taints, its labels, its room.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{Node, list, text};
use crate::data::evidence::{NODE_NAME, term_holds};
use crate::data::quantity::bytes;
use crate::rehearsal::world::World;

/// The labels of a node and its name; a kubelet always gives it a host name.
pub fn labels(node: &Value) -> BTreeMap<String, String> {
    let name = text(node, "/metadata/name").to_owned();
    let mut labels =
        BTreeMap::from([("kubernetes.io/hostname".to_owned(), name.clone()), (NODE_NAME.to_owned(), name)]);
    let own = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.extend(own.map(|(label, value)| (label.clone(), value.as_str().unwrap_or_default().to_owned())));
    labels
}

/// Whether a node selector's terms, which are alternatives, let a node with these labels be; without a selector any may.
fn selected(selector: Option<&Value>, labels: &BTreeMap<String, String>) -> bool {
    let is_empty = |term: &Value| list(term, "/matchExpressions").chain(list(term, "/matchFields")).next().is_none();
    selector.is_none_or(|it| list(it, "/nodeSelectorTerms").any(|term| !is_empty(term) && term_holds(term, labels)))
}

/// A port of a node that a pod takes.
#[derive(Debug, PartialEq)]
pub struct HostPort {
    address: String,
    protocol: String,
    number: u64,
}

impl HostPort {
    /// Those that a pod takes: in the network of its host these are all of its ports.
    pub fn of(pod: &Value) -> Vec<Self> {
        let in_host = pod.pointer("/spec/hostNetwork").and_then(Value::as_bool) == Some(true);
        let ports = list(pod, "/spec/containers").flat_map(|it| list(it, "/ports"));
        let taken = ports.filter_map(|port| {
            let own = port.get("hostPort").and_then(Value::as_u64);
            let number = own.or_else(|| port.get("containerPort").and_then(Value::as_u64).filter(|_| in_host))?;
            let or = |name: &str, absent: &str| {
                let text = text(port, name);
                if text.is_empty() { absent.to_owned() } else { text.to_owned() }
            };
            Some(Self { address: or("/hostIP", "0.0.0.0"), protocol: or("/protocol", "TCP"), number })
        });
        taken.collect()
    }

    /// Whether only one of two pods with these ports can be on a node.
    pub fn clash(some: &[Self], others: &[Self]) -> bool {
        let any = |it: &Self| it.address == "0.0.0.0";
        let same = |a: &Self, b: &Self| {
            (a.number, &a.protocol) == (b.number, &b.protocol) && (any(a) || any(b) || a.address == b.address)
        };
        some.iter().any(|a| others.iter().any(|b| same(a, b)))
    }
}

/// Whether ports that a pod wants of its host are taken on a node.
pub fn are_taken(world: &World, ports: &[HostPort], node: &str) -> bool {
    let mut pods = world.store.list(&(String::new(), "pods".into()), None);
    !ports.is_empty()
        && pods.any(|(_, pod)| {
            text(pod, "/spec/nodeName") == node && !has_ended(pod) && HostPort::clash(ports, &HostPort::of(pod))
        })
}

/// Whether the required node affinity of a volume lets it be mounted on a node with these labels.
pub fn volume_reaches(volume: &Value, labels: &BTreeMap<String, String>) -> bool {
    selected(volume.pointer("/spec/nodeAffinity/required"), labels)
}

/// Whether `nodeSelector` and the required node affinity of a pod want a node with these labels.
pub fn wants(pod: &Value, labels: &BTreeMap<String, String>) -> bool {
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let plain = pod.pointer("/spec/nodeSelector").and_then(Value::as_object).into_iter().flatten();
    plain.into_iter().all(|(label, value)| labels.get(label).map(String::as_str) == value.as_str())
        && selected(pod.pointer(required), labels)
}

/// Whether a toleration covers a taint. Source: `ToleratesTaint` of Kubernetes' api/core/v1.
fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (effect, key) = (text(toleration, "/effect"), text(toleration, "/key"));
    (effect.is_empty() || effect == text(taint, "/effect"))
        && (key.is_empty() || key == text(taint, "/key"))
        && (text(toleration, "/operator") == "Exists" || text(toleration, "/value") == text(taint, "/value"))
}

/// The first taint of a node that keeps a pod away.
fn untolerated<'n>(pod: &Value, node: &'n Value) -> Option<&'n Value> {
    let repels = |taint: &&Value| matches!(text(taint, "/effect"), "NoSchedule" | "NoExecute");
    let mut taints = list(node, "/spec/taints").filter(repels);
    taints.find(|taint| !list(pod, "/spec/tolerations").any(|toleration| tolerates(toleration, taint)))
}

/// What every pod of a DaemonSet tolerates. Source: `AddOrUpdateDaemonPodTolerations` of pkg/controller/daemon/util.
pub fn daemon_tolerations() -> impl Iterator<Item = Value> {
    let of = |name: &str, effect: &str| json!({"key": format!("node.kubernetes.io/{name}"), "operator": "Exists", "effect": effect});
    let never_scheduled = ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"];
    let executed = ["not-ready", "unreachable"].map(|name| of(name, "NoExecute"));
    executed.into_iter().chain(never_scheduled.map(|name| of(name, "NoSchedule")))
}

/// Whether the pod of a DaemonSet, with its tolerations, may run on a node.
pub fn admits(pod: &Value, node: &Value) -> bool {
    wants(pod, &labels(node)) && untolerated(pod, node).is_none()
}

/// Why a node does not take a pod, by what it says of itself.
pub fn refusal(pod: &Value, node: &Node, usage: Option<&Usage>) -> Option<String> {
    let tolerated = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
    let closed = node.body.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true);
    if closed && !list(pod, "/spec/tolerations").any(|it| tolerates(it, &tolerated)) {
        return Some("node(s) were unschedulable".into());
    }
    if let Some(taint) = untolerated(pod, &node.body) {
        let (key, value) = (text(taint, "/key"), text(taint, "/value"));
        return Some(format!("node(s) had untolerated taint {{{key}: {value}}}"));
    }
    if !wants(pod, &node.labels) {
        return Some("node(s) didn't match Pod's node affinity/selector".into());
    }
    usage?.refusal(pod, node)
}

/// What pods ask of a node.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    pods: u64,
    /// Thousandths of a processor.
    cpu: u64,
    memory: u64,
}

/// Thousandths of a processor: `500m`, `2`, `1.5`.
fn milli(text: &str) -> u64 {
    match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse().unwrap_or_default(),
        None => {
            let cores = text.parse::<f64>().unwrap_or_default().clamp(0.0, 1e9);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
            let milli = (cores * 1000.0).ceil() as u64;
            milli
        }
    }
}

impl Room {
    /// What a pod asks for: the sum of its containers, or the largest of those that come before. A limit without a request is one.
    fn of(pod: &Value) -> Self {
        let ask = |container: &Value, name: &str| {
            let asked = text(container, &format!("/resources/requests/{name}"));
            let asked = if asked.is_empty() { text(container, &format!("/resources/limits/{name}")) } else { asked };
            if name == "cpu" { milli(asked) } else { bytes(asked).unwrap_or_default() }
        };
        let total = |name: &str| {
            let sum: u64 = list(pod, "/spec/containers").map(|it| ask(it, name)).fold(0, u64::saturating_add);
            sum.max(list(pod, "/spec/initContainers").map(|it| ask(it, name)).max().unwrap_or_default())
        };
        Self { pods: 1, cpu: total("cpu"), memory: total("memory") }
    }

    fn and(self, other: Self) -> Self {
        Self {
            pods: self.pods + other.pods,
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }
}

/// What is asked of each node already.
#[derive(Debug, Default)]
pub struct Usage(HashMap<String, Room>);

impl Usage {
    /// That of all pods that have a node and have not ended.
    pub fn of(world: &World) -> Self {
        let mut usage = Self::default();
        for (_, pod) in world.store.list(&(String::new(), "pods".into()), None) {
            let node = text(pod, "/spec/nodeName");
            if !node.is_empty() && !has_ended(pod) {
                let known = usage.0.entry(node.to_owned()).or_default();
                *known = known.and(Room::of(pod));
            }
        }
        usage
    }

    /// The first thing of which a pod asks for more than a node states to have left.
    fn refusal(&self, pod: &Value, node: &Node) -> Option<String> {
        let offered = |name: &str| {
            let stated = node.body.pointer("/status/allocatable")?.get(name)?.as_str()?;
            Some(if name == "cpu" { milli(stated) } else { bytes(stated)? })
        };
        let (own, used) = (Room::of(pod), self.0.get(&node.name).copied().unwrap_or_default());
        let all = own.and(used);
        let beyond = |name: &str, own: u64, all: u64| own > 0 && offered(name).is_some_and(|offered| all > offered);
        if beyond("pods", own.pods, all.pods) {
            Some("Too many pods".into())
        } else if beyond("cpu", own.cpu, all.cpu) {
            Some("Insufficient cpu".into())
        } else if beyond("memory", own.memory, all.memory) {
            Some("Insufficient memory".into())
        } else {
            None
        }
    }
}

/// Whether a pod has run to its end and takes no room any more.
pub fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

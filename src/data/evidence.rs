//! What volumes and claims say of themselves, and which volume can be said to have held a claim. Pure.
//!
//! Where the facts come from: the volume controller writes `spec.claimRef` and `status.phase` of a volume and keeps the
//! reference when the claim goes (`Released`); the marks are Rekindle's own, written while the claim was bound.

use std::collections::BTreeMap;

use serde_json::Value;

use super::claims::Expected;
use super::lineage::Lineage;
use super::quantity::{bytes, size};
use super::{CLAIM_ANNOTATION, COPY, DATA_ANNOTATION, DATA_SET_ANNOTATION, IDENTITY_ANNOTATION, Source};
use crate::cluster::observe::environment_of;
use crate::report::duration::ago;

/// A volume, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// `Available`, `Bound`, `Released`, `Failed` or `Pending`.
    pub phase: String,
    /// `Retain`, `Delete` or `Recycle`.
    pub policy: String,
    /// Bytes.
    pub capacity: Option<u64>,
    /// StorageClass; empty for none.
    pub class: String,
    /// `Filesystem` or `Block`.
    pub mode: String,
    /// The claim that it belongs or belonged to.
    pub claim: Option<ClaimRef>,
    /// What Rekindle wrote on it while it was bound.
    pub marks: Option<Marks>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Where the bytes are: a driver's handle or a path.
    pub place: String,
    /// What identifies the bytes beyond their volume, where only one node may mount them: two volumes of one disk would let
    /// two databases write to it.
    pub disk: Option<String>,
    /// Whether all that it allows is reading.
    pub read_only: bool,
    /// When the API server took it in.
    pub created: Option<jiff::Timestamp>,
    /// Whether a provisioner made it for a claim.
    pub provisioned: bool,
    /// Since when it is in its phase; older servers do not say.
    pub since: Option<jiff::Timestamp>,
    /// Whether some node of the cluster can mount it, as far as its node affinity says; `None` when nodes could not be read.
    pub reachable: Option<bool>,
}

/// `spec.claimRef` of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimRef {
    /// Namespace of the claim.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; none when the volume is only reserved for a claim of that name.
    pub uid: Option<String>,
}

/// What Rekindle wrote on a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The environment, with the instance.
    pub environment: String,
    /// The claim that it held, `namespace/name`.
    pub claim: String,
    /// The data set that it held a part of.
    pub data_set: String,
    /// The answer to the data set's identity.
    pub identity: Option<String>,
    /// What lasts as long as its bytes: where they archive to, and for a stand-by what it follows.
    pub lineage: Lineage,
}

/// A claim that is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// When the API server took it in.
    pub created: Option<jiff::Timestamp>,
    /// `Pending`, `Bound` or `Lost`.
    pub phase: String,
    /// The volume that it names.
    pub volume: Option<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What was decided when it was made.
    pub record: Option<Record>,
    /// The backup that it was restored from, and where it archives to.
    pub lineage: Lineage,
    /// The environment that it is labelled for, with the instance.
    pub environment: Option<String>,
    /// Its spec.
    pub spec: Value,
}

/// What a claim's annotation says of where its contents came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A source.
    From(Source),
    /// Its neighbours.
    Copy,
}

impl Record {
    /// The word of the annotation.
    pub fn word(self) -> &'static str {
        match self {
            Self::From(source) => source.word(),
            Self::Copy => COPY,
        }
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn some(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

impl Volume {
    /// Whether Kubernetes may bind it to a new claim that names no volume: it is nobody's, of the claim's class and mode, and large
    /// enough. Which class is the default is not known here.
    pub fn is_free_for(&self, claim: &Expected) -> bool {
        let asked = text(&claim.body, "/spec/resources/requests/storage");
        let fits = bytes(asked).zip(self.capacity).is_none_or(|(asked, there)| asked <= there);
        // One that was made just now has no phase yet.
        matches!(self.phase.as_str(), "Available" | "Pending" | "")
            && self.claim.is_none()
            && !self.deleting
            && self.mode == claim.mode()
            && claim.class().is_none_or(|class| class == self.class)
            && fits
    }

    /// Reads a PersistentVolume. `nodes`: the labels of each node, where they could be read.
    pub fn of(live: &Value, nodes: Option<&[BTreeMap<String, String>]>) -> Self {
        let claim = live.pointer("/spec/claimRef").filter(|it| it.is_object()).map(|claim| ClaimRef {
            namespace: text(claim, "/namespace").to_owned(),
            name: text(claim, "/name").to_owned(),
            uid: some(claim, "/uid"),
        });
        let annotation = |name: &str| live.get("metadata")?.get("annotations")?.get(name)?.as_str().map(str::to_owned);
        let marks = environment_of(live).map(|(environment, _)| Marks {
            environment,
            claim: annotation(CLAIM_ANNOTATION).unwrap_or_default(),
            data_set: annotation(DATA_SET_ANNOTATION).unwrap_or_default(),
            identity: annotation(IDENTITY_ANNOTATION),
            lineage: Lineage::of(live.pointer("/metadata/annotations").and_then(Value::as_object)).lasting(),
        });
        let time = |pointer: &str| some(live, pointer).and_then(|time| time.parse().ok());
        Self {
            name: text(live, "/metadata/name").to_owned(),
            uid: text(live, "/metadata/uid").to_owned(),
            phase: text(live, "/status/phase").to_owned(),
            policy: text(live, "/spec/persistentVolumeReclaimPolicy").to_owned(),
            capacity: bytes(text(live, "/spec/capacity/storage")),
            class: text(live, "/spec/storageClassName").to_owned(),
            mode: some(live, "/spec/volumeMode").unwrap_or_else(|| "Filesystem".to_owned()),
            claim,
            marks,
            deleting: live.pointer("/metadata/deletionTimestamp").is_some(),
            place: place(live),
            disk: disk(live),
            read_only: !modes(live).is_empty() && modes(live).iter().all(|mode| *mode == "ReadOnlyMany"),
            created: time("/metadata/creationTimestamp"),
            provisioned: is_provisioned(live),
            since: time("/status/lastPhaseTransitionTime"),
            reachable: nodes.map(|nodes| reachable(live, nodes)),
        }
    }

    /// Whether it belongs to a claim that lives, which is another one than `namespace/name` with this UID.
    fn is_taken(&self, namespace: &str, name: &str) -> bool {
        self.phase == "Bound"
            && self.claim.as_ref().is_some_and(|claim| claim.namespace != namespace || claim.name != name)
    }

    /// The facts that a person decides by, in one line after its name.
    pub fn facts(&self, now: jiff::Timestamp) -> String {
        let mut facts = Vec::new();
        let phase = if self.deleting { "being deleted".to_owned() } else { self.phase.to_lowercase() };
        facts.push(match self.since {
            Some(since) => format!("{phase} {}", ago(now.duration_since(since).as_secs_f64())),
            None => phase,
        });
        facts.extend(self.capacity.map(size));
        if !self.class.is_empty() {
            facts.push(format!("class {}", self.class));
        }
        if !self.place.is_empty() {
            facts.push(self.place.clone());
        }
        match (&self.marks, &self.claim) {
            (Some(marks), _) if !marks.claim.is_empty() => {
                facts.push(format!("held {} of {}", marks.claim, marks.environment));
            }
            (_, Some(ClaimRef { namespace, name, uid: None })) => {
                facts.push(format!("reserved for {namespace}/{name}"))
            }
            (_, Some(claim)) => facts.push(format!("held {}/{}", claim.namespace, claim.name)),
            (_, None) => facts.push("names no claim".to_owned()),
        }
        facts.join(", ")
    }
}

/// The driver's handle, or the path.
fn place(live: &Value) -> String {
    let spec = |pointer: &str| some(live, &format!("/spec/{pointer}"));
    spec("csi/volumeHandle")
        .or_else(|| spec("hostPath/path"))
        .or_else(|| spec("local/path"))
        .or_else(|| Some(format!("{}:{}", spec("nfs/server")?, spec("nfs/path")?)))
        .unwrap_or_default()
}

/// Whether a volume was made by a provisioner, which then can take it away again. `pv.kubernetes.io/provisioned-by` is written by
/// the external provisioners' library.
pub fn is_provisioned(volume: &Value) -> bool {
    let annotations = volume.get("metadata").and_then(|metadata| metadata.get("annotations"));
    annotations.is_some_and(|it| it.get("pv.kubernetes.io/provisioned-by").is_some())
}

fn modes(live: &Value) -> Vec<&str> {
    let modes = live.pointer("/spec/accessModes").and_then(Value::as_array);
    modes.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The driver with its handle, or the folder with the nodes that it is on. Shared file systems have several volumes by design.
fn disk(live: &Value) -> Option<String> {
    if modes(live).iter().any(|mode| matches!(*mode, "ReadWriteMany" | "ReadOnlyMany")) {
        return None;
    }
    let spec = |pointer: &str| some(live, &format!("/spec/{pointer}"));
    if let Some(handle) = spec("csi/volumeHandle") {
        return Some(format!("{} {handle}", spec("csi/driver").unwrap_or_default()));
    }
    let path = spec("local/path").or_else(|| spec("hostPath/path"))?;
    // The same folder of another node is another disk.
    let nodes = live.pointer("/spec/nodeAffinity/required")?;
    Some(format!("{path} {nodes}"))
}

/// Whether the required node affinity of a volume lets it be mounted on some node. Terms are alternatives, the expressions of
/// a term all hold. Source: `spec.nodeAffinity.required` of PersistentVolume.
fn reachable(live: &Value, nodes: &[BTreeMap<String, String>]) -> bool {
    let Some(terms) = live.pointer("/spec/nodeAffinity/required/nodeSelectorTerms").and_then(Value::as_array) else {
        return true;
    };
    nodes.iter().any(|labels| terms.iter().any(|term| term_holds(term, labels)))
}

/// Whether all of a node selector term holds for a node with these labels.
pub fn term_holds(term: &Value, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.get("matchExpressions").and_then(Value::as_array);
    let by_field = term.get("matchFields").and_then(Value::as_array);
    let holds = |expression: &Value, found: Option<&str>| {
        let values = expression.get("values").and_then(Value::as_array);
        let among = values.into_iter().flatten().any(|value| value.as_str() == found);
        let limit = values.and_then(|values| values.first()?.as_str());
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
        match text(expression, "/operator") {
            "In" => found.is_some() && among,
            "NotIn" => !among,
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none(),
            "Gt" => number(found).zip(number(limit)).is_some_and(|(found, limit)| found > limit),
            "Lt" => number(found).zip(number(limit)).is_some_and(|(found, limit)| found < limit),
            // What is not understood does not exclude.
            _ => true,
        }
    };
    let labels_hold = expressions
        .into_iter()
        .flatten()
        .all(|expression| holds(expression, labels.get(text(expression, "/key")).map(String::as_str)));
    let name = labels.get(NODE_NAME).map(String::as_str);
    labels_hold && by_field.into_iter().flatten().all(|expression| holds(expression, name))
}

/// Under which key the labels of a node also hold its name, for affinities by field.
pub const NODE_NAME: &str = "metadata.name";

impl Claim {
    /// Reads a PersistentVolumeClaim.
    pub fn of(live: &Value) -> Self {
        let annotation = live
            .get("metadata")
            .and_then(|metadata| metadata.get("annotations")?.get(DATA_ANNOTATION)?.as_str())
            .unwrap_or_default();
        let record = if annotation == COPY { Some(Record::Copy) } else { Source::of(annotation).map(Record::From) };
        Self {
            namespace: text(live, "/metadata/namespace").to_owned(),
            name: text(live, "/metadata/name").to_owned(),
            uid: text(live, "/metadata/uid").to_owned(),
            created: some(live, "/metadata/creationTimestamp").and_then(|time| time.parse().ok()),
            phase: text(live, "/status/phase").to_owned(),
            volume: some(live, "/spec/volumeName"),
            deleting: live.pointer("/metadata/deletionTimestamp").is_some(),
            record,
            lineage: Lineage::of(live.pointer("/metadata/annotations").and_then(Value::as_object)),
            environment: environment_of(live).map(|(environment, _)| environment),
            spec: live.get("spec").cloned().unwrap_or_default(),
        }
    }
}

/// Why a volume is taken to have held a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Our marks say so.
    Marked,
    /// Its reference names the claim.
    Claimed,
    /// Somebody has reserved it for a claim of this name.
    Reserved,
    /// Its reference names a claim of the same name in another namespace: not enough to act on.
    SameName(String),
    /// It names no claim any more, but the folder on it does, as provisioners of local folders name them: not enough to act on.
    ByPlace,
}

impl Evidence {
    /// Whether it is enough to act on.
    pub fn is_strong(&self) -> bool {
        !matches!(self, Self::SameName(_) | Self::ByPlace)
    }
}

/// A volume that may have held a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// The volume.
    pub volume: &'a Volume,
    /// Why.
    pub evidence: Evidence,
    /// What stands against using it; empty when nothing does.
    pub obstacle: Option<String>,
}

/// The volumes that may have held a claim of an environment, strong evidence first. `own`: the volume that the claim is bound
/// to now, which is no survivor.
pub fn candidates<'a>(
    volumes: &'a [Volume],
    environment: &str,
    claim: &Expected,
    own: Option<&str>,
) -> Vec<Candidate<'a>> {
    let mut found: Vec<Candidate<'a>> = volumes
        .iter()
        .filter(|volume| own != Some(volume.name.as_str()))
        .filter_map(|volume| {
            let evidence = evidence(volume, environment, claim)?;
            Some(Candidate { volume, evidence, obstacle: obstacle(volume, claim) })
        })
        .collect();
    found.sort_by_key(|candidate| !candidate.evidence.is_strong());
    found
}

/// Why a volume is taken to have held a claim of an environment, if it is. Names such as `data` are everybody's: a volume that
/// held one in another namespace counts only when it is of the class that the claim wants.
pub fn evidence(volume: &Volume, environment: &str, expected: &Expected) -> Option<Evidence> {
    let (namespace, name) = (expected.namespace.as_str(), expected.name.as_str());
    if contradiction(volume, environment).is_some() || volume.is_taken(namespace, name) {
        return None;
    }
    let reference = volume.claim.as_ref();
    let same_name = reference.is_none_or(|claim| claim.name == name);
    if let Some(marks) = &volume.marks {
        // The namespace may have been renamed since; the name of a claim follows from the kit.
        let marked = marks.claim.split_once('/').is_some_and(|(_, marked)| marked == name);
        if marked && same_name {
            return Some(Evidence::Marked);
        }
    }
    if reference.is_none() && volume.place.ends_with(&format!("_{namespace}_{name}")) {
        return Some(Evidence::ByPlace);
    }
    let claim = reference.filter(|claim| claim.name == name)?;
    match (claim.namespace == namespace, &claim.uid) {
        (true, Some(_)) => Some(Evidence::Claimed),
        (true, None) => Some(Evidence::Reserved),
        (false, _) if expected.class().is_some_and(|class| class != volume.class) => None,
        (false, _) => Some(Evidence::SameName(claim.namespace.clone())),
    }
}

/// What says that a volume is somebody else's: such a one is never written to, whoever asks.
pub fn contradiction(volume: &Volume, environment: &str) -> Option<String> {
    let marks = volume.marks.as_ref().filter(|marks| marks.environment != environment)?;
    Some(format!("pv/{} belongs to {}", volume.name, marks.environment))
}

/// What stands against binding a volume to a claim.
pub fn obstacle(volume: &Volume, claim: &Expected) -> Option<String> {
    let mode = claim.mode();
    if volume.deleting {
        return Some("it is being deleted, and Kubernetes cannot take that back: its bytes may be there still".into());
    }
    if volume.mode != mode {
        return Some(format!("it is of mode {}, and the claim wants {mode}", volume.mode));
    }
    if volume.read_only && claim.writes() {
        return Some("it can only be read (ReadOnlyMany), and the claim wants to write".into());
    }
    if volume.reachable == Some(false) {
        return Some("no node of the cluster can mount it: the node or zone that it is bound to is not there".into());
    }
    None
}

/// What is worth knowing of a volume that is adopted all the same.
pub fn remarks(volume: &Volume, spec: &Value) -> Vec<String> {
    let mut remarks = Vec::new();
    let wanted = spec.pointer("/resources/requests/storage").and_then(Value::as_str).and_then(bytes);
    if let (Some(wanted), Some(there)) = (wanted, volume.capacity)
        && there < wanted
    {
        remarks.push(format!("smaller than the {} of the kit", size(wanted)));
    }
    if let Some(class) = spec.get("storageClassName").and_then(Value::as_str)
        && class != volume.class
    {
        let of = if volume.class.is_empty() { "no class".to_owned() } else { format!("class {}", volume.class) };
        remarks.push(format!("of {of}, the kit says {class}"));
    }
    if volume.policy != "Retain" {
        remarks.push(format!("policy {}, set to Retain first", volume.policy));
    }
    if volume.phase == "Failed" {
        remarks.push("its reclaim failed".into());
    }
    remarks
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn volume(extra: Value) -> Volume {
        let mut live = json!({
            "metadata": {"name": "pv-1", "uid": "u"},
            "spec": {"capacity": {"storage": "10Gi"}, "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/x"}},
            "status": {"phase": "Released"},
        });
        for (pointer, value) in extra.as_object().into_iter().flatten() {
            let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
            if let Some(parent) = live.pointer_mut(parent).and_then(Value::as_object_mut) {
                parent.insert(key.to_owned(), value.clone());
            }
        }
        Volume::of(&live, Some(&[BTreeMap::from([("zone".to_owned(), "a".to_owned())])]))
    }

    fn judged(extra: Value) -> Option<Evidence> {
        let maker = crate::data::claims::Maker::Kit;
        let claim = Expected {
            namespace: "shop".into(),
            name: "data".into(),
            data_set: None,
            phase: String::new(),
            maker,
            body: json!({"spec": {"storageClassName": "fast"}}),
            origin: crate::manifest::Origin::default(),
        };
        evidence(&volume(extra), "shop", &claim)
    }

    #[test]
    fn evidence_is_read_from_references_and_marks() {
        let claim = |namespace: &str, name: &str| json!({"namespace": namespace, "name": name, "uid": "old"});
        let marks = |environment: &str| json!({"rekindle.dev/environment": environment});
        let of = |claim: &str| json!({CLAIM_ANNOTATION: claim});
        for (extra, expected) in [
            (json!({"/spec/claimRef": claim("shop", "data")}), Some(Evidence::Claimed)),
            (json!({"/spec/claimRef": {"namespace": "shop", "name": "data"}}), Some(Evidence::Reserved)),
            (json!({"/spec/claimRef": claim("old", "data")}), None),
            (
                json!({"/spec/claimRef": claim("old", "data"), "/spec/storageClassName": "fast"}),
                Some(Evidence::SameName("old".into())),
            ),
            (json!({"/spec/claimRef": claim("shop", "other")}), None),
            (json!({}), None),
            (
                json!({"/metadata/labels": marks("shop"), "/metadata/annotations": of("shop/data")}),
                Some(Evidence::Marked),
            ),
            (
                json!({"/metadata/labels": marks("shop"), "/metadata/annotations": of("old/data"), "/spec/claimRef": claim("old", "data")}),
                Some(Evidence::Marked),
            ),
            (
                json!({"/metadata/labels": marks("shop"), "/metadata/annotations": of("shop/data"), "/spec/claimRef": claim("x", "y")}),
                None,
            ),
            (json!({"/metadata/labels": marks("other"), "/spec/claimRef": claim("shop", "data")}), None),
            (json!({"/spec/claimRef": claim("old", "data"), "/status/phase": "Bound"}), None),
        ] {
            assert_eq!(judged(extra.clone()), expected, "{extra}");
        }
    }

    #[test]
    fn a_volume_whose_node_or_zone_is_gone_is_not_reachable() {
        let affinity = |operator: &str, values: Value| {
            let term = json!({"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]});
            volume(json!({"/spec/nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}})).reachable
        };
        assert_eq!(affinity("In", json!(["a", "b"])), Some(true));
        assert_eq!(affinity("In", json!(["b"])), Some(false));
        assert_eq!(affinity("NotIn", json!(["a"])), Some(false));
        assert_eq!(affinity("Exists", json!([])), Some(true));
        assert_eq!(affinity("DoesNotExist", json!([])), Some(false));
        assert_eq!(volume(json!({})).reachable, Some(true));
    }

    #[test]
    fn what_is_unusual_is_remarked() {
        let spec = json!({"resources": {"requests": {"storage": "20Gi"}}, "storageClassName": "fast"});
        let odd = volume(json!({"/spec/persistentVolumeReclaimPolicy": "Delete", "/status/phase": "Failed"}));
        assert_eq!(
            remarks(&odd, &spec),
            [
                "smaller than the 20 GiB of the kit",
                "of no class, the kit says fast",
                "policy Delete, set to Retain first",
                "its reclaim failed"
            ]
        );
    }

    #[test]
    fn a_disk_is_known_where_only_one_may_write() {
        let csi = |modes: Value, handle: &str| {
            volume(json!({"/spec/accessModes": modes, "/spec/csi": {"driver": "ebs", "volumeHandle": handle}}))
        };
        assert_eq!(csi(json!(["ReadWriteOnce"]), "vol-1").disk.as_deref(), Some("ebs vol-1"));
        assert_eq!(
            csi(json!(["ReadWriteMany"]), "fs-1").disk,
            None,
            "shared file systems have several volumes by design"
        );
        let folder = |node: &str| {
            let terms = json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": [node]}]}]);
            let affinity = json!({"required": {"nodeSelectorTerms": terms}});
            volume(json!({"/spec/accessModes": ["ReadWriteOnce"], "/spec/nodeAffinity": affinity})).disk
        };
        assert!(folder("a").is_some_and(|disk| disk.starts_with("/x ")));
        assert_ne!(folder("a"), folder("b"), "the same folder of another node");
        assert_eq!(volume(json!({"/spec/accessModes": ["ReadWriteOnce"]})).disk, None, "nobody knows of which node");
        assert!(volume(json!({"/spec/accessModes": ["ReadOnlyMany"]})).read_only);
        assert!(!volume(json!({"/spec/accessModes": ["ReadOnlyMany", "ReadWriteOnce"]})).read_only);
        assert!(!volume(json!({})).read_only);
    }

    #[test]
    fn facts_are_one_line() {
        let now: jiff::Timestamp = "2026-03-02T15:00:00Z".parse().unwrap_or_default();
        let volume = volume(json!({
            "/spec/claimRef": {"namespace": "shop", "name": "data", "uid": "x"},
            "/status/lastPhaseTransitionTime": "2026-03-02T14:46:00Z", "/spec/storageClassName": "fast",
        }));
        assert_eq!(volume.facts(now), "released 14 minutes ago, 10 GiB, class fast, /x, held shop/data");
    }
}

//! Reading what is there: one LIST per kind and namespace in use, nothing written.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use kube::core::Request;
use kube::{Resource as _, api::DynamicObject};
use serde_json::Value;

use super::connect::{patiently, timed};
use super::inventory::{Inventory, desired_hash};
use super::kinds::ServedKind;
use super::{Cluster, ClusterError};
use crate::health::status::{READY_ANNOTATION, Related, Status, pods_of, status};
use crate::kit::Rendered;
use crate::manifest::{Object, ObjectKey};
use crate::plan::decide::HAS_FINISHED;
use crate::plan::standing::Standing;
use crate::plan::{Item, Labels, Plan, as_sent, full_name};

/// LISTs under way at once.
const CONCURRENCY: usize = 8;

/// Objects per page of a LIST.
const PAGE: u32 = 500;

/// How often a list is begun anew that the API server forgets before its last page.
const LISTS_ANEW: usize = 3;

/// Label that every applied object carries: the environment's name.
pub const ENVIRONMENT_LABEL: &str = "rekindle.dev/environment";

/// Label of an instance's objects.
pub const INSTANCE_LABEL: &str = "rekindle.dev/instance";

/// Kinds without a status worth reading: of these only the metadata is fetched, so that the data of Secrets never
/// travels for a comparison.
const WITHOUT_STATUS: &[(&str, &str)] = &[
    ("", "ConfigMap"),
    ("", "Secret"),
    ("", "ServiceAccount"),
    ("", "LimitRange"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("networking.k8s.io", "IngressClass"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("node.k8s.io", "RuntimeClass"),
];

/// Whether objects of a kind are ready as soon as they exist.
pub fn has_no_status(group: &str, kind: &str) -> bool {
    WITHOUT_STATUS.contains(&(group, kind))
}

/// Whether the metadata of an object says all that its health depends on: its kind has no status, and no expression of its own
/// reads what it holds.
pub fn metadata_says_all(object: &Object) -> bool {
    has_no_status(object.group(), object.kind()) && object.annotation(READY_ANNOTATION).is_none()
}

/// A set of LISTs: which kinds, where, and whether metadata is enough.
pub type Places = BTreeMap<(String, String, Option<String>), (ServedKind, bool)>;

/// The kinds and namespaces in which a set of objects lives, as far as the cluster serves their kinds.
pub fn places<'a>(cluster: &Cluster, objects: impl IntoIterator<Item = &'a Object>) -> Places {
    let mut places = Places::new();
    for object in objects {
        let Some(kind) = cluster.kinds.of(object) else { continue };
        let namespace = object.namespace().filter(|_| kind.namespaced).map(str::to_owned);
        let place = (object.api_version().to_owned(), object.kind().to_owned(), namespace);
        places.entry(place).or_insert_with(|| (kind.clone(), true)).1 &= metadata_says_all(object);
    }
    places
}

/// The key of a live object; `apiVersion` and `kind` come from the LIST it was in.
pub fn live_key(kind: &ServedKind, live: &Value) -> ObjectKey {
    let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    ObjectKey {
        group: kind.resource.group.clone(),
        kind: kind.resource.kind.clone(),
        namespace: kind.namespaced.then(|| text("/metadata/namespace")),
        name: text("/metadata/name"),
    }
}

/// Selects the objects of an environment.
pub fn selector(environment: &str, instance: Option<&str>) -> String {
    match instance {
        Some(instance) => format!("{ENVIRONMENT_LABEL}={environment},{INSTANCE_LABEL}={instance}"),
        None => format!("{ENVIRONMENT_LABEL}={environment},!{INSTANCE_LABEL}"),
    }
}

/// The environment that a live object is labelled for: its name with the instance, and the selector of its objects.
pub fn environment_of(live: &Value) -> Option<(String, String)> {
    let label = |name: &str| live.get("metadata")?.get("labels")?.get(name)?.as_str();
    let (environment, instance) = (label(ENVIRONMENT_LABEL)?, label(INSTANCE_LABEL));
    let name = instance.map_or_else(|| environment.to_owned(), |instance| format!("{environment}/{instance}"));
    Some((name, selector(environment, instance)))
}

/// All objects of a kind in a namespace (or everywhere), whole or only their metadata.
///
/// # Errors
/// When the cluster does not answer or does not let us.
pub async fn list(
    cluster: &Cluster,
    kind: &ServedKind,
    namespace: Option<&str>,
    labels: Option<&str>,
    metadata_only: bool,
) -> Result<Vec<Value>, ClusterError> {
    let path = DynamicObject::url_path(&kind.resource, namespace.filter(|_| kind.namespaced));
    let (mut found, mut anew) = (Vec::new(), 0);
    let mut params = ListParams::default().limit(PAGE);
    params.label_selector = labels.map(str::to_owned);
    loop {
        let request = Request::new(path.clone());
        let request = if metadata_only { request.list_metadata(&params) } else { request.list(&params) };
        let request = request.map_err(|error| ClusterError::Kubeconfig(error.to_string()))?;
        let mut page: Value = match patiently(&cluster.server, || cluster.client.request(request.clone())).await {
            // The server keeps a list for five minutes, and less when much is written; what has been read of it is out of date.
            Err(ClusterError::Status { code: 410, .. }) if params.continue_token.is_some() && anew < LISTS_ANEW => {
                anew += 1;
                found.clear();
                params.continue_token = None;
                continue;
            }
            page => page?,
        };
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            found.extend(items.into_iter().map(|mut item| {
                // Items of a typed list carry no kind of their own.
                if let Some(item) = item.as_object_mut() {
                    item.insert("apiVersion".into(), kind.resource.api_version.clone().into());
                    item.insert("kind".into(), kind.resource.kind.clone().into());
                }
                item
            }));
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(token),
            None => return Ok(found),
        }
    }
}

/// Every live object of the environment in the given places, by key.
///
/// # Errors
/// When the cluster does not answer or does not let us list a kind.
pub async fn survey(
    cluster: &Cluster,
    places: &Places,
    labels: &str,
) -> Result<HashMap<ObjectKey, Value>, ClusterError> {
    let lists = places.iter().map(|((_, _, namespace), (kind, metadata_only))| async move {
        let items = list(cluster, kind, namespace.as_deref(), Some(labels), *metadata_only).await?;
        Ok::<_, ClusterError>(items.into_iter().map(|live| (live_key(kind, &live), live)).collect::<Vec<_>>())
    });
    let pages: Vec<_> = stream::iter(lists).buffer_unordered(CONCURRENCY).try_collect().await?;
    Ok(pages.into_iter().flatten().collect())
}

/// What stands where a plan wants to put its objects, and what the inventory says. One LIST for each kind and namespace in use;
/// where objects of the plan are not among what is labelled for an environment, one more of what is not, metadata only.
///
/// # Errors
/// When the cluster does not answer, or does not let us list a kind or read the inventory.
pub async fn standing(cluster: &Cluster, plan: &Plan) -> Result<Standing, ClusterError> {
    let items = || plan.phases.iter().flat_map(|phase| &phase.items);
    let places = places(cluster, items().map(|item| &item.object));
    let (labelled, inventory) =
        tokio::join!(survey(cluster, &places, ENVIRONMENT_LABEL), Inventory::read(cluster, &plan.environment));
    let mut found = labelled?;
    let missing: HashMap<&ObjectKey, &Item> =
        items().filter(|item| !found.contains_key(&item.key)).map(|item| (&item.key, item)).collect();
    let others = self::places(cluster, missing.values().map(|item| &item.object));
    let lists = others.iter().map(|((_, _, namespace), (kind, _))| async move {
        let items = list(cluster, kind, namespace.as_deref(), Some(WITHOUT_ENVIRONMENT), true).await?;
        Ok::<_, ClusterError>(items.into_iter().map(|live| (live_key(kind, &live), live)).collect::<Vec<_>>())
    });
    let pages: Vec<_> = stream::iter(lists).buffer_unordered(CONCURRENCY).try_collect().await?;
    let strangers: Vec<_> = pages.into_iter().flatten().filter(|(key, _)| missing.contains_key(key)).collect();
    found.extend(strangers);
    Ok(Standing::of(&plan.selector, inventory?, found))
}

/// Selects what no environment has.
const WITHOUT_ENVIRONMENT: &str = "!rekindle.dev/environment";

/// An object of the kit beside what the cluster has.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Its phase.
    pub phase: String,
    /// As the kit says.
    pub object: Object,
    /// As the cluster has it; `None` when it is not there.
    pub live: Option<Value>,
    /// The verdict; `None` when it is missing. A Job may be gone and yet have done its work.
    pub status: Option<Status>,
}

/// Objects that verdicts on others may need: pods, ReplicaSets, StorageClasses, CRDs.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Pods of the namespaces in use.
    pub pods: Vec<Value>,
    /// ReplicaSets of the namespaces in use.
    pub replica_sets: Vec<Value>,
    /// All StorageClasses.
    pub storage_classes: Vec<Value>,
    /// The CustomResourceDefinitions of the kit.
    pub definitions: Vec<Value>,
}

/// The CustomResourceDefinition that makes an object's kind, if it is among these.
pub fn definition_of<'a>(definitions: &'a [Value], object: &Object) -> Option<&'a Value> {
    definitions.iter().find(|definition| {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str);
        text("/spec/group") == Some(object.group()) && text("/spec/names/kind") == Some(object.kind())
    })
}

/// The CustomResourceDefinitions among objects.
pub fn definitions<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<Value> {
    let definitions = objects.into_iter().filter(|object| object.kind() == "CustomResourceDefinition");
    definitions.map(|object| object.body().clone()).collect()
}

impl Surroundings {
    /// Reads them. What may not be read is left out: verdicts are then based on less.
    pub async fn read(cluster: &Cluster, namespaces: &BTreeSet<String>) -> Self {
        let list_all = |api_version: &'static str, kind: &'static str, namespace: Option<String>| async move {
            match cluster.kinds.get(api_version, kind) {
                Some(kind) => list(cluster, kind, namespace.as_deref(), None, false).await.unwrap_or_default(),
                None => Vec::new(),
            }
        };
        let everywhere = |api_version, kind| async move {
            let lists = namespaces.iter().map(|namespace| list_all(api_version, kind, Some(namespace.clone())));
            futures::future::join_all(lists).await.concat()
        };
        let (pods, replica_sets, storage_classes) = tokio::join!(
            everywhere("v1", "Pod"),
            everywhere("apps/v1", "ReplicaSet"),
            list_all("storage.k8s.io/v1", "StorageClass", None),
        );
        Self { pods, replica_sets, storage_classes, definitions: Vec::new() }
    }

    /// The verdict on a live object of the kit.
    pub fn judge(&self, object: &Object, live: &Value) -> Status {
        let in_namespace =
            |other: &&Value| other.pointer("/metadata/namespace").and_then(Value::as_str) == object.namespace();
        let pods: Vec<&Value> = self.pods.iter().filter(in_namespace).collect();
        let replica_sets: Vec<&Value> = self.replica_sets.iter().filter(in_namespace).collect();
        let own = pods_of(live, &pods, &replica_sets);
        let storage_classes: Vec<&Value> = self.storage_classes.iter().collect();
        let crd = definition_of(&self.definitions, object);
        status(live, Related { pods: &own, storage_classes: &storage_classes, crd, ..Related::default() })
    }
}

/// The live values of the keys of Secrets whose rendered value holds a mark: what stands there in truth. Secrets that may not
/// be read are left out.
pub async fn live_values(cluster: &Cluster, rendered: &Rendered, mark: &str) -> Vec<String> {
    let objects = rendered.phases.iter().flat_map(|phase| &phase.objects);
    let secrets = objects.filter(|object| object.group().is_empty() && object.kind() == "Secret");
    let reads = secrets.map(|object| async move {
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(cluster.client.clone(), namespace);
        let live = timed(&cluster.server, api.get_opt(object.name())).await.ok().flatten()?.data?;
        let marked = |part: &str| {
            let values = object.body().get(part).and_then(Value::as_object).into_iter().flatten();
            let holds = |value: &Value| {
                let text = value.as_str().unwrap_or_default();
                let decoded = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                text.contains(mark) || decoded.is_some_and(|decoded| decoded.contains(mark))
            };
            values.filter(move |(_, value)| holds(value)).map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let keys = [marked("stringData"), marked("data")].concat();
        let value = |key: &String| live.get(key).and_then(|value| String::from_utf8(value.0.clone()).ok());
        Some(keys.iter().filter_map(value).collect::<Vec<_>>())
    });
    stream::iter(reads).buffer_unordered(CONCURRENCY).filter_map(|values| async { values }).concat().await
}

/// Reads every object of a rendered environment and judges it.
///
/// # Errors
/// When the cluster does not answer or does not let us list a kind.
pub async fn observe(cluster: &Cluster, rendered: &Rendered) -> Result<Vec<Observed>, ClusterError> {
    let environment = &rendered.environment;
    let objects = || rendered.phases.iter().flat_map(|phase| &phase.objects);
    let namespaces = objects().filter_map(|object| object.namespace().map(str::to_owned)).collect();
    let labels = selector(&environment.name, environment.instance.as_deref());
    let (places, surroundings) = (places(cluster, objects()), Surroundings::read(cluster, &namespaces));
    let name = full_name(&environment.name, environment.instance.as_deref());
    let inventory = Inventory::read(cluster, &name);
    let (live, surroundings, inventory) = tokio::join!(survey(cluster, &places, &labels), surroundings, inventory);
    let surroundings = Surroundings { definitions: definitions(objects()), ..surroundings };
    let mut live = live?;
    // Who may not read the record sees Jobs that are gone after their work as missing.
    let inventory = inventory.ok().flatten().unwrap_or_default();
    let own = Labels::of(environment);
    let has_finished = |object: &&Object| {
        let namespace = object.namespace().and_then(|name| live.get(&ObjectKey::of_namespace(name)));
        !live.contains_key(&object.key())
            && inventory.has_finished(&object.key(), &desired_hash(as_sent(object, &own).body()), namespace)
    };
    let finished: HashSet<ObjectKey> = objects().filter(has_finished).map(Object::key).collect();
    Ok(rendered
        .phases
        .iter()
        .flat_map(|phase| phase.objects.iter().map(|object| (phase.name.clone(), object.clone())))
        .map(|(phase, object)| {
            let live = live.remove(&object.key());
            let status = match &live {
                Some(live) => Some(surroundings.judge(&object, live)),
                None if finished.contains(&object.key()) => Some(Status::Ready { reason: HAS_FINISHED.to_owned() }),
                None => None,
            };
            Observed { phase, object, live, status }
        })
        .collect())
}

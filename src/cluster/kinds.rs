//! Discovery: which kinds the cluster serves, under which paths, in which scope.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kube::Client;
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{Discovery, Scope, verbs};

use super::ClusterError;
use super::connect::timed;
use crate::manifest::Object;

/// A kind that the cluster serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServedKind {
    /// Names it in paths.
    pub resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// All kinds served at one moment. Cheap to clone.
#[derive(Clone, Default)]
pub struct Kinds {
    served: Arc<HashMap<(String, String), ServedKind>>,
    /// Of each kind the most stable version, with whether its objects can be listed and deleted.
    stable: Arc<BTreeMap<(String, String), (ServedKind, bool)>>,
}

impl Kinds {
    /// Asks the cluster: two requests where it knows aggregated discovery, one per group version otherwise.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn discover(client: &Client, server: &str) -> Result<Self, ClusterError> {
        let discovery = match timed(server, Discovery::new(client.clone()).run_aggregated()).await {
            Ok(discovery) => discovery,
            Err(ClusterError::Unreachable { server, reason }) if !reason.contains("deserializ") => {
                return Err(ClusterError::Unreachable { server, reason });
            }
            Err(_) => timed(server, Discovery::new(client.clone()).run()).await?,
        };
        let (mut served, mut stable) = (HashMap::new(), BTreeMap::new());
        for group in discovery.groups() {
            for (resource, capabilities) in group.resources_by_stability() {
                let removable = [verbs::LIST, verbs::DELETE].iter().all(|verb| capabilities.supports_operation(verb));
                let key = (resource.group.clone(), resource.kind.clone());
                let kind = ServedKind { resource, namespaced: capabilities.scope == Scope::Namespaced };
                stable.insert(key, (kind, removable));
            }
            for version in group.versions() {
                for (resource, capabilities) in group.versioned_resources(version) {
                    served.insert(
                        (resource.api_version.clone(), resource.kind.clone()),
                        ServedKind { resource, namespaced: capabilities.scope == Scope::Namespaced },
                    );
                }
            }
        }
        Ok(Self { served: Arc::new(served), stable: Arc::new(stable) })
    }

    /// A kind by its group and name, in its most stable version.
    pub fn stable(&self, group: &str, kind: &str) -> Option<&ServedKind> {
        self.stable.get(&(group.to_owned(), kind.to_owned())).map(|(kind, _)| kind)
    }

    /// Every kind whose objects can be listed and deleted, each once, in its most stable version.
    pub fn removable(&self) -> impl Iterator<Item = &ServedKind> {
        self.stable.values().filter(|(_, removable)| *removable).map(|(kind, _)| kind)
    }

    /// The kind of an object, if the cluster serves it.
    pub fn of(&self, object: &Object) -> Option<&ServedKind> {
        self.get(object.api_version(), object.kind())
    }

    /// A kind by its `apiVersion` and name.
    pub fn get(&self, api_version: &str, kind: &str) -> Option<&ServedKind> {
        self.served.get(&(api_version.to_owned(), kind.to_owned()))
    }

    /// Whether all kinds of a CustomResourceDefinition (given as its object) are served.
    pub fn serves_definition(&self, definition: &serde_json::Value) -> bool {
        let text = |pointer: &str| definition.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
        definition.pointer("/spec/versions").and_then(serde_json::Value::as_array).is_some_and(|versions| {
            versions
                .iter()
                .filter(|version| version.get("served").and_then(serde_json::Value::as_bool) == Some(true))
                .filter_map(|version| version.get("name").and_then(serde_json::Value::as_str))
                .all(|version| self.get(&GroupVersionKind::gvk(group, version, kind).api_version(), kind).is_some())
        })
    }
}

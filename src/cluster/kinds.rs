//! Discovery: which kinds the cluster serves, under which paths, in which scope.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kube::Client;
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{Discovery, Scope, verbs};

use super::ClusterError;
use super::connect::patiently;
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
        // A server or a proxy that does not know aggregated discovery answers with a list that reads as an empty one.
        let has_core = |discovery: &Discovery| discovery.has_group("");
        let discovery = match patiently(server, || Discovery::new(client.clone()).run_aggregated()).await {
            Ok(discovery) if has_core(&discovery) => discovery,
            Err(ClusterError::Unreachable { server, reason }) if !reason.contains("deserializ") => {
                return Err(ClusterError::Unreachable { server, reason });
            }
            Ok(_) | Err(_) => patiently(server, || Discovery::new(client.clone()).run()).await?,
        };
        if !has_core(&discovery) {
            let (server, reason) = (server.to_owned(), "it does not say which kinds it serves".to_owned());
            return Err(ClusterError::Unreachable { server, reason });
        }
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

    /// These kinds, for tests; all can be listed and deleted.
    #[cfg(test)]
    pub(crate) fn serving(kinds: impl Iterator<Item = ServedKind>) -> Self {
        let (mut served, mut stable) = (HashMap::new(), BTreeMap::new());
        for kind in kinds {
            let resource = &kind.resource;
            served.insert((resource.api_version.clone(), resource.kind.clone()), kind.clone());
            stable.insert((resource.group.clone(), resource.kind.clone()), (kind, true));
        }
        Self { served: Arc::new(served), stable: Arc::new(stable) }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::cluster::mock::server;

    #[tokio::test]
    async fn a_server_without_aggregated_discovery_is_asked_as_of_old() {
        let secrets = json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
            {"name": "secrets", "singularName": "secret", "namespaced": true, "kind": "Secret", "verbs": ["get", "list"]}]});
        let (client, _) = server(vec![
            ("/apis", StatusCode::OK, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
            ("/api/v1", StatusCode::OK, secrets),
            ("/api", StatusCode::OK, json!({"kind": "APIVersions", "versions": ["v1"]})),
        ]);
        let kinds = Kinds::discover(&client, "https://test").await.unwrap();
        assert!(kinds.stable("", "Secret").is_some());
    }

    #[tokio::test]
    async fn a_server_that_serves_nothing_is_none() {
        let (client, _) = server(vec![
            ("/apis", StatusCode::OK, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
            ("/api", StatusCode::OK, json!({"kind": "APIVersions", "versions": []})),
        ]);
        assert!(Kinds::discover(&client, "https://test").await.is_err());
    }
}

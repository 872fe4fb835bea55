//! Which kinds there are, as the API server tells: aggregated, and one answer a group version.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use kube::core::Version;
use serde_json::{Value, json};

use crate::manifest::schema::Kind;

/// Content type of an aggregated answer.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn gvk(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

/// The kind that a part of a kind is told as.
fn answered(kind: &Kind, part: &str) -> Value {
    if part == "scale" { json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}) } else { gvk(kind) }
}

/// Where a version stands among those of its group: stable ones before beta and alpha, newer ones first. Source: "Version priority"
/// of Kubernetes' documentation of CustomResourceDefinitions.
fn rank(version: &str) -> impl Ord + use<> {
    Reverse(Version::parse(version).priority())
}

/// The answer to `GET /api` (`core`) or `GET /apis` for those who take an `APIGroupDiscoveryList`.
pub fn aggregated(kinds: &[Arc<Kind>], core: bool) -> Value {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<Value>>> = BTreeMap::new();
    for kind in kinds.iter().filter(|kind| kind.group.is_empty() == core) {
        let parts: Vec<Value> = kind
            .parts
            .iter()
            .map(|part| json!({"subresource": part, "responseKind": answered(kind, part), "verbs": ["get", "patch", "update"]}))
            .collect();
        groups.entry(&kind.group).or_default().entry(&kind.version).or_default().push(json!({
            "resource": kind.resource, "responseKind": gvk(kind),
            "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": kind.singular, "verbs": kind.verbs, "shortNames": kind.short,
            "categories": kind.categories, "subresources": parts,
        }));
    }
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let mut versions: Vec<_> = versions.into_iter().collect();
            versions.sort_by_cached_key(|(version, _)| rank(version));
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|(version, resources)| json!({"version": version, "resources": resources, "freshness": "Current"}))
                .collect();
            json!({"metadata": {"name": group}, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

/// The answer to `GET /apis` for everybody else.
pub fn groups(kinds: &[Arc<Kind>]) -> Value {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in kinds.iter().filter(|kind| !kind.group.is_empty()) {
        let versions = groups.entry(&kind.group).or_default();
        if !versions.contains(&kind.version.as_str()) {
            versions.push(&kind.version);
        }
    }
    let groups: Vec<Value> = groups
        .into_iter()
        .map(|(group, mut versions)| {
            versions.sort_by_cached_key(|version| rank(version));
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
                .collect();
            let preferred = versions.first().cloned().unwrap_or_default();
            json!({"name": group, "versions": versions, "preferredVersion": preferred})
        })
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// The answer to `GET /api/v1` and `GET /apis/GROUP/VERSION`; `None` when nothing is served there.
pub fn resources(kinds: &[Arc<Kind>], group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.group == group && kind.version == version) {
        resources.push(json!({
            "name": kind.resource, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": kind.verbs, "shortNames": kind.short, "categories": kind.categories,
        }));
        resources.extend(kind.parts.iter().map(|part| {
            let answered = answered(kind, part);
            let mut resource = json!({"name": format!("{}/{part}", kind.resource), "singularName": "",
                "namespaced": kind.namespaced, "kind": answered["kind"], "verbs": ["get", "patch", "update"]});
            if answered["group"] != kind.group.as_str() {
                resource["group"] = answered["group"].clone();
                resource["version"] = answered["version"].clone();
            }
            resource
        }));
    }
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let found = !resources.is_empty();
    found.then(|| json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}))
}

/// `GET /openapi/v3` (empty `of`) and `GET /openapi/v3/apis/GROUP/VERSION`: no schemas, only as much as a client needs to know
/// that the server itself validates fields and makes dry runs.
pub fn openapi(kinds: &[Arc<Kind>], of: &str) -> Option<Value> {
    let path = |kind: &Kind| match kind.group.as_str() {
        "" => format!("api/{}", kind.version),
        group => format!("apis/{group}/{}", kind.version),
    };
    if of.is_empty() {
        let urls = kinds.iter().map(|kind| path(kind)).map(|path| {
            let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
            (path, url)
        });
        return Some(json!({"paths": urls.collect::<serde_json::Map<_, _>>()}));
    }
    let here: Vec<_> = kinds.iter().filter(|kind| path(kind) == of).collect();
    if here.is_empty() {
        return None;
    }
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let parameters = json!([parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")]);
    let paths = here.into_iter().map(|kind| {
        let space = if kind.namespaced { "namespaces/{namespace}/" } else { "" };
        let operation = json!({"parameters": parameters, "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": gvk(kind)});
        (format!("/{of}/{space}{}/{{name}}", kind.resource), json!({"patch": operation}))
    });
    let paths: serde_json::Map<_, _> = paths.collect();
    Some(json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "simulated"}, "paths": paths,
        "components": {"schemas": {}}}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::schema::kinds_of;

    #[test]
    fn versions_are_told_in_the_order_of_kubernetes() {
        let versions = ["v1beta1", "v2", "v10", "v1", "v1alpha2", "v2beta1", "v1beta2", "foo1"];
        let served: Vec<Value> = versions.iter().map(|name| json!({"name": name, "served": true})).collect();
        let definition =
            json!({"spec": {"group": "shop.example", "names": {"kind": "A", "plural": "as"}, "versions": served}});
        let kinds: Vec<Arc<Kind>> = kinds_of(&definition).into_iter().map(Arc::new).collect();
        let wanted = ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1beta1", "v1alpha2", "foo1"];
        for told in [&aggregated(&kinds, false)["items"][0]["versions"], &groups(&kinds)["groups"][0]["versions"]] {
            let told: Vec<&Value> = told.as_array().into_iter().flatten().map(|it| &it["version"]).collect();
            assert_eq!(told, wanted);
        }
    }
}

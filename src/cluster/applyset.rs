//! The marks by which kubectl and other tools recognise what belongs together: an ApplySet (KEP 3659). Every object carries the
//! id of its set as a label; the set's parent is the environment's inventory. The parent names Rekindle as the tool that
//! keeps it, so that `kubectl apply --prune --applyset` refuses to prune by it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::SYSTEM_NAMESPACE;
use crate::manifest::ObjectKey;

/// Label of a member: the id of its set.
pub const PART_OF_LABEL: &str = "applyset.kubernetes.io/part-of";

/// Label of the parent: the id of its own set.
pub const ID_LABEL: &str = "applyset.kubernetes.io/id";

/// The id of the set whose parent is a Secret of this name in Rekindle's namespace. It is computed from what the parent is
/// called, so nobody can make a second parent for the same members: `applyset-<base64url(sha256(name.namespace.kind.group))>-v1`.
pub fn id(parent: &str) -> String {
    // The group of Secrets is empty, the point before it stays.
    let hash = Sha256::digest(format!("{parent}.{SYSTEM_NAMESPACE}.Secret."));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(hash))
}

/// The annotations of a parent: who keeps it, which kinds its members are of, in which namespaces beside its own they live.
pub fn annotations<'a>(members: impl Iterator<Item = &'a ObjectKey> + Clone) -> Value {
    let kind = |key: &ObjectKey| match key.group.as_str() {
        "" => key.kind.clone(),
        group => format!("{}.{group}", key.kind),
    };
    let kinds: BTreeSet<String> = members.clone().map(kind).collect();
    let namespaces: BTreeSet<&str> = members.filter_map(|key| key.namespace.as_deref()).collect();
    let namespaces = namespaces.into_iter().filter(|name| *name != SYSTEM_NAMESPACE);
    json!({
        "applyset.kubernetes.io/tooling": concat!("rekindle/v", env!("CARGO_PKG_VERSION")),
        "applyset.kubernetes.io/contains-group-kinds": kinds.into_iter().collect::<Vec<_>>().join(","),
        "applyset.kubernetes.io/additional-namespaces": namespaces.collect::<Vec<_>>().join(","),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &str, kind: &str, namespace: Option<&str>) -> ObjectKey {
        ObjectKey { group: group.into(), kind: kind.into(), namespace: namespace.map(str::to_owned), name: "a".into() }
    }

    #[test]
    fn an_id_is_what_kubectl_computes() {
        // printf 'inventory-local.rekindle-system.Secret.' | openssl dgst -sha256 -binary | basenc --base64url
        assert_eq!(id("inventory-local"), "applyset-8hvMtL0qVix0q4NVg2fQpvKuB5wlrAZGWYZ7RTi1RKQ-v1");
        assert!(id("inventory-local").len() <= 63, "it is the value of a label");
    }

    #[test]
    fn a_parent_names_kinds_and_namespaces_sorted_and_once() {
        let keys = [
            key("apps", "Deployment", Some("b")),
            key("", "Secret", Some("a")),
            key("", "Secret", Some("b")),
            key("", "Namespace", None),
            key("", "ConfigMap", Some(SYSTEM_NAMESPACE)),
        ];
        let found = annotations(keys.iter());
        assert_eq!(found["applyset.kubernetes.io/contains-group-kinds"], "ConfigMap,Deployment.apps,Namespace,Secret");
        assert_eq!(found["applyset.kubernetes.io/additional-namespaces"], "a,b");
    }
}

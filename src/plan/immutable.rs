//! What to do when a field cannot be changed in place: for each kind the way that loses nothing, or a refusal that says how. Pure.
//!
//! Whatever is deleted is deleted by its UID and made again at once; a run that is cut in between is healed by the next one, which
//! finds nothing there and creates it.

use serde_json::Value;

use super::REPLACE_ANNOTATION;
use super::decide::Decision;
use super::proposal::Intent;
use crate::manifest::Object;
use crate::manifest::kinds::holds_data;

/// How an object is made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// [`Intent::Replace`], or [`Intent::Recreate`] where what it made runs on.
    pub intent: Intent,
    /// Whether what it owns stays: deletion with `propagationPolicy: Orphan` instead of `Foreground`.
    pub orphan: bool,
    /// Why, for people.
    pub reason: String,
}

/// What is decided about an object that the API server does not change in place: how to make it again, or how to go on without.
///
/// `live` is the object as it is, `message` what the API server says about the change.
///
/// # Errors
/// Why it is refused, and what a person can do: a fragment that follows the server's message.
pub fn strategy(object: &Object, live: &Value, message: &str) -> Result<Replacement, String> {
    let again =
        |orphan: bool, reason: &str| Ok(Replacement { intent: Intent::Replace, orphan, reason: reason.to_owned() });
    let allowed = object.annotation(REPLACE_ANNOTATION) == Some("allowed");
    match (object.group(), object.kind()) {
        ("", "PersistentVolumeClaim") => Err(claim(object, live, message)),
        ("", "PersistentVolume") => {
            Err("a volume stays what it is: put the old value back, or give the new one another name".into())
        }
        (group, kind) if holds_data(group, kind) => Err(format!(
            "everything in a {kind} goes with it, so it is never deleted to be made again: put the old value back, \
                 or give the new one another name"
        )),
        ("apps", "StatefulSet") => stateful_set(object, live, allowed),
        ("batch", "Job") => again(false, "the pods of a Job cannot be changed, so it is run again"),
        ("", "Secret") if text(live, "/type") == Some("kubernetes.io/service-account-token") && !allowed => {
            Err(how("its token would no longer be accepted"))
        }
        ("", "ConfigMap" | "Secret") => {
            again(true, "it cannot be changed; pods that have it keep the former content until they are made again")
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            again(true, "the role of a binding cannot be changed; for a moment nobody has it")
        }
        ("storage.k8s.io", "StorageClass") => again(true, "volumes that exist do not depend on their class"),
        _ if allowed => again(false, "it allows to be made again"),
        ("", "Service") => Err(how("it would get another address and not answer for a moment")),
        ("apps", "Deployment" | "DaemonSet" | "ReplicaSet") | ("", "Pod" | "ReplicationController") => {
            Err(how("all its pods would end before the new ones begin"))
        }
        _ => Err(how("what depends on it would lose it for a moment")),
    }
}

/// The decision that a plan shows for an object that the API server would not change in place.
pub fn decision(object: &Object, live: &Value, message: &str) -> Decision {
    match strategy(object, live, message) {
        Ok(replacement) => Decision::new(replacement.intent, replacement.reason),
        Err(how) => Decision::new(Intent::Refuse, format!("{message}; {how}")),
    }
}

fn how(loss: &str) -> String {
    format!(
        "it would have to be deleted and made again, and {loss}: put the old value back, or where that is harmless, say so with the \
         annotation {REPLACE_ANNOTATION}: allowed"
    )
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// A StatefulSet that is deleted without its pods finds them again by its selector, and leaves them as they are when their names,
/// labels and claims are those that it would give them. Source: `identityMatches` and `storageMatches` of the StatefulSet controller.
fn stateful_set(object: &Object, live: &Value, allowed: bool) -> Result<Replacement, String> {
    let wanted = object.body();
    let selector = |set: &Value| set.pointer("/spec/selector").cloned().unwrap_or_default();
    let claims = |set: &Value| -> Vec<String> {
        let templates = set.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array).into_iter().flatten();
        templates.filter_map(|template| text(template, "/metadata/name").map(str::to_owned)).collect()
    };
    let known = claims(live);
    let added: Vec<String> = claims(wanted).into_iter().filter(|name| !known.contains(name)).collect();
    let loss = if selector(wanted) != selector(live) {
        "with another selector it would not find its pods again, so they would all end".to_owned()
    } else if !added.is_empty() {
        format!("its pods do not have the claim {}, so they would all end", added.join(", "))
    } else {
        let reason = "it is deleted without its pods and made again: they run on, and it finds them by its selector";
        return Ok(Replacement { intent: Intent::Recreate, orphan: true, reason: reason.into() });
    };
    if !allowed {
        return Err(how(&loss));
    }
    if text(live, "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted") == Some("Delete") {
        return Err("its claims would be deleted with it: set persistentVolumeClaimRetentionPolicy.whenDeleted to Retain first, in a \
             run of its own"
            .into());
    }
    Ok(Replacement { intent: Intent::Replace, orphan: false, reason: loss })
}

fn claim(object: &Object, live: &Value, message: &str) -> String {
    const SIZE: &str = "/spec/resources/requests/storage";
    let class = text(live, "/spec/storageClassName").unwrap_or_default();
    let (wanted, is) = (text(object.body(), SIZE), text(live, SIZE));
    let bytes = |text: Option<&str>| text.and_then(quantity);
    match (bytes(wanted), bytes(is)) {
        (Some(less), Some(more)) if less < more => {
            let is = is.unwrap_or_default();
            format!("a claim never shrinks: write {is} or more, or give the smaller one another name and move the data")
        }
        (Some(more), Some(less)) if more > less && message.contains("resize") => {
            let class = if class.is_empty() { "its volume's class".to_owned() } else { format!("StorageClass/{class}") };
            format!("{class} does not let claims grow: set allowVolumeExpansion: true there if its driver can do it, or give the larger \
                 one another name and move the data")
        }
        (Some(more), Some(less)) if more > less && text(live, "/status/phase") != Some("Bound") => {
            "a claim can grow only once it is bound".into()
        }
        _ => "it holds data, so it is never deleted to be made again, and of a claim only the size can change: put the old value back, or \
              give the new one another name"
            .into(),
    }
}

/// A quantity as the API server reads it, e.g. `10Gi`, `1.5G`, `500m`; in units. Source: `resource.Quantity`.
pub fn quantity(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.or_else(|| Some((text.strip_suffix('E')?, 1e18))).unwrap_or((text, 1.0));
    number.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    fn object(api_version: &str, kind: &str, allowed: bool, rest: &Value) -> Object {
        let mut body = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
        if allowed {
            body["metadata"]["annotations"] = json!({REPLACE_ANNOTATION: "allowed"});
        }
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        Object::new(body, Origin::default()).unwrap()
    }

    const IMMUTABLE: &str = "field is immutable";

    #[test]
    fn every_kind_has_its_way() {
        use Intent::{Recreate, Refuse, Replace};
        for (api_version, kind, plain, allowed) in [
            ("batch/v1", "Job", Replace, Replace),
            ("v1", "ConfigMap", Replace, Replace),
            ("v1", "Secret", Replace, Replace),
            ("rbac.authorization.k8s.io/v1", "RoleBinding", Replace, Replace),
            ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", Replace, Replace),
            ("storage.k8s.io/v1", "StorageClass", Replace, Replace),
            ("apps/v1", "StatefulSet", Recreate, Recreate),
            ("apps/v1", "Deployment", Refuse, Replace),
            ("apps/v1", "DaemonSet", Refuse, Replace),
            ("v1", "Service", Refuse, Replace),
            ("v1", "Pod", Refuse, Replace),
            ("example.com/v1", "Thing", Refuse, Replace),
            ("v1", "PersistentVolumeClaim", Refuse, Refuse),
            ("v1", "PersistentVolume", Refuse, Refuse),
            ("v1", "Namespace", Refuse, Refuse),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition", Refuse, Refuse),
        ] {
            for (may, intent) in [(false, plain), (true, allowed)] {
                let decision = decision(&object(api_version, kind, may, &json!({})), &json!({}), IMMUTABLE);
                assert_eq!(decision.intent, intent, "{kind}, allowed: {may}: {decision:?}");
                assert!(!decision.reason.is_empty());
            }
        }
    }

    #[test]
    fn the_pods_of_a_stateful_set_run_on_only_when_it_would_find_them() {
        let set = |app: &str, claims: &[&str], policy: &str| {
            let claims: Vec<Value> = claims.iter().map(|name| json!({"metadata": {"name": name}})).collect();
            json!({"spec": {"serviceName": app, "selector": {"matchLabels": {"app": "db"}}, "volumeClaimTemplates": claims,
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": policy}}})
        };
        let mut other = set("a", &["data"], "Retain");
        other["spec"]["selector"]["matchLabels"]["app"] = json!("other");
        let live = set("a", &["data"], "Retain");
        for (kit, live, plain, allowed) in [
            (&set("b", &["data"], "Retain"), &live, Intent::Recreate, Intent::Recreate),
            (&set("a", &[], "Retain"), &live, Intent::Recreate, Intent::Recreate),
            (&set("a", &["data", "logs"], "Retain"), &live, Intent::Refuse, Intent::Replace),
            (&other, &live, Intent::Refuse, Intent::Replace),
            // Its claims would go with it.
            (&other, &set("a", &["data"], "Delete"), Intent::Refuse, Intent::Refuse),
            (&set("b", &["data"], "Delete"), &set("a", &["data"], "Delete"), Intent::Recreate, Intent::Recreate),
        ] {
            for (may, intent) in [(false, plain), (true, allowed)] {
                let decision = decision(&object("apps/v1", "StatefulSet", may, kit), live, IMMUTABLE);
                assert_eq!(decision.intent, intent, "{kit} {live}: {decision:?}");
            }
        }
    }

    #[test]
    fn a_claim_says_why_it_stays_as_it_is() {
        let claim = |size: &str| {
            json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": size}}},
            "status": {"phase": "Bound"}})
        };
        let told = |wanted: &str, is: &str, message: &str| {
            strategy(&object("v1", "PersistentVolumeClaim", true, &claim(wanted)), &claim(is), message).unwrap_err()
        };
        assert!(
            told("1Gi", "2Gi", "field can not be less than status.capacity")
                .starts_with("a claim never shrinks: write 2Gi")
        );
        let growing = told(
            "3Gi",
            "2048Mi",
            "only dynamically provisioned pvc can be resized and the storageclass must support resize",
        );
        assert!(growing.starts_with("StorageClass/fast does not let claims grow"), "{growing}");
        assert!(told("2Gi", "2Gi", IMMUTABLE).contains("of a claim only the size can change"));
        let mut waiting = claim("2Gi");
        waiting["status"]["phase"] = json!("Pending");
        let wanted = object("v1", "PersistentVolumeClaim", false, &claim("3Gi"));
        assert_eq!(strategy(&wanted, &waiting, IMMUTABLE), Err("a claim can grow only once it is bound".into()));
    }

    #[test]
    fn quantities() {
        for (text, bytes) in
            [("1Ki", 1024.0), ("1.5G", 1.5e9), ("2", 2.0), ("500m", 0.5), ("1e3", 1000.0), ("3E", 3e18)]
        {
            assert_eq!(quantity(text), Some(bytes), "{text}");
        }
        assert_eq!(quantity("much"), None);
    }

    proptest! {
        #[test]
        fn no_annotation_deletes_what_holds_data(allowed: bool, message in ".*", kind in 0..4_usize) {
            let (api_version, kind) = [("v1", "PersistentVolumeClaim"), ("v1", "PersistentVolume"), ("v1", "Namespace"),
                ("apiextensions.k8s.io/v1", "CustomResourceDefinition")][kind];
            let nothing = json!({});
            let decided = strategy(&object(api_version, kind, allowed, &nothing), &nothing, &message);
            prop_assert!(decided.is_err());
        }
    }
}

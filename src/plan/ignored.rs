//! Fields that the kit gives up with `rekindle.dev/ignore-fields`: it says what they are at first, and leaves them to others from
//! then on. Pure.

use serde_json::Value;

use crate::cluster::FIELD_MANAGER;
use crate::manifest::Object;
use crate::manifest::field_path::FieldPath;
use crate::manifest::managed_fields::{covered, held_alone};

/// Annotation with the paths of the fields, separated by commas.
pub const IGNORE_ANNOTATION: &str = "rekindle.dev/ignore-fields";

/// The paths that an object gives up.
pub fn ignored(object: &Object) -> Vec<FieldPath> {
    let text = object.annotation(IGNORE_ANNOTATION).unwrap_or_default();
    FieldPath::list(text).into_iter().filter_map(Result::ok).collect()
}

/// What is wrong with the paths that an object gives up.
pub fn faults(object: &Object) -> Vec<String> {
    let text = object.annotation(IGNORE_ANNOTATION).unwrap_or_default();
    let paths = FieldPath::list(text);
    if paths.is_empty() {
        return vec!["names no field".into()];
    }
    let fault = |path: Result<FieldPath, (String, String)>| match path {
        Err((text, wrong)) => Some(format!("{text} {wrong}")),
        Ok(path) if path.names().first() == Some(&"stringData") => {
            Some(format!("{path} cannot be given up: the API server turns it into data, write it there"))
        }
        Ok(path) if is_needed(&path) => Some(format!("{path} cannot be given up, Rekindle needs it")),
        Ok(path) if path.get(object.body()).is_none() => Some(format!("{path} is no field of this object")),
        Ok(_) => None,
    };
    paths.into_iter().filter_map(fault).collect()
}

/// What names an object and tells whose it is.
fn is_needed(path: &FieldPath) -> bool {
    match path.names().as_slice() {
        ["metadata", "labels", label] => label.starts_with("rekindle.dev/") || *label == "app.kubernetes.io/managed-by",
        ["metadata", "annotations", name] => *name == IGNORE_ANNOTATION,
        ["metadata", "labels" | "annotations", ..] => path.names().len() < 3,
        [first, ..] => matches!(*first, "apiVersion" | "kind" | "metadata" | "status"),
        [] => true,
    }
}

/// What is sent for an object that is there: of the fields that it gives up, those that nobody else holds stay as they are live,
/// since leaving them out would set them back to a default; those that others hold are left to them.
pub fn beside(object: &Object, live: &Value) -> Value {
    let mut body = object.body().clone();
    let held = held_alone(live, FIELD_MANAGER);
    for path in ignored(object) {
        path.remove(&mut body);
        let live = path.below(&held).and_then(|fields| covered(path.get(live)?, fields));
        if let Some(live) = live {
            path.put(&mut body, live);
        }
    }
    body
}

/// What is sent for an object that is made in place of another one: the fields that it gives up are as they were there.
pub fn in_place_of(object: &Object, former: &Value) -> Value {
    let mut body = object.body().clone();
    for path in ignored(object) {
        if let Some(value) = path.get(former) {
            path.put(&mut body, value.clone());
        }
    }
    body
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    fn object(paths: &str) -> Object {
        let body = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a", "labels": {"x": "y"}, "annotations": {IGNORE_ANNOTATION: paths}},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "a", "image": "i", "resources": {
                "requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}}}]}}}});
        Object::new(body, Origin::default()).unwrap()
    }

    fn live(ours: Value, theirs: Value) -> Value {
        json!({"metadata": {"managedFields": [
                {"manager": "rekindle", "operation": "Apply", "fieldsV1": ours},
                {"manager": "autoscaler", "operation": "Update", "subresource": "scale", "fieldsV1": theirs}]},
            "spec": {"replicas": 7, "template": {"spec": {"containers": [{"name": "a", "image": "i", "resources": {
                "requests": {"cpu": "3", "memory": "5Gi"}, "limits": {"cpu": "4"}}}]}}}})
    }

    #[test]
    fn what_nobody_else_holds_stays_as_it_is_and_the_rest_is_left_out() {
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let sent = |ours: &Value, theirs: &Value| {
            beside(&object("spec.replicas"), &live(ours.clone(), theirs.clone()))["spec"].get("replicas").cloned()
        };
        assert_eq!(sent(&replicas, &json!({})), Some(json!(7)), "ours alone");
        assert_eq!(sent(&json!({}), &replicas), None, "theirs");
        assert_eq!(sent(&replicas, &replicas), None, "both");
        assert_eq!(sent(&json!({}), &json!({})), None, "nobody's");
        assert_eq!(in_place_of(&object("spec.replicas"), &live(json!({}), replicas))["spec"]["replicas"], 7);
        assert_eq!(in_place_of(&object("spec.replicas"), &json!({}))["spec"]["replicas"], 2);
    }

    #[test]
    fn of_a_field_with_several_in_it_each_goes_its_way() {
        let within = |resources: Value| json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:resources": resources}}}}}});
        let ours = within(json!({"f:requests": {"f:cpu": {}, "f:memory": {}}, "f:limits": {"f:cpu": {}}}));
        let theirs = within(json!({"f:requests": {".": {}, "f:cpu": {}}}));
        let path = "spec.template.spec.containers[name=a].resources";
        let sent = beside(&object(path), &live(ours, theirs));
        let container = &sent["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            *container,
            json!({"name": "a", "image": "i", "resources": {"requests": {"memory": "5Gi"}, "limits": {"cpu": "4"}}})
        );
    }

    #[test]
    fn a_path_that_cannot_be_given_up_is_told() {
        for (paths, wrong) in [
            ("spec.replicas", None),
            ("metadata.labels.x", None),
            ("", Some("names no field")),
            ("spec.replica", Some("spec.replica is no field of this object")),
            ("spec..a", Some("spec..a has an empty name")),
            ("metadata.name", Some("metadata.name cannot be given up, Rekindle needs it")),
            ("metadata.labels", Some("metadata.labels cannot be given up, Rekindle needs it")),
            (
                "metadata.labels[\"rekindle.dev/environment\"]",
                Some("metadata.labels[\"rekindle.dev/environment\"] cannot be given up, Rekindle needs it"),
            ),
            (
                "stringData.a",
                Some("stringData.a cannot be given up: the API server turns it into data, write it there"),
            ),
        ] {
            let told = faults(&object(paths));
            assert_eq!(told, wrong.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{paths}");
        }
    }
}

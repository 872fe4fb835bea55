//! Which objects an admission webhook is asked about, as far as that shows without a cluster.

use serde_json::Value;

use super::Object;
use super::kinds::plural;
use super::references::pod_spec;

/// Whether one of the webhooks of a configuration is asked about an object and blocks it while nobody answers. Webhooks
/// that are ignored when they fail (`failurePolicy: Ignore`) block nothing.
pub fn blocks(configuration: &Object, object: &Object, namespaces: &[&Object]) -> bool {
    let hooks = configuration.body().get("webhooks").and_then(Value::as_array);
    hooks.into_iter().flatten().any(|hook| {
        hook.get("failurePolicy").and_then(Value::as_str) != Some("Ignore")
            && rules(hook).any(|rule| concerns(rule, object))
            && selects(hook.get("objectSelector"), object.body().pointer("/metadata/labels"))
            && in_namespace(hook.get("namespaceSelector"), object, namespaces)
    })
}

fn rules(hook: &Value) -> impl Iterator<Item = &Value> {
    hook.get("rules").and_then(Value::as_array).into_iter().flatten()
}

/// Whether a rule is about an object's kind, or about the pods that the object makes.
fn concerns(rule: &Value, object: &Object) -> bool {
    let has = |field: &str, wanted: &str| {
        let list = rule.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).any(|entry| entry == wanted || entry == "*")
    };
    let writes = has("operations", "CREATE") || has("operations", "UPDATE");
    let scope = match rule.get("scope").and_then(Value::as_str) {
        Some("Cluster") => object.namespace().is_none(),
        Some("Namespaced") => object.namespace().is_some(),
        _ => true,
    };
    let own = has("apiGroups", object.group()) && has("resources", &plural(object.kind()));
    let pods = pod_spec(object).is_some() && has("apiGroups", "") && has("resources", "pods");
    writes && scope && (own || pods)
}

/// Whether a label selector selects; an absent or empty one selects everything.
fn selects(selector: Option<&Value>, labels: Option<&Value>) -> bool {
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str);
    let Some(selector) = selector else { return true };
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    let by_labels = wanted.into_iter().flatten().all(|(name, value)| label(name) == value.as_str());
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    let by_expressions = expressions.into_iter().flatten().all(|expression| {
        let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
        let values = expression.get("values").and_then(Value::as_array);
        let listed = values.into_iter().flatten().any(|value| value.as_str().is_some() && value.as_str() == label(key));
        match expression.get("operator").and_then(Value::as_str) {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => label(key).is_some(),
            Some("DoesNotExist") => label(key).is_none(),
            _ => true,
        }
    });
    by_labels && by_expressions
}

/// Whether the namespace of an object is selected. The API server gives every namespace the label of its name.
fn in_namespace(selector: Option<&Value>, object: &Object, namespaces: &[&Object]) -> bool {
    // A Namespace is judged by its own labels; other objects without a namespace are always selected.
    let name = if object.kind() == "Namespace" { Some(object.name()) } else { object.namespace() };
    let Some(name) = name else { return true };
    let known = namespaces.iter().find(|namespace| namespace.name() == name);
    let labels = known.and_then(|namespace| namespace.body().pointer("/metadata/labels"));
    let mut labels = labels.and_then(Value::as_object).cloned().unwrap_or_default();
    labels.insert("kubernetes.io/metadata.name".into(), name.into());
    selects(selector, Some(&Value::Object(labels)))
}

/// Whether the pods of a workload stand behind a Service.
pub fn serves(workload: &Object, service: &Object) -> bool {
    let labels = match workload.kind() {
        "Pod" => workload.body().pointer("/metadata/labels"),
        _ => workload.body().pointer("/spec/template/metadata/labels"),
    };
    let selector = service.body().pointer("/spec/selector").and_then(Value::as_object);
    workload.namespace() == service.namespace()
        && matches!(workload.kind(), "Pod" | "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        && selector.is_some_and(|selector| {
            !selector.is_empty()
                && selector.iter().all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    fn object(body: Value) -> Object {
        Object::new(body, Origin::default()).unwrap()
    }

    fn config_map(labels: Value) -> Object {
        object(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n", "labels": labels}}),
        )
    }

    fn hook(change: Value) -> Object {
        let mut hook = json!({"rules": [{"apiGroups": [""], "resources": ["configmaps"], "operations": ["CREATE"]}]});
        change.as_object().unwrap().iter().for_each(|(key, value)| hook[key] = value.clone());
        let kind = "ValidatingWebhookConfiguration";
        object(
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "w"}, "webhooks": [hook]}),
        )
    }

    #[test]
    fn selectors_and_policies_decide() {
        let rule = |resource: &str, group: &str, operation: &str| json!({"rules": [{"apiGroups": [group], "resources": [resource], "operations": [operation]}]});
        let table = [
            (json!({}), true),
            (json!({"failurePolicy": "Ignore"}), false),
            (rule("*", "*", "*"), true),
            (rule("secrets", "", "*"), false),
            (rule("configmaps", "", "DELETE"), false),
            (json!({"objectSelector": {"matchLabels": {"x": "y"}}}), true),
            (
                json!({"objectSelector": {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["y"]}]}}),
                false,
            ),
            (json!({"objectSelector": {"matchExpressions": [{"key": "z", "operator": "DoesNotExist"}]}}), true),
            (json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "n"}}}), true),
            (json!({"namespaceSelector": {"matchLabels": {"injected": "yes"}}}), false),
        ];
        for (change, expected) in table {
            assert_eq!(blocks(&hook(change.clone()), &config_map(json!({"x": "y"})), &[]), expected, "{change}");
        }
    }

    #[test]
    fn a_rule_about_pods_concerns_what_makes_pods() {
        let spec = json!({"template": {"spec": {"containers": []}}});
        let workload =
            object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}));
        let rules = json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "operations": ["CREATE"]}]});
        assert!(blocks(&hook(rules), &workload, &[]));
        assert!(!blocks(&hook(json!({})), &workload, &[]));
    }
}

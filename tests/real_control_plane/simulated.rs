//! The simulated API server is like the real one: scripts of requests are sent to both, and what comes back is compared, minus
//! what must differ (UIDs, times, versions, addresses). Scripts that are known to differ stand with their reasons in
//! `differences.txt`; one that no longer does must be taken out.

use std::collections::BTreeMap;

use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use rekindle::rehearsal::faults::Chance;
use rekindle::rehearsal::{Faults, Model, Simulation, World};
use serde_json::{Value, json};

use super::BED;
use super::refusals::of_refusals;
use super::scripts::{by_kind, of_numbers, of_templates};
use super::support::{Bed, Space};

/// One request. `{ns}` in the path and the body is the script's namespace, `{rv}` and `{uid}` are those of the last answer.
pub struct Ask {
    method: &'static str,
    path: String,
    content_type: &'static str,
    body: Value,
}

/// A row of requests with a name.
pub struct Script {
    pub name: String,
    pub asks: Vec<Ask>,
}

pub const APPLY: &str = "application/apply-patch+yaml";
pub const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const PLAIN: &str = "application/json";

pub fn ask(method: &'static str, path: &str, content_type: &'static str, body: Value) -> Ask {
    Ask { method, path: path.to_owned(), content_type, body }
}

pub fn get(path: &str) -> Ask {
    ask("GET", path, PLAIN, Value::Null)
}

pub fn delete(path: &str, options: Value) -> Ask {
    ask("DELETE", path, PLAIN, options)
}

pub fn apply_as(manager: &str, path: &str, force: bool, body: Value) -> Ask {
    let path = format!("{path}?fieldManager={manager}&force={force}&fieldValidation=Strict");
    ask("PATCH", &path, APPLY, body)
}

fn map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn deployment(spec: Value) -> Value {
    let mut body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {
        "replicas": 0, "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}}});
    for (name, value) in spec.as_object().into_iter().flatten() {
        body["spec"][name] = value.clone();
    }
    body
}

fn service(ports: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"selector": {"app": "a"}, "ports": ports}})
}

const MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";
const MAP: &str = "/api/v1/namespaces/{ns}/configmaps/a";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/{ns}/deployments/a";
const SERVICE: &str = "/api/v1/namespaces/{ns}/services/a";
const SECRET: &str = "/api/v1/namespaces/{ns}/secrets/a";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases/a";

/// Scripts that were thought of.
fn written() -> Vec<Script> {
    let mut scripts = Vec::new();
    let mut script = |name: &str, asks: Vec<Ask>| scripts.push(Script { name: name.to_owned(), asks });
    let one = |force, data| apply_as("one", MAP, force, map("a", data));
    let two = |force, data| apply_as("two", MAP, force, map("a", data));
    script("apply-creates", vec![one(false, json!({"a": "1"})), get(MAP)]);
    script("apply-same", vec![one(false, json!({"a": "1"})), one(false, json!({"a": "1"}))]);
    script(
        "apply-removes",
        vec![one(false, json!({"a": "1", "b": "1"})), one(false, json!({"b": "1"})), one(false, json!({}))],
    );
    script(
        "apply-shares",
        vec![one(false, json!({"a": "1"})), two(false, json!({"a": "1"})), one(false, json!({})), get(MAP)],
    );
    script(
        "apply-conflict",
        vec![
            one(false, json!({"a": "1"})),
            two(false, json!({"a": "2"})),
            two(true, json!({"a": "2"})),
            one(false, json!({"a": "1"})),
        ],
    );
    script("apply-conflicts", vec![one(false, json!({"a": "1", "b": "1"})), two(false, json!({"a": "2", "b": "2"}))]);
    script(
        "apply-null",
        vec![
            one(false, json!({"a": "1"})),
            apply_as(
                "one",
                MAP,
                false,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": null}}),
            ),
        ],
    );
    script("apply-other-name", vec![apply_as("one", MAP, false, map("b", json!({})))]);
    script("apply-no-manager", vec![ask("PATCH", MAP, APPLY, map("a", json!({})))]);
    script(
        "apply-unknown",
        vec![apply_as(
            "one",
            MAP,
            false,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "dat": {}}),
        )],
    );
    script("apply-wrong-type", vec![apply_as("one", MAP, false, map("a", json!({"a": 1})))]);
    script(
        "apply-no-namespace",
        vec![apply_as("one", "/api/v1/namespaces/{ns}-none/configmaps/a", false, map("a", json!({})))],
    );
    script(
        "apply-version",
        vec![
            one(false, json!({"a": "1"})),
            apply_as(
                "one",
                MAP,
                false,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "1"}}),
            ),
        ],
    );
    script(
        "apply-dry-run",
        vec![ask("PATCH", &format!("{MAP}?fieldManager=one&dryRun=All"), APPLY, map("a", json!({"a": "1"}))), get(MAP)],
    );
    script(
        "apply-over-update",
        vec![
            ask("POST", &format!("{MAPS}?fieldManager=kubectl"), PLAIN, map("a", json!({"a": "1"}))),
            one(false, json!({"a": "2"})),
            one(true, json!({"a": "2"})),
        ],
    );
    script(
        "merge-patch",
        vec![
            one(false, json!({"a": "1", "b": "1"})),
            ask("PATCH", &format!("{MAP}?fieldManager=m"), MERGE, json!({"data": {"a": "2", "b": null, "c": "3"}})),
            one(false, json!({"a": "1"})),
        ],
    );
    script(
        "merge-patch-labels",
        vec![
            one(false, json!({})),
            ask("PATCH", &format!("{MAP}?fieldManager=m"), MERGE, json!({"metadata": {"labels": {"x": "y"}}})),
            ask("PATCH", &format!("{MAP}?fieldManager=m"), MERGE, json!({"metadata": {"labels": {"x": null}}})),
        ],
    );
    script(
        "merge-patch-stale",
        vec![
            one(false, json!({"a": "1"})),
            ask(
                "PATCH",
                &format!("{MAP}?fieldManager=m"),
                MERGE,
                json!({"metadata": {"resourceVersion": "1"}, "data": {"a": "2"}}),
            ),
        ],
    );
    script("merge-patch-none", vec![ask("PATCH", MAP, MERGE, json!({"data": {}}))]);
    script(
        "json-patch",
        vec![
            one(false, json!({"a": "1"})),
            ask(
                "PATCH",
                &format!("{MAP}?fieldManager=m"),
                JSON,
                json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "{rv}"}, {"op": "replace", "path": "/data/a", "value": "2"}, {"op": "add", "path": "/data/b", "value": "3"}]),
            ),
        ],
    );
    script(
        "json-patch-remove",
        vec![
            one(false, json!({"a": "1", "b": "2"})),
            ask("PATCH", &format!("{MAP}?fieldManager=m"), JSON, json!([{"op": "remove", "path": "/data/a"}])),
        ],
    );
    script(
        "json-patch-test-fails",
        vec![
            one(false, json!({"a": "1"})),
            ask(
                "PATCH",
                &format!("{MAP}?fieldManager=m"),
                JSON,
                json!([{"op": "test", "path": "/data/a", "value": "9"}, {"op": "remove", "path": "/data/a"}]),
            ),
            get(MAP),
        ],
    );
    script(
        "strategic-patch",
        vec![
            apply_as("one", SERVICE, false, service(json!([{"port": 80, "name": "x"}]))),
            ask(
                "PATCH",
                &format!("{SERVICE}?fieldManager=m"),
                STRATEGIC,
                json!({"spec": {"ports": [{"port": 80, "name": "y"}, {"port": 81, "name": "z"}]}}),
            ),
        ],
    );
    script(
        "create",
        vec![
            ask("POST", &format!("{MAPS}?fieldManager=k"), PLAIN, map("a", json!({"a": "1"}))),
            ask("POST", MAPS, PLAIN, map("a", json!({}))),
        ],
    );
    script(
        "create-strict",
        vec![ask(
            "POST",
            &format!("{MAPS}?fieldValidation=Strict"),
            PLAIN,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "dat": {}}),
        )],
    );
    script(
        "create-lenient",
        vec![ask(
            "POST",
            &format!("{MAPS}?fieldValidation=Ignore&fieldManager=k"),
            PLAIN,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "dat": {}}),
        )],
    );
    script(
        "create-no-name",
        vec![ask("POST", MAPS, PLAIN, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}))],
    );
    script("create-bad-name", vec![ask("POST", MAPS, PLAIN, map("A_b", json!({})))]);
    script("create-bad-key", vec![ask("POST", MAPS, PLAIN, map("a", json!({"a b": "1"})))]);
    script(
        "replace",
        vec![
            one(false, json!({"a": "1"})),
            ask("PUT", &format!("{MAP}?fieldManager=m"), PLAIN, map("a", json!({"b": "1"}))),
        ],
    );
    script(
        "replace-version",
        vec![
            one(false, json!({"a": "1"})),
            ask(
                "PUT",
                &format!("{MAP}?fieldManager=m"),
                PLAIN,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "{rv}"}, "data": {"a": "2"}}),
            ),
            ask(
                "PUT",
                &format!("{MAP}?fieldManager=m"),
                PLAIN,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "1"}, "data": {}}),
            ),
        ],
    );
    script("get-none", vec![get(MAP), get(DEPLOYMENT), get("/apis/nothing.example/v1/namespaces/{ns}/x/a")]);
    script("delete", vec![one(false, json!({})), delete(MAP, json!({})), get(MAP), delete(MAP, json!({}))]);
    script(
        "delete-uid",
        vec![
            one(false, json!({})),
            delete(MAP, json!({"preconditions": {"uid": "not-this-one"}})),
            one(false, json!({})),
            delete(MAP, json!({"preconditions": {"uid": "{uid}"}})),
            get(MAP),
        ],
    );
    script(
        "delete-version",
        vec![one(false, json!({})), delete(MAP, json!({"preconditions": {"resourceVersion": "1"}})), get(MAP)],
    );
    script("delete-dry", vec![one(false, json!({})), delete(MAP, json!({"dryRun": ["All"]})), get(MAP)]);
    script(
        "finalizer",
        vec![
            apply_as(
                "one",
                MAP,
                false,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": ["example.org/x"]}}),
            ),
            delete(MAP, json!({})),
            get(MAP),
            ask("PATCH", &format!("{MAP}?fieldManager=m"), MERGE, json!({"metadata": {"finalizers": null}})),
            get(MAP),
        ],
    );
    script(
        "immutable-map",
        vec![
            apply_as(
                "one",
                MAP,
                false,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "immutable": true, "data": {"a": "1"}}),
            ),
            apply_as(
                "one",
                MAP,
                false,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "immutable": true, "data": {"a": "2"}}),
            ),
        ],
    );
    script(
        "secret",
        vec![
            apply_as(
                "one",
                SECRET,
                false,
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"a": "MQ=="}}),
            ),
            apply_as(
                "one",
                SECRET,
                false,
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "type": "x/y", "data": {"a": "MQ=="}}),
            ),
        ],
    );
    script(
        "secret-texts",
        vec![
            apply_as(
                "one",
                SECRET,
                false,
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"a": "1"}}),
            ),
            get(SECRET),
        ],
    );
    script(
        "lease",
        vec![
            ask(
                "POST",
                &format!("{LEASES}?fieldManager=l"),
                PLAIN,
                json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}),
            ),
            ask(
                "PUT",
                &format!("{LEASE}?fieldManager=l"),
                PLAIN,
                json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a", "resourceVersion": "{rv}"}, "spec": {"holderIdentity": "you", "leaseDurationSeconds": 15}}),
            ),
            ask(
                "PUT",
                &format!("{LEASE}?fieldManager=l"),
                PLAIN,
                json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a", "resourceVersion": "1"}, "spec": {}}),
            ),
        ],
    );
    script("deployment", vec![apply_as("one", DEPLOYMENT, false, deployment(json!({})))]);
    script(
        "deployment-same",
        vec![
            apply_as("one", DEPLOYMENT, false, deployment(json!({}))),
            apply_as("one", DEPLOYMENT, false, deployment(json!({}))),
        ],
    );
    script(
        "deployment-generation",
        vec![
            apply_as("one", DEPLOYMENT, false, deployment(json!({}))),
            apply_as("one", DEPLOYMENT, false, deployment(json!({"minReadySeconds": 5}))),
        ],
    );
    script(
        "deployment-selector",
        vec![
            apply_as("one", DEPLOYMENT, false, deployment(json!({}))),
            apply_as("one", DEPLOYMENT, false, deployment(json!({"selector": {"matchLabels": {"app": "b"}}}))),
        ],
    );
    script("deployment-unknown", vec![apply_as("one", DEPLOYMENT, false, deployment(json!({"replica": 1})))]);
    script("deployment-wrong-type", vec![apply_as("one", DEPLOYMENT, false, deployment(json!({"replicas": "1"})))]);
    script(
        "deployment-no-image",
        vec![apply_as(
            "one",
            DEPLOYMENT,
            false,
            deployment(
                json!({"template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c"}]}}}),
            ),
        )],
    );
    script(
        "deployment-replicas",
        vec![
            apply_as("one", DEPLOYMENT, false, deployment(json!({}))),
            ask("PATCH", &format!("{DEPLOYMENT}?fieldManager=scaler"), MERGE, json!({"spec": {"minReadySeconds": 3}})),
            apply_as("one", DEPLOYMENT, false, deployment(json!({"minReadySeconds": 4}))),
        ],
    );
    let scale = |query: &str| format!("{DEPLOYMENT}/scale?fieldManager=scaler{query}");
    script(
        "deployment-scale",
        vec![
            apply_as("one", DEPLOYMENT, false, deployment(json!({"paused": true}))),
            get(&scale("")),
            ask("PATCH", &scale(""), MERGE, json!({"spec": {"replicas": 2}})),
            get(DEPLOYMENT),
            ask("PATCH", &scale("&dryRun=All"), MERGE, json!({"spec": {"replicas": 5}})),
            ask("PATCH", &scale(""), MERGE, json!({"spec": {"replicas": -1}})),
            ask("PATCH", &scale(""), STRATEGIC, json!({"spec": {"replicas": 3}})),
            get(&scale("")),
            apply_as("one", DEPLOYMENT, false, deployment(json!({"paused": true, "replicas": 1}))),
        ],
    );
    let body = |version: &str, replicas: u64| {
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": "a", "namespace": "{ns}", "resourceVersion": version}, "spec": {"replicas": replicas}})
    };
    script(
        "deployment-scale-put",
        vec![
            ask("PUT", &scale(""), PLAIN, body("", 1)),
            apply_as("one", DEPLOYMENT, false, deployment(json!({"paused": true}))),
            ask("PUT", &scale(""), PLAIN, body("", 1)),
            ask("PUT", &scale(""), PLAIN, body("1", 2)),
            get(DEPLOYMENT),
        ],
    );
    script(
        "deployment-recreate",
        vec![apply_as("one", DEPLOYMENT, false, deployment(json!({"strategy": {"type": "Recreate"}})))],
    );
    script(
        "deployment-create",
        vec![ask("POST", "/apis/apps/v1/namespaces/{ns}/deployments?fieldManager=k", PLAIN, deployment(json!({})))],
    );
    script(
        "service",
        vec![
            apply_as("one", SERVICE, false, service(json!([{"port": 80}]))),
            apply_as("one", SERVICE, false, service(json!([{"port": 80}]))),
        ],
    );
    script(
        "service-ports",
        vec![
            apply_as("one", SERVICE, false, service(json!([{"port": 80, "name": "a"}]))),
            apply_as("two", SERVICE, false, service(json!([{"port": 81, "name": "b"}]))),
            apply_as("one", SERVICE, false, service(json!([{"port": 82, "name": "a"}]))),
        ],
    );
    script("service-no-ports", vec![apply_as("one", SERVICE, false, service(json!([])))]);
    script(
        "service-external",
        vec![apply_as(
            "one",
            SERVICE,
            false,
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"type": "ExternalName", "externalName": "example.org"}}),
        )],
    );
    script(
        "service-headless",
        vec![apply_as(
            "one",
            SERVICE,
            false,
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"clusterIP": "None", "selector": {"a": "b"}}}),
        )],
    );
    let role = |subjects: Value, role: &str| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "a"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}, "subjects": subjects});
    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings/a";
    script(
        "role-binding",
        vec![
            apply_as(
                "one",
                binding,
                false,
                role(json!([{"kind": "ServiceAccount", "name": "x", "namespace": "y"}]), "r"),
            ),
            apply_as("one", binding, false, role(json!([]), "other")),
        ],
    );
    script(
        "network-policy",
        vec![apply_as(
            "one",
            "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies/a",
            false,
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a"}, "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}}),
        )],
    );
    script(
        "claim",
        vec![apply_as(
            "one",
            "/api/v1/namespaces/{ns}/persistentvolumeclaims/a",
            false,
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "a"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}}),
        )],
    );
    script(
        "budget",
        vec![apply_as(
            "one",
            "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets/a",
            false,
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "a"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}}),
        )],
    );
    script(
        "ingress",
        vec![apply_as(
            "one",
            "/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses/a",
            false,
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"}, "spec": {"rules": [{"host": "h.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}),
        )],
    );
    script(
        "job",
        vec![apply_as(
            "one",
            "/apis/batch/v1/namespaces/{ns}/jobs/a",
            false,
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x:1"}]}}}}),
        )],
    );
    script(
        "job-restart-policy",
        vec![apply_as(
            "one",
            "/apis/batch/v1/namespaces/{ns}/jobs/a",
            false,
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": {"suspend": true, "template": {"spec": {"containers": [{"name": "c", "image": "x:1"}]}}}}),
        )],
    );
    script(
        "cron-job",
        vec![apply_as(
            "one",
            "/apis/batch/v1/namespaces/{ns}/cronjobs/a",
            false,
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "a"}, "spec": {"suspend": true, "schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x:1"}]}}}}}}),
        )],
    );
    let set = |replicas: u64, name: &str| json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "a"}, "spec": {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}, "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}});
    let sets = "/apis/apps/v1/namespaces/{ns}/statefulsets/a";
    script(
        "stateful-set",
        vec![
            apply_as("one", sets, false, set(0, "s")),
            apply_as("one", sets, false, set(0, "s")),
            apply_as("one", sets, false, set(0, "t")),
        ],
    );
    script(
        "service-account",
        vec![apply_as(
            "one",
            "/api/v1/namespaces/{ns}/serviceaccounts/a",
            false,
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}, "automountServiceAccountToken": false}),
        )],
    );
    let labelled = |name: &str, value: &str| {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"x": value}}});
        apply_as("one", &format!("{MAPS}/{name}"), false, body)
    };
    script(
        "list",
        vec![
            labelled("m1", "1"),
            labelled("m2", "2"),
            labelled("m3", "1"),
            get(&format!("{MAPS}?labelSelector=x%3D1")),
            get(&format!("{MAPS}?labelSelector=x%20in%20(1,2),x!%3D2")),
            get(&format!("{MAPS}?fieldSelector=metadata.name%3Dm2")),
            get(&format!("{MAPS}?labelSelector=x&limit=2")),
        ],
    );
    script(
        "delete-collection",
        vec![
            labelled("m1", "1"),
            labelled("m2", "2"),
            delete(&format!("{MAPS}?labelSelector=x%3D1"), json!({})),
            get(&format!("{MAPS}?labelSelector=x")),
        ],
    );
    script(
        "review",
        vec![ask(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            PLAIN,
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "{ns}"}}}),
        )],
    );
    script(
        "watch",
        vec![
            labelled("m1", "1"),
            get(&format!("{MAPS}?limit=1&labelSelector=x")),
            labelled("m2", "2"),
            labelled("m1", "3"),
            delete(&format!("{MAPS}/m2"), json!({})),
            get(&format!("{MAPS}?watch=true&labelSelector=x&timeoutSeconds=1&resourceVersion={{list}}")),
        ],
    );
    script("watch-expired", vec![get(&format!("{MAPS}?watch=true&timeoutSeconds=1&resourceVersion=1"))]);
    scripts
}

/// Scripts made by chance: several managers apply, patch and take back fields of one object.
fn generated(seed: u64) -> Script {
    let mut chance = Chance::new(seed);
    let mut asks = Vec::new();
    let kind = chance.below(3);
    for _ in 0..3 + chance.below(5) {
        let manager = ["one", "two", "three"][chance.below(3)];
        let force = chance.happens(0.4);
        let patch = chance.happens(0.25);
        let value = |chance: &mut Chance| format!("{}", chance.below(3));
        asks.push(match kind {
            0 => {
                let mut data = json!({});
                for key in ["a", "b", "c", "d"] {
                    if chance.happens(0.5) {
                        data[key] = value(&mut chance).into();
                    } else if patch && chance.happens(0.3) {
                        data[key] = Value::Null;
                    }
                }
                let mut body = map("a", data);
                if chance.happens(0.4) {
                    body["metadata"]["labels"] = json!({"x": value(&mut chance)});
                }
                if patch {
                    ask("PATCH", &format!("{MAP}?fieldManager={manager}"), MERGE, body)
                } else {
                    apply_as(manager, MAP, force, body)
                }
            }
            1 => {
                let mut ports = Vec::new();
                for port in [80, 81, 82] {
                    if chance.happens(0.6) {
                        let mut entry = json!({"port": port, "name": format!("p{port}")});
                        if chance.happens(0.5) {
                            entry["targetPort"] = (8000 + chance.below(2)).into();
                        }
                        ports.push(entry);
                    }
                }
                if chance.happens(0.3) {
                    ports.reverse();
                }
                if ports.is_empty() {
                    ports.push(json!({"port": 80, "name": "p80"}));
                }
                apply_as(manager, SERVICE, force, service(ports.into()))
            }
            _ => {
                let mut containers = vec![json!({"name": "c", "image": format!("x:{}", chance.below(2))})];
                if chance.happens(0.5) {
                    containers[0]["env"] = ["A", "B", "C"]
                        .iter()
                        .filter(|_| chance.happens(0.6))
                        .map(|name| json!({"name": name, "value": "v"}))
                        .collect();
                }
                if chance.happens(0.4) {
                    containers.push(json!({"name": "side", "image": "y:1", "args": ["a", value(&mut chance)]}));
                }
                if chance.happens(0.3) {
                    containers.reverse();
                }
                let spec = json!({"template": {"metadata": {"labels": {"app": "a", "v": value(&mut chance)}}, "spec": {"containers": containers}}});
                apply_as(manager, DEPLOYMENT, force, deployment(spec))
            }
        });
    }
    Script { name: format!("generated-{seed}"), asks }
}

/// Sends a script and gives back what is comparable of each answer.
async fn play(client: &Client, namespace: &str, script: &Script) -> Vec<(u16, Value)> {
    let mut answers = Vec::new();
    let (mut version, mut uid, mut list) = (String::new(), String::new(), String::new());
    for ask in &script.asks {
        let fill = |text: &str| {
            text.replace("{ns}", namespace).replace("{rv}", &version).replace("{uid}", &uid).replace("{list}", &list)
        };
        let body = if ask.body.is_null() { Vec::new() } else { fill(&ask.body.to_string()).into_bytes() };
        let request = Request::builder()
            .method(ask.method)
            .uri(fill(&ask.path))
            .header("Content-Type", ask.content_type)
            .header("Accept", "application/json")
            .header("User-Agent", "tester/1.0")
            .body(Body::from(body))
            .unwrap();
        let response = client.send(request).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let lines = String::from_utf8_lossy(&bytes);
        let mut values: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let value =
            if values.len() == 1 && !ask.path.contains("watch=true") { values.remove(0) } else { values.into() };
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) {
            list = text("/metadata/resourceVersion").unwrap_or(list);
        } else {
            version = text("/metadata/resourceVersion").unwrap_or(version);
            uid = text("/metadata/uid").unwrap_or(uid);
        }
        answers.push((code, comparable(value)));
    }
    answers
}

/// An answer without what must differ.
fn comparable(mut value: Value) -> Value {
    strip(&mut value);
    value
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for name in [
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "deletionTimestamp",
                "time",
                "continue",
                "clusterIP",
                "clusterIPs",
                "nodePort",
                "lastTransitionTime",
            ] {
                if map.get(name).is_some_and(|value| !value.is_object() && *value != "None") {
                    map.shift_remove(name);
                }
            }
            // Controllers are at work in the real one.
            if map.contains_key("metadata")
                && map.get("status").is_some_and(Value::is_object)
                && map["kind"] != "SelfSubjectAccessReview"
            {
                map.shift_remove("status");
            }
            if let Some(annotations) = map.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.shift_remove("deployment.kubernetes.io/revision");
                if annotations.is_empty() {
                    map.shift_remove("annotations");
                }
            }
            for name in ["controller-uid", "batch.kubernetes.io/controller-uid"] {
                if map.contains_key(name) {
                    map.insert(name.into(), "UID".into());
                }
            }
            if let Some(Value::Array(entries)) = map.get_mut("managedFields") {
                entries.retain(|entry| entry["manager"] != "kube-controller-manager");
                entries
                    .sort_by_key(|entry| format!("{}{}{}", entry["operation"], entry["manager"], entry["subresource"]));
            }
            // In the real one these come in the order of a Go map.
            if let Some(Value::Array(causes)) = map.get_mut("causes") {
                causes.sort_by_key(|cause| format!("{}{}", cause["message"], cause["field"]));
            }
            if let Some(Value::String(message)) = map.get_mut("message") {
                let ids = regex::Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|in record \\([0-9]+\\)|version: [0-9]+ \\([0-9]+\\)").unwrap();
                *message = ids.replace_all(message, "ID").into_owned();
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Where two values differ, a line each.
fn differences(path: &str, real: &Value, simulated: &Value, found: &mut Vec<String>) {
    match (real, simulated) {
        (Value::Object(real), Value::Object(simulated)) => {
            for (name, value) in real {
                let path = format!("{path}/{name}");
                match simulated.get(name) {
                    Some(other) => differences(&path, value, other, found),
                    None => found.push(format!("{path}: really {value}, simulated nothing")),
                }
            }
            for (name, value) in simulated.iter().filter(|(name, _)| !real.contains_key(*name)) {
                found.push(format!("{path}/{name}: really nothing, simulated {value}"));
            }
        }
        (Value::Array(real), Value::Array(simulated)) if real.len() == simulated.len() => {
            for (index, (one, other)) in real.iter().zip(simulated).enumerate() {
                differences(&format!("{path}/{index}"), one, other, found);
            }
        }
        _ if real == simulated => {}
        _ => found.push(format!("{path}: really {real}, simulated {simulated}")),
    }
}

/// Scripts that are known to differ, with the reason.
fn known() -> BTreeMap<String, String> {
    let lines = include_str!("differences.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.filter_map(|line| line.split_once(": ")).map(|(name, why)| (name.to_owned(), why.to_owned())).collect()
}

/// Generated scripts.
const GENERATED: u64 = 240;

#[test]
#[ignore = "needs a control plane"]
fn the_simulated_api_server_answers_like_the_real_one() {
    let bed = Bed::from_variable(BED);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let simulation = runtime.block_on(async {
        let started = "2026-01-01T00:00:00Z".parse().unwrap();
        Simulation::new(World::new(started, 0, Model::default(), false), Faults::none())
    });
    let client = runtime.block_on(async { simulation.client() });
    let scripts: Vec<Script> = written()
        .into_iter()
        .chain(by_kind())
        .chain(of_templates())
        .chain(of_numbers())
        .chain(of_refusals())
        .chain((0..GENERATED).map(generated))
        .collect();
    let known = known();
    let (mut unexpected, mut agreed) = (Vec::new(), Vec::new());
    for script in &scripts {
        let space = Space::new(&bed, "simulated");
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.name}});
        bed.apply_as("tests", &namespace.to_string());
        let key = rekindle::rehearsal::store::Key::new("", "namespaces", "", &space.name);
        simulation.world().make(&key, json!({}));
        let real = bed.block_on(play(&bed.client, &space.name, script));
        let simulated = runtime.block_on(play(&client, &space.name, script));
        let mut found = Vec::new();
        for (index, ((code, body), (other_code, other_body))) in real.iter().zip(&simulated).enumerate() {
            if code != other_code {
                found.push(format!("{index}: really {code} {body}, simulated {other_code} {other_body}"));
            } else {
                differences(&index.to_string(), body, other_body, &mut found);
            }
        }
        match (found.is_empty(), known.contains_key(&script.name)) {
            (true, true) => agreed.push(script.name.clone()),
            (false, false) => {
                let asks: Vec<_> =
                    script.asks.iter().map(|ask| format!("{} {} {}", ask.method, ask.path, ask.body)).collect();
                unexpected.push(format!("{}\n  {}\n    {}", script.name, asks.join("\n  "), found.join("\n    ")));
            }
            _ => {}
        }
    }
    assert!(agreed.is_empty(), "these do not differ any more, take them out of differences.txt: {agreed:?}");
    let count = unexpected.len();
    assert!(unexpected.is_empty(), "{count} of {} scripts differ:\n{}", scripts.len(), unexpected.join("\n"));
}

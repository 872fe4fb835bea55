//! What is refused and what the nearby thing is that is taken, by kind; the real API server says the same of all of it
//! (tests/real_control_plane/refusals.rs).

mod pods;

use serde_json::{Value, json};

use super::refusals;
use crate::manifest::{Object, Origin};
use crate::rehearsal::patch::merge;

fn base(kind: &str) -> Value {
    let pod = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}});
    let workload = json!({"selector": {"matchLabels": {"app": "a"}}, "template": pod});
    let mut job = json!({"template": pod});
    job["template"]["spec"]["restartPolicy"] = "Never".into();
    let backend = json!({"service": {"name": "a", "port": {"number": 80}}});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    let (version, rest) = match kind {
        "Service" => ("v1", json!({"spec": {"ports": [{"port": 80}]}})),
        "PersistentVolumeClaim" => {
            ("v1", json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))
        }
        "PersistentVolume" => (
            "v1",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"}}}),
        ),
        "Job" => ("batch/v1", json!({"spec": job})),
        "CronJob" => ("batch/v1", json!({"spec": {"schedule": "@daily", "jobTemplate": {"spec": job}}})),
        "Ingress" => (
            "networking.k8s.io/v1",
            json!({"spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}),
        ),
        "NetworkPolicy" => ("networking.k8s.io/v1", json!({"spec": {"podSelector": {}}})),
        "StorageClass" => ("storage.k8s.io/v1", json!({"provisioner": "example.org/x"})),
        "HorizontalPodAutoscaler" => (
            "autoscaling/v2",
            json!({"spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}}),
        ),
        "RoleBinding" | "ClusterRoleBinding" => ("rbac.authorization.k8s.io/v1", json!({"roleRef": role})),
        "CustomResourceDefinition" => (
            "apiextensions.k8s.io/v1",
            json!({"metadata": {"name": "things.example.org"}, "spec": {"group": "example.org", "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"}, "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}),
        ),
        _ => ("apps/v1", json!({"spec": workload})),
    };
    let mut body = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}});
    merge(&mut body, &rest);
    body
}

/// What is said of an object of a kind with a change.
fn told(kind: &str, change: &Value) -> Vec<String> {
    let mut body = base(kind);
    merge(&mut body, change);
    let object = Object::new(body, Origin::default()).unwrap_or_else(|error| panic!("{error}"));
    refusals(&object).into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
}

/// What must be said, by the beginning of each line; nothing: it is taken.
type Table<'t> = &'t [(&'t str, Value, &'t [&'t str])];

#[track_caller]
fn expect(table: Table<'_>) {
    for (kind, change, lines) in table {
        let told = told(kind, change);
        let fits = told.len() == lines.len() && told.iter().zip(*lines).all(|(told, line)| told.starts_with(line));
        assert!(fits, "{kind} {change}\n     told: {told:#?}\n expected: {lines:#?}");
    }
}

fn pod(spec: Value) -> Value {
    json!({"spec": {"template": {"spec": spec}}})
}

fn container(change: Value) -> Value {
    let mut container = json!({"name": "c", "image": "x:1"});
    merge(&mut container, &change);
    pod(json!({"containers": [container]}))
}

#[test]
fn services() {
    let ports = |ports: Value| json!({"spec": {"ports": ports}});
    expect(&[
        ("Service", json!({}), &[]),
        (
            "Service",
            ports(json!([{"port": 80}, {"port": 81}])),
            &["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        ("Service", ports(json!([{"port": 80, "name": "a"}, {"port": 81, "name": "b"}])), &[]),
        (
            "Service",
            ports(json!([{"port": 80, "name": "a"}, {"port": 81, "name": "a"}])),
            &["spec.ports[1].name: Duplicate value: \"a\""],
        ),
        (
            "Service",
            ports(json!([{"port": 80, "name": "A_b"}])),
            &["spec.ports[0].name: Invalid value: \"A_b\": a lowercase RFC 1123 label"],
        ),
        (
            "Service",
            ports(json!([{"port": 80, "protocol": "tcp"}])),
            &["spec.ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\""],
        ),
        ("Service", ports(json!([{"port": 80, "targetPort": "http-1"}])), &[]),
        (
            "Service",
            ports(json!([{"port": 80, "targetPort": "averylongportname"}])),
            &["spec.ports[0].targetPort: Invalid value: \"averylongportname\": must be no more than 15 characters"],
        ),
        (
            "Service",
            ports(json!([{"targetPort": 80}])),
            &["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
        ),
        (
            "Service",
            json!({"spec": {"type": "Loadbalancer"}}),
            &[
                "spec.type: Unsupported value: \"Loadbalancer\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ],
        ),
        ("Service", json!({"spec": {"type": "LoadBalancer"}}), &[]),
        ("Service", json!({"spec": {"type": "ExternalName"}}), &["spec.externalName: Required value"]),
        ("Service", json!({"spec": {"type": "ExternalName", "externalName": "a.example."}}), &[]),
        ("Service", json!({"spec": {"sessionAffinity": "x"}}), &["spec.sessionAffinity: Unsupported value"]),
        (
            "Service",
            json!({"spec": {"selector": {"app": "a b"}}}),
            &["spec.selector: Invalid value: \"a b\": a valid label must be"],
        ),
        ("Service", json!({"metadata": {"name": "1a"}}), &["metadata.name: Invalid value: \"1a\": a DNS-1035 label"]),
        ("Service", json!({"metadata": {"name": "a".repeat(64)}}), &["metadata.name: Invalid value: \"aaaa"]),
        ("Service", json!({"metadata": {"name": "a".repeat(63)}}), &[]),
    ]);
}

#[test]
fn workloads() {
    let cron = |job: Value| json!({"spec": {"jobTemplate": {"spec": job}}});
    expect(&[
        (
            "Deployment",
            json!({"spec": {"strategy": {"type": "rollingUpdate"}}}),
            &[
                "spec.strategy: Unsupported value: {\"Type\":\"rollingUpdate\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\"",
            ],
        ),
        (
            "Deployment",
            json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}}),
            &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        ),
        (
            "StatefulSet",
            json!({"spec": {"updateStrategy": {"type": "x"}}}),
            &[
                "spec.updateStrategy: Invalid value: {\"Type\":\"x\",\"RollingUpdate\":null}: must be 'RollingUpdate' or 'OnDelete'",
            ],
        ),
        (
            "StatefulSet",
            json!({"spec": {"podManagementPolicy": "x"}}),
            &["spec.podManagementPolicy: Invalid value: \"x\": must be 'OrderedReady' or 'Parallel'"],
        ),
        (
            "StatefulSet",
            json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "x"}}}),
            &[
                "spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: \"x\": supported values: \"Retain\", \"Delete\"",
            ],
        ),
        (
            "StatefulSet",
            json!({"spec": {"podManagementPolicy": "Parallel", "updateStrategy": {"type": "OnDelete"}}}),
            &[],
        ),
        (
            "DaemonSet",
            json!({"spec": {"updateStrategy": {"type": "x"}}}),
            &[
                "spec.updateStrategy: Unsupported value: {\"Type\":\"x\",\"RollingUpdate\":null}: supported values: \"RollingUpdate\", \"OnDelete\"",
            ],
        ),
        ("Job", json!({"spec": {"completionMode": "Indexed"}}), &[]),
        (
            "Job",
            json!({"spec": {"completionMode": "Indexed", "parallelism": 3}}),
            &["spec.completions: Required value: when completion mode is Indexed"],
        ),
        (
            "CronJob",
            cron(json!({"completionMode": "Indexed"})),
            &["spec.jobTemplate.spec.completions: Required value: when completion mode is Indexed"],
        ),
        (
            "Job",
            json!({"spec": {"completionMode": "indexed"}}),
            &["spec.completionMode: Unsupported value: \"indexed\": supported values: \"NonIndexed\", \"Indexed\""],
        ),
        (
            "CronJob",
            json!({"spec": {"concurrencyPolicy": "x"}}),
            &["spec.concurrencyPolicy: Unsupported value: \"x\": supported values: \"Allow\", \"Forbid\", \"Replace\""],
        ),
        ("CronJob", json!({"metadata": {"name": "a".repeat(52)}}), &[]),
        (
            "CronJob",
            json!({"metadata": {"name": "a".repeat(53)}}),
            &[&format!("metadata.name: Invalid value: {:?}: must be no more than 52 characters", "a".repeat(53))],
        ),
        ("CronJob", json!({"spec": {"schedule": null}}), &["spec.schedule: Required value"]),
        ("HorizontalPodAutoscaler", json!({}), &[]),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"maxReplicas": null}}),
            &[
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
            ],
        ),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"maxReplicas": 1, "minReplicas": 2}}),
            &["spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`"],
        ),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"scaleTargetRef": {"name": null}}}),
            &["spec.scaleTargetRef.name: Required value"],
        ),
    ]);
}

#[test]
fn networks_rights_and_definitions() {
    let path = |change: Value| {
        let mut path =
            json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 80}}}});
        merge(&mut path, &change);
        json!({"spec": {"rules": [{"http": {"paths": [path]}}]}})
    };
    let at = |rest: &str| format!("spec.rules[0].http.paths[0].{rest}");
    let subject = |subject: Value| json!({"subjects": [subject]});
    let account = json!({"kind": "ServiceAccount", "name": "a"});
    expect(&[
        ("Ingress", path(json!({"pathType": null})), &[&at("pathType: Required value: pathType must be specified")]),
        (
            "Ingress",
            path(json!({"pathType": "prefix"})),
            &[&at(
                "pathType: Unsupported value: \"prefix\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
            )],
        ),
        ("Ingress", path(json!({"pathType": "ImplementationSpecific", "path": null})), &[]),
        ("Ingress", path(json!({"path": "a"})), &[&at("path: Invalid value: \"a\": must be an absolute path")]),
        ("Ingress", path(json!({"path": "/a//b"})), &[&at("path: Invalid value: \"/a//b\": must not contain '//'")]),
        (
            "Ingress",
            path(json!({"backend": {"service": {"port": null}}})),
            &[&at("backend: Required value: port name or number is required")],
        ),
        (
            "Ingress",
            path(json!({"backend": null})),
            &[&at("backend: Invalid value: \"\": resource or service backend is required")],
        ),
        (
            "Ingress",
            json!({"spec": {"rules": null}}),
            &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
        ),
        (
            "Ingress",
            json!({"spec": {"rules": [{"host": "1.2.3.4"}]}}),
            &["spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"],
        ),
        ("Ingress", json!({"spec": {"rules": [{"host": "*.a.example"}]}}), &[]),
        (
            "Ingress",
            json!({"spec": {"rules": [{"host": "*"}]}}),
            &["spec.rules[0].host: Invalid value: \"*\": a wildcard DNS-1123 subdomain"],
        ),
        (
            "NetworkPolicy",
            json!({"spec": {"ingress": [{"ports": [{"port": 80, "protocol": "tcp"}]}]}}),
            &[
                "spec.ingress[0].ports[0].protocol: Unsupported value: \"tcp\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
            ],
        ),
        (
            "NetworkPolicy",
            json!({"spec": {"policyTypes": ["ingress"]}}),
            &["spec.policyTypes[0]: Unsupported value: \"ingress\": supported values: \"Ingress\", \"Egress\""],
        ),
        ("ClusterRoleBinding", subject(account.clone()), &["subjects[0].namespace: Required value"]),
        ("RoleBinding", subject(account.clone()), &[]),
        (
            "RoleBinding",
            subject(json!({"kind": "user", "name": "a"})),
            &[
                "subjects[0].kind: Unsupported value: \"user\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
            ],
        ),
        (
            "RoleBinding",
            json!({"roleRef": {"kind": "role"}}),
            &["roleRef.kind: Unsupported value: \"role\": supported values: \"Role\", \"ClusterRole\""],
        ),
        (
            "ClusterRoleBinding",
            json!({"roleRef": {"kind": "Role"}}),
            &["roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\""],
        ),
        ("ClusterRoleBinding", json!({"roleRef": {"name": null}}), &["roleRef.name: Required value"]),
        ("CustomResourceDefinition", json!({}), &[]),
        (
            "CustomResourceDefinition",
            json!({"metadata": {"name": "thing.example.org"}}),
            &["metadata.name: Invalid value: \"thing.example.org\": must be spec.names.plural+\".\"+spec.group"],
        ),
        (
            "CustomResourceDefinition",
            json!({"spec": {"scope": "x"}}),
            &["spec.scope: Unsupported value: \"x\": supported values: \"Cluster\", \"Namespaced\""],
        ),
        ("CustomResourceDefinition", json!({"spec": {"scope": null}}), &["spec.scope: Required value"]),
    ]);
}

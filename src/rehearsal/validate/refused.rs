//! What is refused and what the nearby thing is that is taken, by kind; the real API server says the same of all of it
//! (tests/real_control_plane/refusals.rs).

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
fn policies_of_pods() {
    let only = "supported values: \"Always\"";
    let all = "supported values: \"Always\", \"OnFailure\", \"Never\"";
    let field = "spec.template.spec.restartPolicy: Unsupported value:";
    let once = format!("{field} \"Never\": {only}");
    let twice = [format!("{field} \"never\": {all}"), format!("{field} \"never\": {only}")];
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"] {
        expect(&[
            (kind, pod(json!({"restartPolicy": "Always"})), &[]),
            (kind, pod(json!({"restartPolicy": ""})), &[]),
            (kind, pod(json!({"restartPolicy": "Never"})), &[&once]),
            (kind, pod(json!({"restartPolicy": "never"})), &[&twice[0], &twice[1]]),
        ]);
    }
    expect(&[
        (
            "Job",
            pod(json!({"restartPolicy": "Always"})),
            &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
        ),
        (
            "Job",
            pod(json!({"restartPolicy": "never"})),
            &[
                &format!("{field} \"never\": {all}"),
                &format!("{field} \"never\": supported values: \"OnFailure\", \"Never\""),
            ],
        ),
        ("Job", pod(json!({"restartPolicy": "OnFailure"})), &[]),
        (
            "Deployment",
            pod(json!({"dnsPolicy": "default"})),
            &[
                "spec.template.spec.dnsPolicy: Unsupported value: \"default\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
            ],
        ),
        (
            "Deployment",
            pod(json!({"tolerations": [{"key": "a", "effect": "noschedule"}]})),
            &["spec.template.spec.tolerations[0].effect: Unsupported value"],
        ),
        ("Deployment", pod(json!({"tolerations": [{"operator": "Exists"}]})), &[]),
        (
            "Deployment",
            json!({"spec": {"template": {"metadata": {"labels": {"x": "a b"}}}}}),
            &["spec.template.labels: Invalid value: \"a b\": a valid label must be"],
        ),
        (
            "Deployment",
            json!({"metadata": {"labels": {"x": "a".repeat(64)}}}),
            &[&format!("metadata.labels: Invalid value: {:?}: must be no more than 63 characters", "a".repeat(64))],
        ),
        (
            "Deployment",
            json!({"metadata": {"labels": {"/x": "a"}}}),
            &["metadata.labels: Invalid value: \"/x\": prefix part must be non-empty"],
        ),
        (
            "Deployment",
            json!({"metadata": {"labels": {"example.org/x": ""}, "annotations": {"Example.org/X": "a b"}}}),
            &[],
        ),
        (
            "Deployment",
            json!({"metadata": {"annotations": {"a b": "c"}}}),
            &["metadata.annotations: Invalid value: \"a b\": name part"],
        ),
    ]);
}

#[test]
fn containers() {
    let at = "spec.template.spec.containers[0]";
    let line = |rest: &str| format!("{at}{rest}");
    let (secret, handler) = (json!({"secretKeyRef": {"name": "a", "key": "a"}}), json!({"command": ["a"]}));
    for (change, lines) in [
        (
            json!({"imagePullPolicy": "always"}),
            vec![
                ".imagePullPolicy: Unsupported value: \"always\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            ],
        ),
        (
            json!({"ports": [{"containerPort": 80, "name": "averylongportname"}]}),
            vec![".ports[0].name: Invalid value: \"averylongportname\": must be no more than 15 characters"],
        ),
        (
            json!({"ports": [{"containerPort": 80, "name": "Http"}]}),
            vec![
                ".ports[0].name: Invalid value: \"Http\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            ],
        ),
        (json!({"ports": [{"containerPort": 80, "name": "http-15-letters"}]}), vec![]),
        (
            json!({"ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]}),
            vec![".ports[1].name: Duplicate value: \"a\""],
        ),
        (
            json!({"ports": [{"containerPort": 70000}]}),
            vec![".ports[0].containerPort: Invalid value: 70000: must be between"],
        ),
        (json!({"ports": [{"name": "a"}]}), vec![".ports[0].containerPort: Required value"]),
        (json!({"ports": [{"containerPort": 80, "protocol": "tcp"}]}), vec![".ports[0].protocol: Unsupported value"]),
        (
            json!({"env": [{"name": "A", "value": "x", "valueFrom": secret}]}),
            vec![".env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"],
        ),
        (json!({"env": [{"name": "A", "value": "", "valueFrom": secret}]}), vec![]),
        (
            json!({"env": [{"name": "A", "valueFrom": {}}]}),
            vec![
                ".env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
            ],
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a"}}}]}),
            vec![".env[0].valueFrom.secretKeyRef.key: Required value"],
        ),
        (
            json!({"env": [{"name": "a=b"}]}),
            vec![".env[0].name: Invalid value: \"a=b\": a valid environment variable name"],
        ),
        (json!({"env": [{"name": "1 a-b."}]}), vec![]),
        (
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nam"}}}]}),
            vec![
                ".env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.nam\": error converting fieldPath: field label not supported: metadata.nam",
            ],
        ),
        (json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}}]}), vec![]),
        (
            json!({"envFrom": [{}]}),
            vec![".envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"],
        ),
        (json!({"envFrom": [{"secretRef": {}}]}), vec![".envFrom[0].secretRef.name: Required value"]),
        (
            json!({"livenessProbe": {"periodSeconds": 3}}),
            vec![".livenessProbe: Required value: must specify a handler type"],
        ),
        (
            json!({"readinessProbe": {"httpGet": {"port": 80}, "exec": handler}}),
            vec![".readinessProbe.httpGet: Forbidden: may not specify more than 1 handler type"],
        ),
        (json!({"readinessProbe": {"exec": handler, "successThreshold": 2}}), vec![]),
        (
            json!({"livenessProbe": {"exec": handler, "successThreshold": 2}}),
            vec![".livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            json!({"livenessProbe": {"httpGet": {"path": "/"}}}),
            vec![".livenessProbe.httpGet.port: Invalid value: 0: must be between"],
        ),
        (
            json!({"livenessProbe": {"httpGet": {"port": "http", "scheme": "http"}}}),
            vec![".livenessProbe.httpGet.scheme: Unsupported value: \"http\": supported values: \"HTTP\", \"HTTPS\""],
        ),
        (
            json!({"startupProbe": {"tcpSocket": {"port": 80}, "periodSeconds": -1}}),
            vec![".startupProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            json!({"lifecycle": {"preStop": {}}}),
            vec![".lifecycle.preStop: Required value: must specify a handler type"],
        ),
        (json!({"lifecycle": {"preStop": {"exec": {}}}}), vec![".lifecycle.preStop.exec.command: Required value"]),
    ] {
        let lines: Vec<String> = lines.into_iter().map(line).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        expect(&[("Deployment", container(change), &lines)]);
    }
    let init = |container: Value| pod(json!({"initContainers": [container]}));
    let at = "spec.template.spec.initContainers[0]";
    expect(&[
        ("Deployment", init(json!({"name": "c", "image": "x:1"})), &[&format!("{at}.name: Duplicate value: \"c\"")]),
        (
            "Deployment",
            init(json!({"name": "i", "image": "x:1", "readinessProbe": {"exec": handler}})),
            &[&format!(
                "{at}.readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"
            )],
        ),
        (
            "Deployment",
            init(json!({"name": "i", "image": "x:1", "restartPolicy": "Always", "readinessProbe": {"exec": handler}})),
            &[],
        ),
    ]);
}

#[test]
fn volumes() {
    let volume = |source: Value| {
        let mut volume = json!({"name": "v"});
        merge(&mut volume, &source);
        pod(json!({"volumes": [volume]}))
    };
    let at = |rest: &str| format!("spec.template.spec.volumes[0].{rest}");
    expect(&[
        ("Deployment", volume(json!({})), &[]),
        (
            "Deployment",
            volume(json!({"emptyDir": {}, "secret": {"secretName": "a"}})),
            &[&at("secret: Forbidden: may not specify more than 1 volume type")],
        ),
        ("Deployment", volume(json!({"secret": {}})), &[&at("secret.secretName: Required value")]),
        ("Deployment", volume(json!({"configMap": {}})), &[&at("configMap.name: Required value")]),
        (
            "Deployment",
            volume(json!({"persistentVolumeClaim": {}})),
            &[&at("persistentVolumeClaim.claimName: Required value")],
        ),
        (
            "Deployment",
            volume(json!({"name": "V_", "emptyDir": {}})),
            &[&at("name: Invalid value: \"V_\": a lowercase RFC 1123 label")],
        ),
        (
            "Deployment",
            volume(json!({"secret": {"secretName": "a", "items": [{"key": "a"}]}})),
            &[&at("secret.items[0].path: Required value")],
        ),
        (
            "Deployment",
            volume(json!({"projected": {"sources": [{"secret": {"name": "a"}, "configMap": {"name": "a"}}]}})),
            &[&at("projected.sources[0]: Forbidden: may not specify more than 1 volume type per source")],
        ),
        (
            "Deployment",
            volume(json!({"hostPath": {"path": "/a", "type": "directory"}})),
            &[&at("hostPath.type: Unsupported value: \"directory\": supported values: \"\", \"BlockDevice\"")],
        ),
        (
            "PersistentVolumeClaim",
            json!({"spec": {"accessModes": ["RWO"]}}),
            &[
                "spec.accessModes: Unsupported value: \"RWO\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            ],
        ),
        (
            "PersistentVolumeClaim",
            json!({"spec": {"accessModes": ["ReadWriteOnce", "ReadWriteOncePod"]}}),
            &["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
        (
            "StatefulSet",
            json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}]}}),
            &["spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required"],
        ),
        (
            "PersistentVolume",
            json!({"spec": {"persistentVolumeReclaimPolicy": "delete"}}),
            &[
                "spec.persistentVolumeReclaimPolicy: Unsupported value: \"delete\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
            ],
        ),
        (
            "PersistentVolume",
            json!({"spec": {"nfs": {"server": "a", "path": "/"}}}),
            &["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            "PersistentVolume",
            json!({"spec": {"hostPath": null}}),
            &["spec: Required value: must specify a volume type"],
        ),
        (
            "StorageClass",
            json!({"volumeBindingMode": "x"}),
            &["volumeBindingMode: Unsupported value: \"x\": supported values: \"Immediate\", \"WaitForFirstConsumer\""],
        ),
        (
            "StorageClass",
            json!({"reclaimPolicy": "Recycle"}),
            &["reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\""],
        ),
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

//! Scripts of what a kind does not take, each with the nearby thing that it takes. Nothing is made: all is asked dry.

use serde_json::{Value, json};

use super::scripts::merged;
use super::simulated::{APPLY, Script, ask};

/// A kind with what is asked of it.
struct Kind {
    /// Word for it in the names of scripts.
    word: &'static str,
    /// Where its objects are; `{ns}` is the script's namespace.
    place: &'static str,
    /// An object that is taken.
    body: Value,
    /// What is merged over it.
    changes: Vec<Value>,
}

/// One script a change.
pub fn of_refusals() -> Vec<Script> {
    let mut scripts = Vec::new();
    for Kind { word, place, body, changes } in kinds() {
        for (number, change) in changes.iter().enumerate() {
            let body = merged(&body, change);
            let name = body["metadata"]["name"].as_str().unwrap();
            let path = format!("{place}/{name}?fieldManager=one&fieldValidation=Strict&dryRun=All");
            let asks = vec![ask("PATCH", &path, APPLY, body)];
            scripts.push(Script { name: format!("refusal-{word}-{number}"), asks });
        }
    }
    scripts
}

fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut kind = |word, place, (version, name): (&str, &str), body: Value, changes: Vec<Value>| {
        let named = json!({"apiVersion": version, "kind": name, "metadata": {"name": "a"}});
        kinds.push(Kind { word, place, body: merged(&named, &body), changes });
    };
    let pods = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}});
    let workload = json!({"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": pods}});
    let job = json!({"template": merged(&pods, &json!({"spec": {"restartPolicy": "Never"}}))});
    let specs = |changes: Vec<Value>| changes.into_iter().map(|spec| json!({"spec": spec})).collect::<Vec<_>>();
    kind(
        "service",
        "/api/v1/namespaces/{ns}/services",
        ("v1", "Service"),
        json!({"spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}}),
        specs(vec![
            json!({"ports": [{"port": 80}, {"port": 81}]}),
            json!({"ports": [{"port": 80, "name": "a"}, {"port": 81}]}),
            json!({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}),
            json!({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}),
            json!({"ports": [{"port": 80, "name": "A_b"}]}),
            json!({"ports": [{"port": 80, "name": "a".repeat(64)}]}),
            json!({"ports": [{"port": 80, "protocol": "tcp"}]}),
            json!({"ports": [{"port": 80, "targetPort": "Http"}]}),
            json!({"ports": [{"port": 80, "targetPort": "averylongportname"}]}),
            json!({"ports": [{"port": 80, "targetPort": "http-1"}]}),
            json!({"ports": [{"targetPort": 80}]}),
            json!({"ports": [{"name": "a"}]}),
            json!({"type": "Loadbalancer"}),
            json!({"type": "ExternalName"}),
            json!({"type": "ExternalName", "externalName": "A_b"}),
            json!({"sessionAffinity": "x"}),
            json!({"internalTrafficPolicy": "x"}),
            json!({"type": "NodePort", "externalTrafficPolicy": "x"}),
            json!({"selector": {"app": "a b"}}),
        ]),
    );
    let names = |names: &[String]| names.iter().map(|name| json!({"metadata": {"name": name}})).collect::<Vec<_>>();
    kind(
        "service-name",
        "/api/v1/namespaces/{ns}/services",
        ("v1", "Service"),
        json!({"spec": {"ports": [{"port": 80}]}}),
        names(&["1a".into(), "a.b".into(), "a".repeat(63), "a".repeat(64)]),
    );
    for (word, place, name) in [
        ("deployment", "/apis/apps/v1/namespaces/{ns}/deployments", "Deployment"),
        ("stateful-set", "/apis/apps/v1/namespaces/{ns}/statefulsets", "StatefulSet"),
        ("daemon-set", "/apis/apps/v1/namespaces/{ns}/daemonsets", "DaemonSet"),
        ("replica-set", "/apis/apps/v1/namespaces/{ns}/replicasets", "ReplicaSet"),
    ] {
        let policy = |policy: &str| json!({"template": {"spec": {"restartPolicy": policy}}});
        let mut changes = vec![policy("Never"), policy("never"), policy("Always"), policy("")];
        changes.extend(match name {
            "Deployment" => vec![
                json!({"strategy": {"type": "rollingUpdate"}}),
                json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}),
                json!({"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}),
            ],
            "StatefulSet" => {
                let claim = |spec: Value| json!({"volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": spec}]});
                let size = json!({"requests": {"storage": "1Gi"}});
                vec![
                    json!({"updateStrategy": {"type": "x"}}),
                    json!({"podManagementPolicy": "x"}),
                    json!({"podManagementPolicy": "Parallel", "updateStrategy": {"type": "OnDelete"}}),
                    json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "x", "whenScaled": "y"}}),
                    claim(json!({"accessModes": ["RWO"], "resources": size})),
                    claim(json!({"resources": size})),
                    claim(json!({"accessModes": ["ReadWriteOnce"]})),
                ]
            }
            "DaemonSet" => {
                vec![json!({"updateStrategy": {"type": "x"}}), json!({"updateStrategy": {"type": "OnDelete"}})]
            }
            _ => Vec::new(),
        });
        let own = if name == "StatefulSet" { json!({"spec": {"serviceName": "a"}}) } else { json!({}) };
        kind(word, place, ("apps/v1", name), merged(&workload, &own), specs(changes));
    }
    kind(
        "labels",
        "/apis/apps/v1/namespaces/{ns}/deployments",
        ("apps/v1", "Deployment"),
        workload.clone(),
        vec![
            json!({"spec": {"template": {"metadata": {"labels": {"x": "a b"}}}}}),
            json!({"spec": {"template": {"metadata": {"labels": {"a b": "x"}}}}}),
            json!({"spec": {"template": {"metadata": {"annotations": {"a b": "x"}}}}}),
            json!({"metadata": {"labels": {"x": "a".repeat(64)}}}),
            json!({"metadata": {"labels": {"x": "a b"}}}),
            json!({"metadata": {"labels": {"Example.org/x": "a"}}}),
            json!({"metadata": {"labels": {"/x": "a"}}}),
            json!({"metadata": {"labels": {"a/b/c": "a"}}}),
            json!({"metadata": {"annotations": {"a b": "a"}}}),
            json!({"metadata": {"annotations": {"/a": "a"}}}),
            json!({"metadata": {"labels": {"example.org/x": "1.2_3"}, "annotations": {"Example.org/X": "a b"}}}),
        ],
    );
    kind(
        "pod",
        "/apis/apps/v1/namespaces/{ns}/deployments",
        ("apps/v1", "Deployment"),
        workload.clone(),
        of_pods().into_iter().map(|spec| json!({"spec": {"template": {"spec": spec}}})).collect(),
    );
    let job_specs = vec![
        json!({"template": {"spec": {"restartPolicy": "Always"}}}),
        json!({"template": {"spec": {"restartPolicy": "never"}}}),
        json!({"completionMode": "Indexed", "parallelism": 3}),
        json!({"completionMode": "indexed"}),
        json!({"podReplacementPolicy": "x"}),
        json!({"backoffLimitPerIndex": 1}),
    ];
    let place = "/apis/batch/v1/namespaces/{ns}/jobs";
    kind("job", place, ("batch/v1", "Job"), json!({"spec": job}), specs(job_specs.clone()));
    let mut cron = specs(job_specs.into_iter().map(|spec| json!({"jobTemplate": {"spec": spec}})).collect());
    cron.extend(specs(vec![
        json!({"jobTemplate": {"spec": {"completionMode": "Indexed"}}}),
        json!({"concurrencyPolicy": "x"}),
        json!({"concurrencyPolicy": "Replace"}),
        json!({"schedule": null}),
    ]));
    cron.extend(names(&["a".repeat(52), "a".repeat(53)]));
    kind(
        "cron-job",
        "/apis/batch/v1/namespaces/{ns}/cronjobs",
        ("batch/v1", "CronJob"),
        json!({"spec": {"schedule": "@daily", "jobTemplate": {"spec": job}}}),
        cron,
    );
    kind(
        "claim",
        "/api/v1/namespaces/{ns}/persistentvolumeclaims",
        ("v1", "PersistentVolumeClaim"),
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"}}),
        specs(vec![
            json!({"accessModes": ["RWO"]}),
            json!({"accessModes": ["ReadWriteOnce", "ReadWriteOncePod"]}),
            json!({"accessModes": ["ReadWriteMany", "ReadOnlyMany"]}),
            json!({"volumeMode": "x"}),
        ]),
    );
    kind(
        "volume",
        "/api/v1/persistentvolumes",
        ("v1", "PersistentVolume"),
        json!({"metadata": {"name": "a-{ns}"}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}}),
        specs(vec![
            json!({"accessModes": ["RWO"]}),
            json!({"accessModes": []}),
            json!({"persistentVolumeReclaimPolicy": "delete"}),
            json!({"persistentVolumeReclaimPolicy": "Recycle"}),
            json!({"nfs": {"server": "a", "path": "/"}}),
            json!({"hostPath": null}),
            json!({"hostPath": {"type": "x"}}),
            json!({"volumeMode": "x"}),
        ]),
    );
    kind(
        "storage-class",
        "/apis/storage.k8s.io/v1/storageclasses",
        ("storage.k8s.io/v1", "StorageClass"),
        json!({"metadata": {"name": "a-{ns}"}, "provisioner": "example.org/x"}),
        vec![
            json!({"volumeBindingMode": "x"}),
            json!({"reclaimPolicy": "Recycle"}),
            json!({"volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Retain"}),
            json!({"provisioner": null}),
        ],
    );
    let path = |change: Value| {
        let path =
            json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 80}}}});
        json!({"rules": [{"host": "a.example", "http": {"paths": [merged(&path, &change)]}}]})
    };
    kind(
        "ingress",
        "/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses",
        ("networking.k8s.io/v1", "Ingress"),
        json!({"spec": path(json!({}))}),
        specs(vec![
            path(json!({"pathType": null})),
            path(json!({"pathType": "prefix"})),
            path(json!({"path": "a"})),
            path(json!({"path": null})),
            path(json!({"path": "/a//b"})),
            path(json!({"path": "/a/../b"})),
            path(json!({"path": "/a/.."})),
            path(json!({"pathType": "ImplementationSpecific", "path": "a"})),
            path(json!({"pathType": "ImplementationSpecific", "path": null})),
            path(json!({"backend": null})),
            path(json!({"backend": {"service": {"port": null}}})),
            path(json!({"backend": {"service": {"port": {"name": "a"}}}})),
            path(json!({"backend": {"service": {"port": {"number": 70000}}}})),
            path(json!({"backend": {"service": {"port": {"number": null, "name": "A_"}}}})),
            path(json!({"backend": {"service": {"name": "a.b"}}})),
            path(json!({"backend": {"service": {"name": null}}})),
            json!({"rules": null}),
            json!({"rules": [{"host": "a.example"}]}),
            json!({"rules": [{"host": "1.2.3.4"}]}),
            json!({"rules": [{"host": "*"}]}),
            json!({"rules": [{"host": "*.a.example"}]}),
            json!({"rules": null, "defaultBackend": {"service": {"name": "a"}}}),
            json!({"rules": null, "defaultBackend": {"service": {"name": "a", "port": {"name": "http"}}}}),
        ]),
    );
    kind(
        "network-policy",
        "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies",
        ("networking.k8s.io/v1", "NetworkPolicy"),
        json!({"spec": {"podSelector": {"matchLabels": {"app": "a"}}}}),
        specs(vec![
            json!({"ingress": [{"ports": [{"port": 80, "protocol": "tcp"}]}]}),
            json!({"ingress": [{"ports": [{"port": "A_"}]}]}),
            json!({"policyTypes": ["ingress"]}),
        ]),
    );
    kind(
        "autoscaler",
        "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers",
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        json!({"spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}}),
        specs(vec![
            json!({"maxReplicas": null}),
            json!({"maxReplicas": 1, "minReplicas": 2}),
            json!({"scaleTargetRef": {"name": null}}),
            json!({"behavior": {"scaleDown": {"policies": [{"type": "x", "value": 1, "periodSeconds": 1}]}}}),
        ]),
    );
    for (word, place, name) in [
        ("role-binding", "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings", "RoleBinding"),
        ("cluster-role-binding", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "ClusterRoleBinding"),
    ] {
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
        kind(
            word,
            place,
            ("rbac.authorization.k8s.io/v1", name),
            json!({"metadata": {"name": "a-{ns}"}, "roleRef": role}),
            vec![
                json!({"subjects": [{"kind": "ServiceAccount", "name": "a"}]}),
                json!({"subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "b"}]}),
                json!({"subjects": [{"kind": "ServiceAccount", "name": "A_", "namespace": "b"}]}),
                json!({"subjects": [{"kind": "user", "name": "a"}]}),
                json!({"subjects": [{"kind": "User"}]}),
                json!({"roleRef": {"kind": "role"}}),
                json!({"roleRef": {"kind": "Role"}}),
                json!({"roleRef": {"name": null}}),
            ],
        );
    }
    let version =
        json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
    kind(
        "definition",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        json!({"metadata": {"name": "things.{ns}.example"}, "spec": {"group": "{ns}.example", "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"}, "versions": [version]}}),
        vec![
            json!({"metadata": {"name": "thing.{ns}.example"}}),
            json!({"spec": {"scope": "x"}}),
            json!({"spec": {"scope": null}}),
            json!({"spec": {"conversion": {"strategy": "x"}}}),
        ],
    );
    kinds
}

/// Specs of pods, to be merged over one that is taken.
fn of_pods() -> Vec<Value> {
    let command = json!({"command": ["a"]});
    let secret = json!({"secretKeyRef": {"name": "a", "key": "a"}});
    let containers = [
        json!({"imagePullPolicy": "always"}),
        json!({"terminationMessagePolicy": "x"}),
        json!({"ports": [{"containerPort": 80, "name": "averylongportname"}]}),
        json!({"ports": [{"containerPort": 80, "name": "Http"}]}),
        json!({"ports": [{"containerPort": 80, "name": "A_very-long--portname-"}]}),
        json!({"ports": [{"containerPort": 80, "name": "http-15-letters"}]}),
        json!({"ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]}),
        json!({"ports": [{"containerPort": 70000}]}),
        json!({"ports": [{"containerPort": 80, "hostPort": 70000}]}),
        json!({"ports": [{"containerPort": 80, "protocol": "tcp"}]}),
        json!({"env": [{"name": "A", "value": "x", "valueFrom": secret}]}),
        json!({"env": [{"name": "A", "valueFrom": {}}]}),
        json!({"env": [{"name": "A", "valueFrom": secret}]}),
        json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a"}}}]}),
        json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "a b"}}}]}),
        json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "A_", "key": "a"}}}]}),
        json!({"env": [{"name": "A", "valueFrom": merged(&secret, &json!({"configMapKeyRef": {"name": "a", "key": "a"}}))}]}),
        json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nam"}}}]}),
        json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}}]}),
        json!({"env": [{"name": "a=b", "value": "a"}]}),
        json!({"env": [{"name": "1 a-b.", "value": "a"}]}),
        json!({"envFrom": [{}]}),
        json!({"envFrom": [{"secretRef": {"name": "a"}, "configMapRef": {"name": "a"}}]}),
        json!({"envFrom": [{"secretRef": {"name": "A_b"}}]}),
        json!({"livenessProbe": {"periodSeconds": 3}}),
        json!({"readinessProbe": {"httpGet": {"port": 80}, "exec": command}}),
        json!({"readinessProbe": {"exec": command, "successThreshold": 2}}),
        json!({"livenessProbe": {"exec": command, "successThreshold": 2}}),
        json!({"livenessProbe": {"exec": {}}}),
        json!({"livenessProbe": {"httpGet": {"port": "A_"}}}),
        json!({"livenessProbe": {"httpGet": {"port": 80, "scheme": "http"}}}),
        json!({"livenessProbe": {"tcpSocket": {"port": 0}}}),
        json!({"startupProbe": {"tcpSocket": {"port": 80}, "initialDelaySeconds": -1, "periodSeconds": -1}}),
        json!({"lifecycle": {"preStop": {}}}),
        json!({"lifecycle": {"preStop": {"exec": {}}}}),
        json!({"lifecycle": {"preStop": {"exec": command}}}),
    ];
    let container = json!({"name": "c", "image": "x:1"});
    let mut specs: Vec<Value> =
        containers.iter().map(|change| json!({"containers": [merged(&container, change)]})).collect();
    let init = json!({"name": "i", "image": "x:1"});
    for change in [
        json!({"name": "c"}),
        json!({"readinessProbe": {"exec": command}}),
        json!({"readinessProbe": {"exec": command}, "restartPolicy": "Always"}),
    ] {
        specs.push(json!({"initContainers": [merged(&init, &change)]}));
    }
    for source in [
        json!({"emptyDir": {}, "secret": {"secretName": "a"}}),
        json!({"configMap": {"name": "a"}, "persistentVolumeClaim": {"claimName": "a"}, "secret": {"secretName": "a"}}),
        json!({"secret": {}}),
        json!({"configMap": {}}),
        json!({"persistentVolumeClaim": {}}),
        json!({"hostPath": {"path": "/a", "type": "directory"}}),
        json!({"hostPath": {}}),
        json!({"name": "V_", "emptyDir": {}}),
        json!({"secret": {"secretName": "a", "items": [{"key": "a"}]}}),
        json!({"secret": {"secretName": "a", "items": [{"path": "a"}]}}),
        json!({"configMap": {"name": "a", "items": [{"key": "a", "path": "../a"}]}}),
        json!({"configMap": {"name": "a", "items": [{"key": "a", "path": "/a"}]}}),
        json!({"projected": {"sources": [{"secret": {"name": "a"}, "configMap": {"name": "a"}}]}}),
        json!({"projected": {"sources": [{"secret": {}}]}}),
    ] {
        specs.push(json!({"volumes": [merged(&json!({"name": "v"}), &source)]}));
    }
    specs.extend([
        json!({"dnsPolicy": "default"}),
        json!({"tolerations": [{"key": "a", "operator": "exists"}]}),
        json!({"tolerations": [{"key": "a", "effect": "noschedule"}]}),
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "x"}]}),
        json!({"securityContext": {"fsGroupChangePolicy": "x"}}),
        json!({"securityContext": {"seccompProfile": {"type": "x"}}}),
        json!({"preemptionPolicy": "x"}),
    ]);
    specs
}

//! Scripts by kind: each kind that kits use is made, applied twice with a change, given a field that it does not have, and given
//! something that it does not take.

use serde_json::{Value, json};

use super::simulated::{Ask, MERGE, PLAIN, Script, apply_as, ask, delete, get};

/// A kind with what can be done to it.
struct Kind {
    /// Word for it in the names of scripts.
    word: &'static str,
    /// Where its objects are; `{ns}` is the script's namespace.
    place: &'static str,
    /// An object named `a-{ns}`.
    body: Value,
    /// What is merged over it for a second version.
    change: Value,
    /// What is merged over it that the API server refuses.
    wrong: Value,
}

/// Merges as a JSON merge patch does.
pub fn merged(into: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut whole = into.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        match value {
            Value::Null => drop(whole.shift_remove(name)),
            value => {
                let before = whole.get(name).cloned().unwrap_or_default();
                whole.insert(name.clone(), merged(&before, value));
            }
        }
    }
    whole.into()
}

fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut kind = |word, place, (version, name): (&str, &str), body: Value, change, wrong| {
        let named = json!({"apiVersion": version, "kind": name, "metadata": {"name": "a-{ns}"}});
        kinds.push(Kind { word, place, body: merged(&named, &body), change, wrong });
    };
    let pods = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}});
    kind(
        "config-map",
        "/api/v1/namespaces/{ns}/configmaps",
        ("v1", "ConfigMap"),
        json!({"data": {"a": "1"}}),
        json!({"data": {"b": "2"}}),
        json!({"data": {"": "1"}}),
    );
    kind(
        "secret",
        "/api/v1/namespaces/{ns}/secrets",
        ("v1", "Secret"),
        json!({"data": {"a": "MQ=="}}),
        json!({"stringData": {"b": "2"}}),
        json!({"data": {"a/b": "MQ=="}}),
    );
    kind(
        "secret-tls",
        "/api/v1/namespaces/{ns}/secrets",
        ("v1", "Secret"),
        json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "MQ==", "tls.key": "MQ=="}}),
        json!({"data": {"ca.crt": "MQ=="}}),
        json!({"data": {"tls.key": null}}),
    );
    kind(
        "service",
        "/api/v1/namespaces/{ns}/services",
        ("v1", "Service"),
        json!({"metadata": {"name": "a"}, "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}}),
        json!({"spec": {"selector": {"app": "b"}}}),
        json!({"spec": {"ports": [{"port": 70000}]}}),
    );
    kind(
        "service-headless",
        "/api/v1/namespaces/{ns}/services",
        ("v1", "Service"),
        json!({"metadata": {"name": "a"}, "spec": {"clusterIP": "None", "ports": [{"port": 80, "name": "x"}]}}),
        json!({"spec": {"publishNotReadyAddresses": true}}),
        json!({"spec": {"type": "NodePort"}}),
    );
    kind(
        "service-account",
        "/api/v1/namespaces/{ns}/serviceaccounts",
        ("v1", "ServiceAccount"),
        json!({"imagePullSecrets": [{"name": "x"}]}),
        json!({"imagePullSecrets": [{"name": "x"}, {"name": "y"}]}),
        json!({"metadata": {"labels": {"a b": "c"}}}),
    );
    kind(
        "claim",
        "/api/v1/namespaces/{ns}/persistentvolumeclaims",
        ("v1", "PersistentVolumeClaim"),
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"}}),
        json!({"metadata": {"labels": {"x": "y"}}}),
        json!({"spec": {"accessModes": []}}),
    );
    kind(
        "quota",
        "/api/v1/namespaces/{ns}/resourcequotas",
        ("v1", "ResourceQuota"),
        json!({"spec": {"hard": {"pods": "10"}}}),
        json!({"spec": {"hard": {"pods": "11"}}}),
        json!({"spec": {"hard": {"pods": "-1"}}}),
    );
    kind(
        "limits",
        "/api/v1/namespaces/{ns}/limitranges",
        ("v1", "LimitRange"),
        json!({"spec": {"limits": [{"type": "Container", "default": {"memory": "1Gi"}}]}}),
        json!({"metadata": {"annotations": {"x": "y"}}}),
        json!({"metadata": {"labels": {"a b": "c"}}}),
    );
    kind(
        "deployment",
        "/apis/apps/v1/namespaces/{ns}/deployments",
        ("apps/v1", "Deployment"),
        json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": pods}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
        json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}}),
    );
    kind(
        "stateful-set",
        "/apis/apps/v1/namespaces/{ns}/statefulsets",
        ("apps/v1", "StatefulSet"),
        json!({"spec": {"replicas": 0, "serviceName": "a", "selector": {"matchLabels": {"app": "a"}}, "template": pods}}),
        json!({"spec": {"podManagementPolicy": null, "minReadySeconds": 3}}),
        json!({"spec": {"serviceName": "b", "template": {"metadata": {"labels": {"app": "b"}}}}}),
    );
    kind(
        "daemon-set",
        "/apis/apps/v1/namespaces/{ns}/daemonsets",
        ("apps/v1", "DaemonSet"),
        json!({"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": pods}}),
        json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}),
        json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}}),
    );
    kind(
        "job",
        "/apis/batch/v1/namespaces/{ns}/jobs",
        ("batch/v1", "Job"),
        json!({"spec": {"suspend": true, "template": merged(&pods, &json!({"spec": {"restartPolicy": "Never"}}))}}),
        json!({"spec": {"backoffLimit": 2}}),
        json!({"spec": {"template": {"spec": {"restartPolicy": "Always"}}}}),
    );
    kind(
        "cron-job",
        "/apis/batch/v1/namespaces/{ns}/cronjobs",
        ("batch/v1", "CronJob"),
        json!({"spec": {"suspend": true, "schedule": "0 4 * * *", "jobTemplate": {"spec": {"template": merged(&pods, &json!({"spec": {"restartPolicy": "Never"}}))}}}}),
        json!({"spec": {"schedule": "0 5 * * *", "concurrencyPolicy": "Forbid"}}),
        json!({"spec": {"schedule": "every day"}}),
    );
    kind(
        "ingress",
        "/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses",
        ("networking.k8s.io/v1", "Ingress"),
        json!({"spec": {"ingressClassName": "none", "rules": [{"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 80}}}}]}}]}}),
        json!({"spec": {"tls": [{"hosts": ["a.example"], "secretName": "a"}]}}),
        json!({"spec": {"rules": [{"host": "A_b"}]}}),
    );
    kind(
        "ingress-class",
        "/apis/networking.k8s.io/v1/ingressclasses",
        ("networking.k8s.io/v1", "IngressClass"),
        json!({"spec": {"controller": "example.org/x"}}),
        json!({"metadata": {"annotations": {"x": "y"}}}),
        json!({"spec": {"controller": "no domain"}}),
    );
    kind(
        "network-policy",
        "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies",
        ("networking.k8s.io/v1", "NetworkPolicy"),
        json!({"spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}], "ports": [{"port": 80}]}]}}),
        json!({"spec": {"egress": [{}], "policyTypes": ["Ingress", "Egress"]}}),
        json!({"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]}}),
    );
    kind(
        "disruption-budget",
        "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets",
        ("policy/v1", "PodDisruptionBudget"),
        json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}}),
        json!({"spec": {"minAvailable": "50%"}}),
        json!({"spec": {"maxUnavailable": 1}}),
    );
    kind(
        "autoscaler",
        "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers",
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        json!({"spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}}),
        json!({"spec": {"minReplicas": 2}}),
        json!({"spec": {"minReplicas": 5}}),
    );
    kind(
        "role",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles",
        ("rbac.authorization.k8s.io/v1", "Role"),
        json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]}),
        json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": []}]}),
    );
    kind(
        "cluster-role",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        json!({"rules": [{"nonResourceURLs": ["/healthz"], "verbs": ["get"]}]}),
        json!({"metadata": {"labels": {"x": "y"}}}),
        json!({"rules": [{"apiGroups": [""], "verbs": ["get"]}]}),
    );
    kind(
        "storage-class",
        "/apis/storage.k8s.io/v1/storageclasses",
        ("storage.k8s.io/v1", "StorageClass"),
        json!({"provisioner": "example.org/x", "parameters": {"a": "b"}}),
        json!({"allowVolumeExpansion": true}),
        json!({"parameters": {"a": "c"}}),
    );
    kind(
        "priority-class",
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        ("scheduling.k8s.io/v1", "PriorityClass"),
        json!({"value": 10, "description": "some"}),
        json!({"description": "more"}),
        json!({"value": 11}),
    );
    kind(
        "volume",
        "/api/v1/persistentvolumes",
        ("v1", "PersistentVolume"),
        json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "none", "hostPath": {"path": "/nowhere"}}}),
        json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}}),
        json!({"spec": {"hostPath": {"path": "/elsewhere"}}}),
    );
    kind(
        "lease",
        "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases",
        ("coordination.k8s.io/v1", "Lease"),
        json!({"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}),
        json!({"spec": {"leaseTransitions": 1}}),
        json!({"spec": {"leaseDurationSeconds": 0}}),
    );
    kinds
}

/// Four scripts a kind.
pub fn by_kind() -> Vec<Script> {
    let mut scripts = Vec::new();
    for kind in kinds() {
        let Kind { word, place, body, change, wrong } = kind;
        let name = body["metadata"]["name"].as_str().unwrap().to_owned();
        let object = format!("{place}/{name}");
        let mut script = |what: &str, mut asks: Vec<Ask>| {
            asks.push(delete(&object, json!({"propagationPolicy": "Background"})));
            scripts.push(Script { name: format!("{word}-{what}"), asks });
        };
        let apply = |body: &Value| apply_as("one", &object, false, body.clone());
        let post = ask("POST", &format!("{place}?fieldManager=k&fieldValidation=Strict"), PLAIN, body.clone());
        script("made", vec![post, get(&object)]);
        let second = merged(&body, &change);
        script("changed", vec![apply(&body), apply(&second), apply(&second), apply(&body), get(&object)]);
        let strange = merged(&body, &json!({"spce": {"a": 1}}));
        script("strange", vec![apply(&strange), get(&object)]);
        let patched = ask("PATCH", &format!("{object}?fieldManager=m"), MERGE, wrong.clone());
        script("wrong", vec![apply(&merged(&body, &wrong)), apply(&body), patched, get(&object)]);
    }
    scripts
}

/// What each kind that makes pods is told about a template that no pod could be made of.
pub fn of_templates() -> Vec<Script> {
    let image = |name: &str| json!({"name": name, "image": "x:1"});
    let mounts =
        |name: &str| json!({"name": name, "image": "x:1", "volumeMounts": [{"name": "nowhere", "mountPath": "/a"}]});
    let wrong = [
        ("no-volume", json!({"containers": [mounts("c")]})),
        ("no-volume-before", json!({"initContainers": [mounts("i")], "containers": [image("c")]})),
        ("no-image", json!({"containers": [{"name": "c"}]})),
        ("no-image-before", json!({"initContainers": [{"name": "i"}], "containers": [image("c")]})),
        ("no-containers", json!({"containers": []})),
        (
            "same-place",
            json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "c", "image": "x:1",
            "volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]}]}),
        ),
        ("no-account", json!({"serviceAccountName": "Not A Name", "containers": [image("c")]})),
        ("odd-name", json!({"containers": [image("A_b")]})),
    ];
    let labels = json!({"metadata": {"labels": {"app": "a"}}});
    let selector = json!({"selector": {"matchLabels": {"app": "a"}}, "template": labels});
    let kinds = [
        ("deployment", "apps/v1", "Deployment", "deployments", selector.clone(), "/spec/template/spec"),
        (
            "stateful-set",
            "apps/v1",
            "StatefulSet",
            "statefulsets",
            merged(&selector, &json!({"serviceName": "a"})),
            "/spec/template/spec",
        ),
        ("daemon-set", "apps/v1", "DaemonSet", "daemonsets", selector, "/spec/template/spec"),
        (
            "job",
            "batch/v1",
            "Job",
            "jobs",
            json!({"template": {"spec": {"restartPolicy": "Never"}}}),
            "/spec/template/spec",
        ),
        (
            "cron-job",
            "batch/v1",
            "CronJob",
            "cronjobs",
            json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template":
            {"spec": {"restartPolicy": "Never"}}}}}),
            "/spec/jobTemplate/spec/template/spec",
        ),
        ("pod", "v1", "Pod", "pods", json!({}), "/spec"),
    ];
    let mut scripts = Vec::new();
    for (word, version, kind, resource, spec, path) in kinds {
        for (what, pod) in &wrong {
            // Nothing runs here, so that no controller changes what is compared.
            let suspended = match kind {
                "Deployment" | "StatefulSet" => json!({"replicas": 0}),
                "Job" | "CronJob" => json!({"suspend": true}),
                _ => json!({}),
            };
            let mut body = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": merged(&spec, &suspended)});
            let nested =
                path.rsplit('/').filter(|part| !part.is_empty()).fold(pod.clone(), |inner, part| json!({part: inner}));
            body = merged(&body, &nested);
            let group = if version == "v1" { "api/v1".to_owned() } else { format!("apis/{version}") };
            let object = format!("/{group}/namespaces/{{ns}}/{resource}/a");
            let asks = vec![
                apply_as("one", &object, false, body),
                delete(&object, json!({"propagationPolicy": "Background"})),
            ];
            scripts.push(Script { name: format!("template-{word}-{what}"), asks });
        }
    }
    scripts
}

/// What is told of numbers, amounts and schedules that cannot be.
pub fn of_numbers() -> Vec<Script> {
    let pod = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}});
    let workload = json!({"selector": {"matchLabels": {"app": "a"}}, "template": pod});
    let job = json!({"suspend": true, "template": merged(&pod, &json!({"spec": {"restartPolicy": "Never"}}))});
    let cron = json!({"suspend": true, "schedule": "* * * * *", "jobTemplate": {"spec": job}});
    let asks = |requests: Value, limits: Value| {
        let container = json!({"name": "c", "image": "x:1", "resources": {"requests": requests, "limits": limits}});
        json!({"template": {"spec": {"containers": [container]}}})
    };
    let size = |size: Value| json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}});
    let mut wrong: Vec<(&str, &str, &str, Value)> = Vec::new();
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        wrong.push(("apps/v1", "Deployment", "deployments", merged(&workload, &json!({field: -1}))));
    }
    for change in [
        json!({"replicas": 3_000_000_000_u64}),
        asks(json!({"cpu": -1}), json!({})),
        asks(json!({"memory": "2048Mi"}), json!({"memory": "1Gi"})),
        asks(json!({"memory": "1Gi"}), json!({"memory": "-1Gi"})),
        asks(json!({"cpu": "1500m"}), json!({"cpu": 1})),
    ] {
        wrong.push(("apps/v1", "Deployment", "deployments", merged(&workload, &change)));
    }
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        let spec = merged(&workload, &json!({"serviceName": "a", "replicas": 0, field: -1}));
        wrong.push(("apps/v1", "StatefulSet", "statefulsets", spec));
        wrong.push(("apps/v1", "DaemonSet", "daemonsets", merged(&workload, &json!({field: -1}))));
    }
    for field in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] {
        wrong.push(("batch/v1", "Job", "jobs", merged(&job, &json!({field: -1}))));
        let spec = merged(&cron, &json!({"jobTemplate": {"spec": {field: -1}}}));
        wrong.push(("batch/v1", "CronJob", "cronjobs", spec));
    }
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        wrong.push(("batch/v1", "CronJob", "cronjobs", merged(&cron, &json!({field: -1}))));
    }
    for schedule in [
        "61 * * * banana",
        "@dayly",
        "* * 0 * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "1-2-3 * * * *",
        "1/2/3 * * * *",
        "* * * * 7",
        "* * * * banana",
        "-1 * * * *",
        "1,,99 * * * *",
    ] {
        wrong.push(("batch/v1", "CronJob", "cronjobs", merged(&cron, &json!({"schedule": schedule}))));
    }
    for storage in [json!("-5Gi"), json!("0"), json!(0)] {
        wrong.push(("v1", "PersistentVolumeClaim", "persistentvolumeclaims", size(storage)));
    }
    let script = |(number, (version, kind, resource, spec)): (usize, (&str, &str, &str, Value))| {
        let body = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        let group = if version == "v1" { "api/v1".to_owned() } else { format!("apis/{version}") };
        let object = format!("/{group}/namespaces/{{ns}}/{resource}/a");
        let asks =
            vec![apply_as("one", &object, false, body), delete(&object, json!({"propagationPolicy": "Background"}))];
        Script { name: format!("number-{}-{number}", kind.to_lowercase()), asks }
    };
    wrong.into_iter().enumerate().map(script).collect()
}

//! What the API server fills in when something is left out: the defaults of `pkg/apis/*/v1/defaults.go`, as far as kits and
//! controllers rely on them.

use serde_json::{Map, Value, json};

use super::typed::fill_in;
use crate::manifest::schema::Kind;

/// Fills in an object's defaults. The same twice gives the same.
pub fn fill(kind: &Kind, object: &mut Value) {
    if kind.custom {
        fill_in(&kind.root, object);
        return;
    }
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => namespace(object),
        ("", "Secret") => set(object, "type", json!("Opaque")),
        ("", "Service") => service(object),
        ("", "Pod") => pod(at(object, "spec")),
        ("", "PersistentVolumeClaim") => set(at(object, "spec"), "volumeMode", json!("Filesystem")),
        ("", "PersistentVolume") => {
            set(at(object, "spec"), "volumeMode", json!("Filesystem"));
            set(at(object, "spec"), "persistentVolumeReclaimPolicy", json!("Retain"));
            if let Some(path) = at(object, "spec").get_mut("hostPath").filter(|path| path.is_object()) {
                set(path, "type", json!(""));
            }
        }
        ("apps", "Deployment") => {
            let spec = at(object, "spec");
            set(spec, "replicas", json!(1));
            set(spec, "strategy", json!({}));
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "progressDeadlineSeconds", json!(600));
            let strategy = at(spec, "strategy");
            set(strategy, "type", json!("RollingUpdate"));
            if strategy["type"] == "RollingUpdate" {
                let rolling = at(strategy, "rollingUpdate");
                set(rolling, "maxUnavailable", json!("25%"));
                set(rolling, "maxSurge", json!("25%"));
            }
            template(spec);
        }
        ("apps", "ReplicaSet") => {
            set(at(object, "spec"), "replicas", json!(1));
            template(at(object, "spec"));
        }
        ("apps", "StatefulSet") => stateful_set(at(object, "spec")),
        ("apps", "DaemonSet") => {
            let annotations = at(at(object, "metadata"), "annotations");
            set(annotations, "deprecated.daemonset.template.generation", json!("1"));
            let spec = at(object, "spec");
            set(spec, "revisionHistoryLimit", json!(10));
            let strategy = at(spec, "updateStrategy");
            set(strategy, "type", json!("RollingUpdate"));
            if strategy["type"] == "RollingUpdate" {
                let rolling = at(strategy, "rollingUpdate");
                set(rolling, "maxUnavailable", json!(1));
                set(rolling, "maxSurge", json!(0));
            }
            template(spec);
        }
        ("batch", "Job") => job(object),
        ("batch", "CronJob") => {
            let spec = at(object, "spec");
            set(spec, "concurrencyPolicy", json!("Allow"));
            set(spec, "suspend", json!(false));
            set(spec, "successfulJobsHistoryLimit", json!(3));
            set(spec, "failedJobsHistoryLimit", json!(1));
            set(at(spec, "jobTemplate"), "metadata", json!({}));
            template(at(at(spec, "jobTemplate"), "spec"));
        }
        ("networking.k8s.io", "NetworkPolicy") => {
            let spec = at(object, "spec");
            if spec.get("policyTypes").is_none() {
                let egress = spec.get("egress").is_some();
                spec["policyTypes"] = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            }
            for direction in ["ingress", "egress"] {
                for rule in items(spec, direction) {
                    for port in items(rule, "ports") {
                        set(port, "protocol", json!("TCP"));
                    }
                }
            }
        }
        ("storage.k8s.io", "StorageClass") => {
            set(object, "reclaimPolicy", json!("Delete"));
            set(object, "volumeBindingMode", json!("Immediate"));
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            for subject in items(object, "subjects") {
                if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
                    set(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
                }
            }
            if let Some(role) = object.get_mut("roleRef").filter(|role| role.is_object()) {
                set(role, "apiGroup", json!("rbac.authorization.k8s.io"));
            }
        }
        ("autoscaling", "HorizontalPodAutoscaler") => {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            set(at(object, "spec"), "minReplicas", json!(1));
            let processor = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
            set(at(object, "spec"), "metrics", json!([processor]));
        }
        ("", "LimitRange") => {
            for limit in items(at(object, "spec"), "limits") {
                // What a container may use is what it asks for, where nothing else is said.
                if limit["type"] == "Container"
                    && let Some(default) = limit.get("default").cloned()
                {
                    set(limit, "defaultRequest", default);
                }
            }
        }
        ("scheduling.k8s.io", "PriorityClass") => set(object, "preemptionPolicy", json!("PreemptLowerPriority")),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let spec = at(object, "spec");
            set(spec, "conversion", json!({"strategy": "None"}));
            let names = at(spec, "names");
            let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            set(names, "singular", kind.to_lowercase().into());
            set(names, "listKind", format!("{kind}List").into());
        }
        _ => {}
    }
}

/// A part of an object, made where it is missing.
fn at<'v>(object: &'v mut Value, name: &str) -> &'v mut Value {
    if !object.is_object() {
        *object = json!({});
    }
    if !object.get(name).is_some_and(Value::is_object) {
        object[name] = json!({});
    }
    &mut object[name]
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(map) = object.as_object_mut()
        && map.get(name).is_none_or(Value::is_null)
    {
        map.insert(name.to_owned(), value);
    }
}

fn items<'v>(object: &'v mut Value, name: &str) -> impl Iterator<Item = &'v mut Value> {
    object.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

fn namespace(object: &mut Value) {
    let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
    at(at(object, "metadata"), "labels")["kubernetes.io/metadata.name"] = name;
    set(at(object, "spec"), "finalizers", json!(["kubernetes"]));
    set(at(object, "status"), "phase", json!("Active"));
}

fn service(object: &mut Value) {
    let spec = at(object, "spec");
    set(spec, "type", json!("ClusterIP"));
    set(spec, "sessionAffinity", json!("None"));
    let external = spec["type"] == "ExternalName";
    for port in items(spec, "ports") {
        set(port, "protocol", json!("TCP"));
        let own = port.get("port").cloned().unwrap_or_default();
        // As empty as none.
        if port.get("targetPort").is_some_and(|it| *it == json!(0) || *it == json!("")) {
            port["targetPort"] = own.clone();
        }
        set(port, "targetPort", own);
    }
    if external {
        return;
    }
    set(spec, "internalTrafficPolicy", json!("Cluster"));
    if matches!(spec["type"].as_str(), Some("LoadBalancer" | "NodePort")) {
        set(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if spec["type"] == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    if spec["sessionAffinity"] == "ClientIP" {
        set(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
    }
    object_status(object, json!({"loadBalancer": {}}));
}

fn object_status(object: &mut Value, status: Value) {
    if object.get("status").is_none() {
        object["status"] = status;
    }
}

fn stateful_set(spec: &mut Value) {
    set(spec, "replicas", json!(1));
    set(spec, "podManagementPolicy", json!("OrderedReady"));
    set(spec, "revisionHistoryLimit", json!(10));
    let strategy = at(spec, "updateStrategy");
    set(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        set(at(strategy, "rollingUpdate"), "partition", json!(0));
    }
    let retention = at(spec, "persistentVolumeClaimRetentionPolicy");
    set(retention, "whenDeleted", json!("Retain"));
    set(retention, "whenScaled", json!("Retain"));
    for claim in items(spec, "volumeClaimTemplates") {
        set(claim, "apiVersion", json!("v1"));
        set(claim, "kind", json!("PersistentVolumeClaim"));
        set(at(claim, "spec"), "volumeMode", json!("Filesystem"));
        set(claim, "status", json!({"phase": "Pending"}));
    }
    template(spec);
}

fn job(object: &mut Value) {
    let spec = at(object, "spec");
    for (name, value) in [
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("manualSelector", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        set(spec, name, value);
    }
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        set(spec, "completions", json!(1));
    }
    set(spec, "parallelism", json!(1));
    template(spec);
}

/// Defaults of a pod template.
fn template(spec: &mut Value) {
    if spec.get("template").is_some() {
        set(at(spec, "template"), "metadata", json!({}));
        pod(at(at(spec, "template"), "spec"));
    }
}

fn pod(spec: &mut Value) {
    for (name, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("securityContext", json!({})),
        ("schedulerName", json!("default-scheduler")),
    ] {
        set(spec, name, value);
    }
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set(spec, "serviceAccount", account);
    } else if let Some(account) = spec.get("serviceAccount").cloned() {
        set(spec, "serviceAccountName", account);
    }
    for list in ["initContainers", "containers"] {
        items(spec, list).for_each(container);
    }
    for volume in items(spec, "volumes") {
        for kind in ["configMap", "secret", "projected", "downwardAPI"] {
            if let Some(source) = volume.get_mut(kind) {
                set(source, "defaultMode", json!(420));
            }
        }
        if let Some(path) = volume.get_mut("hostPath") {
            set(path, "type", json!(""));
        }
    }
    for constraint in items(spec, "topologySpreadConstraints") {
        set(constraint, "whenUnsatisfiable", json!("DoNotSchedule"));
    }
}

fn container(container: &mut Value) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let floating = !image.contains('@') && (!last.contains(':') || last.ends_with(":latest"));
    set(container, "imagePullPolicy", if floating { "Always" } else { "IfNotPresent" }.into());
    set(container, "resources", json!({}));
    set(container, "terminationMessagePath", json!("/dev/termination-log"));
    set(container, "terminationMessagePolicy", json!("File"));
    for port in items(container, "ports") {
        set(port, "protocol", json!("TCP"));
    }
    for variable in items(container, "env") {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
            set(field, "apiVersion", json!("v1"));
        }
        if let Some(field) = variable.pointer_mut("/valueFrom/resourceFieldRef") {
            set(field, "divisor", json!("0"));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe) else { continue };
        for (name, value) in
            [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
        {
            set(probe, name, value.into());
        }
        if let Some(http) = probe.get_mut("httpGet") {
            set(http, "path", json!("/"));
            set(http, "scheme", json!("HTTP"));
        }
    }
    // Requests follow limits.
    let limits = container.pointer("/resources/limits").and_then(Value::as_object).cloned();
    if let Some(limits) = limits {
        let requests = at(at(container, "resources"), "requests");
        for (name, amount) in limits {
            set(requests, &name, amount);
        }
    }
}

/// What is given when an object is made: addresses of Services, the phase of claims and volumes, the selector of Jobs.
pub fn allocate(kind: &Kind, object: &mut Value, number: u64) {
    let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") => {
            let spec = at(object, "spec");
            if spec["type"] == "ExternalName" {
                return;
            }
            let address = format!("10.96.{}.{}", number / 250 % 250, number % 250 + 1);
            set(spec, "clusterIP", address.into());
            let address = spec["clusterIP"].clone();
            // A headless one without pods of its own may be reached by either family.
            let either = address == "None" && spec.get("selector").is_none();
            set(spec, "clusterIPs", json!([address]));
            set(spec, "ipFamilies", if either { json!(["IPv4", "IPv6"]) } else { json!(["IPv4"]) });
            set(spec, "ipFamilyPolicy", json!(if either { "RequireDualStack" } else { "SingleStack" }));
            if matches!(spec["type"].as_str(), Some("LoadBalancer" | "NodePort")) {
                for (index, port) in items(spec, "ports").enumerate() {
                    set(port, "nodePort", (30_000 + (number * 7 + index as u64) % 2_767).into());
                }
            }
        }
        ("", "PersistentVolumeClaim" | "PersistentVolume") => {
            let finalizer = if kind.kind == "PersistentVolume" {
                "kubernetes.io/pv-protection"
            } else {
                "kubernetes.io/pvc-protection"
            };
            let metadata = at(object, "metadata");
            let known = metadata.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
            if !known.iter().any(|it| it == finalizer) {
                metadata["finalizers"] = known.into_iter().chain([finalizer.into()]).collect();
            }
            object["status"] = json!({"phase": "Pending"});
        }
        ("", "Pod") => object["status"] = json!({"phase": "Pending", "qosClass": "Burstable"}),
        ("batch", "Job") => {
            let spec = at(object, "spec");
            if spec["manualSelector"] == true {
                return;
            }
            let selector = json!({"batch.kubernetes.io/controller-uid": uid});
            at(spec, "selector")["matchLabels"] = selector;
            let labels = at(at(at(spec, "template"), "metadata"), "labels");
            for (label, value) in [
                ("batch.kubernetes.io/controller-uid", &uid),
                ("batch.kubernetes.io/job-name", &name),
                ("controller-uid", &uid),
                ("job-name", &name),
            ] {
                set(labels, label, value.as_str().into());
            }
            let labels = labels.clone();
            set(at(object, "metadata"), "labels", labels);
        }
        _ => {}
    }
}

/// Turns `stringData` into `data`, as the server does when it stores a Secret.
pub fn fold_string_data(object: &mut Value) {
    use base64::Engine as _;
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|object| object.shift_remove("stringData")) else {
        return;
    };
    let data = at(object, "data");
    for (name, text) in texts {
        let text = text.as_str().unwrap_or_default();
        data[&name] = base64::engine::general_purpose::STANDARD.encode(text).into();
    }
    if data.as_object().is_some_and(Map::is_empty) {
        object.as_object_mut().and_then(|object| object.shift_remove("data"));
    }
}

//! Objects as rows of a table, as `kubectl get` asks for them: the columns of the real API server for the kinds that people
//! look at, a name and an age for all others.

use serde_json::{Value, json};

use crate::manifest::schema::Kind;

/// What is asked for with the header `Accept`.
pub fn wanted(accept: &str) -> bool {
    accept.split(',').next().is_some_and(|first| first.contains("as=Table"))
}

/// A column: its name, whether it is shown only with `-o wide`, and what stands in it.
type Column = (&'static str, bool, fn(&Value, &str) -> Value);

/// The table of some objects. `now` is the time for their ages; `revision` that of the list.
pub fn table<'v>(kind: &Kind, objects: impl Iterator<Item = &'v Value>, now: &str, mut metadata: Value) -> Value {
    let columns = columns(kind);
    let rows: Vec<Value> = objects
        .map(|object| {
            let cells: Vec<Value> = columns.iter().map(|(_, _, cell)| cell(object, now)).collect();
            let metadata = object.get("metadata").cloned().unwrap_or_default();
            let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
            json!({"cells": cells, "object": object})
        })
        .collect();
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, wide, _)| {
            let format = if *name == "Name" { "name" } else { "" };
            json!({"name": name, "type": "string", "format": format, "description": "", "priority": u8::from(*wide)})
        })
        .collect();
    if metadata.is_null() {
        metadata = json!({});
    }
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions,
        "rows": rows})
}

fn columns(kind: &Kind) -> Vec<Column> {
    let name: Column = ("Name", false, |object, _| text(object, "/metadata/name").into());
    let age: Column = ("Age", false, |object, now| between(text(object, "/metadata/creationTimestamp"), now).into());
    let middle: Vec<Column> = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Event") => return events(),
        ("", "ConfigMap") => vec![("Data", false, data)],
        ("", "Secret") => vec![("Type", false, |secret, _| text(secret, "/type").into()), ("Data", false, data)],
        ("", "Namespace") => vec![("Status", false, phase)],
        ("", "ServiceAccount") => vec![("Secrets", false, |account, _| size(account, "/secrets").into())],
        ("", "Pod") => vec![
            ("Ready", false, |pod, _| {
                let ready = list(pod, "/status/containerStatuses").filter(|it| it["ready"] == true).count();
                format!("{ready}/{}", size(pod, "/spec/containers")).into()
            }),
            ("Status", false, pod_status),
            ("Restarts", false, |pod, _| {
                let counts = list(pod, "/status/containerStatuses").filter_map(|it| it["restartCount"].as_u64());
                counts.sum::<u64>().to_string().into()
            }),
        ],
        ("apps", "Deployment") => vec![
            ("Ready", false, of_replicas),
            ("Up-to-date", false, |it, _| number(it, "/status/updatedReplicas")),
            ("Available", false, |it, _| number(it, "/status/availableReplicas")),
        ],
        ("apps", "ReplicaSet") => vec![
            ("Desired", false, |it, _| number(it, "/spec/replicas")),
            ("Current", false, |it, _| number(it, "/status/replicas")),
            ("Ready", false, |it, _| number(it, "/status/readyReplicas")),
        ],
        ("apps", "StatefulSet") => vec![("Ready", false, of_replicas)],
        ("apps", "DaemonSet") => vec![
            ("Desired", false, |it, _| number(it, "/status/desiredNumberScheduled")),
            ("Current", false, |it, _| number(it, "/status/currentNumberScheduled")),
            ("Ready", false, |it, _| number(it, "/status/numberReady")),
            ("Up-to-date", false, |it, _| number(it, "/status/updatedNumberScheduled")),
            ("Available", false, |it, _| number(it, "/status/numberAvailable")),
        ],
        ("batch", "Job") => vec![
            ("Status", false, job_status),
            ("Completions", false, |job, _| {
                let wanted = job.pointer("/spec/completions").and_then(Value::as_u64).unwrap_or(1);
                format!("{}/{wanted}", job.pointer("/status/succeeded").and_then(Value::as_u64).unwrap_or_default())
                    .into()
            }),
            ("Duration", false, |job, now| {
                let end = Some(text(job, "/status/completionTime")).filter(|it| !it.is_empty()).unwrap_or(now);
                let start = text(job, "/status/startTime");
                if start.is_empty() { "".into() } else { between(start, end).into() }
            }),
        ],
        ("", "Service") => vec![
            ("Type", false, |service, _| text(service, "/spec/type").into()),
            ("Cluster-IP", false, |service, _| or_none(text(service, "/spec/clusterIP"))),
            ("External-IP", false, |service, _| match text(service, "/spec/type") {
                "ExternalName" => text(service, "/spec/externalName").into(),
                "LoadBalancer" => {
                    let address = text(service, "/status/loadBalancer/ingress/0/ip");
                    if address.is_empty() { "<pending>".into() } else { address.into() }
                }
                _ => or_none(""),
            }),
            ("Port(s)", false, ports),
        ],
        ("", "PersistentVolumeClaim") => vec![
            ("Status", false, phase),
            ("Volume", false, |claim, _| text(claim, "/spec/volumeName").into()),
            ("Capacity", false, |claim, _| text(claim, "/status/capacity/storage").into()),
            ("Access Modes", false, |claim, _| modes(claim, "/status/accessModes").into()),
            ("StorageClass", false, |claim, _| text(claim, "/spec/storageClassName").into()),
            ("VolumeAttributesClass", false, unset),
        ],
        ("", "PersistentVolume") => vec![
            ("Capacity", false, |volume, _| text(volume, "/spec/capacity/storage").into()),
            ("Access Modes", false, |volume, _| modes(volume, "/spec/accessModes").into()),
            ("Reclaim Policy", false, |volume, _| text(volume, "/spec/persistentVolumeReclaimPolicy").into()),
            ("Status", false, phase),
            ("Claim", false, |volume, _| {
                let (namespace, name) = (text(volume, "/spec/claimRef/namespace"), text(volume, "/spec/claimRef/name"));
                if name.is_empty() { "".into() } else { format!("{namespace}/{name}").into() }
            }),
            ("StorageClass", false, |volume, _| text(volume, "/spec/storageClassName").into()),
            ("VolumeAttributesClass", false, unset),
            ("Reason", false, |volume, _| text(volume, "/status/reason").into()),
        ],
        ("networking.k8s.io", "Ingress") => vec![
            ("Class", false, |ingress, _| or_none(text(ingress, "/spec/ingressClassName"))),
            ("Hosts", false, |ingress, _| {
                let hosts: Vec<&str> = list(ingress, "/spec/rules").map(|rule| text(rule, "/host")).collect();
                if hosts.is_empty() { "*".into() } else { hosts.join(",").into() }
            }),
            ("Address", false, |ingress, _| text(ingress, "/status/loadBalancer/ingress/0/ip").into()),
            ("Ports", false, |ingress, _| if size(ingress, "/spec/tls") > 0 { "80, 443".into() } else { "80".into() }),
        ],
        ("", "Node") => vec![
            ("Status", false, |node, _| {
                let ready = super::controllers::condition(node, "Ready") == Some("True");
                if ready { "Ready".into() } else { "NotReady".into() }
            }),
            ("Roles", false, |_, _| "<none>".into()),
        ],
        _ if kind.custom => Vec::new(),
        ("rbac.authorization.k8s.io" | "apiextensions.k8s.io", _) => {
            return vec![name, ("Created At", false, |object, _| text(object, "/metadata/creationTimestamp").into())];
        }
        _ => Vec::new(),
    };
    [vec![name], middle, vec![age]].concat()
}

fn events() -> Vec<Column> {
    vec![
        ("Last Seen", false, |event, now| between(text(event, "/lastTimestamp"), now).into()),
        ("Type", false, |event, _| text(event, "/type").into()),
        ("Reason", false, |event, _| text(event, "/reason").into()),
        ("Object", false, |event, _| {
            let kind = text(event, "/involvedObject/kind").to_lowercase();
            format!("{kind}/{}", text(event, "/involvedObject/name")).into()
        }),
        ("Message", false, |event, _| text(event, "/message").into()),
    ]
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(object: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn size(object: &Value, pointer: &str) -> usize {
    list(object, pointer).count()
}

fn number(object: &Value, pointer: &str) -> Value {
    object.pointer(pointer).cloned().unwrap_or(json!(0))
}

fn or_none(text: &str) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

fn unset(_: &Value, _: &str) -> Value {
    "<unset>".into()
}

fn phase(object: &Value, _: &str) -> Value {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return "Terminating".into();
    }
    text(object, "/status/phase").into()
}

fn data(object: &Value, _: &str) -> Value {
    let count = |pointer: &str| object.pointer(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    (count("/data") + count("/binaryData")).into()
}

fn of_replicas(object: &Value, _: &str) -> Value {
    format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas")).into()
}

fn pod_status(pod: &Value, _: &str) -> Value {
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return "Terminating".into();
    }
    let state = |kind: &str| {
        let statuses = list(pod, "/status/containerStatuses");
        let reasons = statuses.map(|it| text(it, &format!("/state/{kind}/reason")).to_owned());
        reasons.filter(|reason| !reason.is_empty()).last()
    };
    let shown = state("waiting").or_else(|| state("terminated"));
    shown.unwrap_or_else(|| text(pod, "/status/phase").to_owned()).into()
}

fn job_status(job: &Value, _: &str) -> Value {
    let is = |kind: &str| super::controllers::condition(job, kind) == Some("True");
    match () {
        () if is("Complete") => "Complete".into(),
        () if is("Failed") => "Failed".into(),
        () if job.pointer("/metadata/deletionTimestamp").is_some() => "Terminating".into(),
        () if is("Suspended") => "Suspended".into(),
        () => "Running".into(),
    }
}

fn ports(service: &Value, _: &str) -> Value {
    let ports: Vec<String> = list(service, "/spec/ports")
        .map(|port| {
            let (number, protocol) = (&port["port"], port["protocol"].as_str().unwrap_or("TCP"));
            match port.get("nodePort") {
                Some(node) => format!("{number}:{node}/{protocol}"),
                None => format!("{number}/{protocol}"),
            }
        })
        .collect();
    if ports.is_empty() { "<none>".into() } else { ports.join(",").into() }
}

fn modes(object: &Value, pointer: &str) -> String {
    let short = |mode: &Value| match mode.as_str().unwrap_or_default() {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    list(object, pointer).map(short).collect::<Vec<_>>().join(",")
}

/// The time between two moments, as kubectl tells ages.
fn between(since: &str, now: &str) -> String {
    let moment = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let (Some(since), Some(now)) = (moment(since), moment(now)) else { return "<unknown>".into() };
    let seconds = (now.as_second() - since.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let both = |big: i64, letter: char, small: i64, other: char| {
        if small == 0 { format!("{big}{letter}") } else { format!("{big}{letter}{small}{other}") }
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => both(minutes, 'm', seconds % 60, 's'),
        () if hours < 3 => format!("{minutes}m"),
        () if hours < 8 => both(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => both(days, 'd', hours % 24, 'h'),
        () => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_as_kubectl_tells_them() {
        for (now, told) in [
            ("1970-01-01T00:01:59Z", "119s"),
            ("1970-01-01T00:02:00Z", "2m"),
            ("1970-01-01T00:09:59Z", "9m59s"),
            ("1970-01-01T02:59:00Z", "179m"),
            ("1970-01-01T07:30:00Z", "7h30m"),
            ("1970-01-03T01:00:00Z", "2d1h"),
            ("", "<unknown>"),
        ] {
            assert_eq!(between("1970-01-01T00:00:00Z", now), told);
        }
    }

    #[test]
    fn a_table_is_only_for_those_who_want_it_first() {
        assert!(wanted("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"));
        assert!(!wanted("application/json,application/json;as=Table;v=v1;g=meta.k8s.io"));
    }
}

//! The same of what stands in pods: policies, containers, volumes.

use serde_json::json;

use super::*;

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

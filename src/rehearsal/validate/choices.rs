//! Fields that take one of a few words, each with the words in the order in which the API server tells them. Source: the
//! `field.NotSupported` of Kubernetes' pkg/apis/*/validation.

use serde_json::Value;

use crate::manifest::schema::Kind;
use crate::rehearsal::status::FieldError;

/// Fields by their path, in which `[]` stands for every item of a list, and what they take.
type Choices = &'static [(&'static str, &'static [&'static str])];

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
const HOST_PATHS: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const POLICY_PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];
const RETENTION: &[&str] = &["Retain", "Delete"];

fn of_kind(kind: &Kind) -> Choices {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") => &[
            ("spec.ports[].protocol", PROTOCOLS),
            ("spec.sessionAffinity", &["ClientIP", "None"]),
            ("spec.type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]),
            ("spec.externalTrafficPolicy", &["Cluster", "Local"]),
            ("spec.internalTrafficPolicy", &["Cluster", "Local"]),
            ("spec.ipFamilyPolicy", &["PreferDualStack", "RequireDualStack", "SingleStack"]),
        ],
        ("", "PersistentVolumeClaim") => &[("spec.volumeMode", VOLUME_MODES)],
        ("", "PersistentVolume") => &[
            ("spec.hostPath.type", HOST_PATHS),
            ("spec.persistentVolumeReclaimPolicy", &["Delete", "Recycle", "Retain"]),
            ("spec.volumeMode", VOLUME_MODES),
        ],
        ("storage.k8s.io", "StorageClass") => {
            &[("reclaimPolicy", &["Delete", "Retain"]), ("volumeBindingMode", &["Immediate", "WaitForFirstConsumer"])]
        }
        ("apps", "StatefulSet") => &[
            ("spec.persistentVolumeClaimRetentionPolicy.whenDeleted", RETENTION),
            ("spec.persistentVolumeClaimRetentionPolicy.whenScaled", RETENTION),
        ],
        ("batch", "Job") => &[
            ("spec.completionMode", &["NonIndexed", "Indexed"]),
            ("spec.podReplacementPolicy", &["Failed", "TerminatingOrFailed"]),
        ],
        ("batch", "CronJob") => &[
            ("spec.concurrencyPolicy", &["Allow", "Forbid", "Replace"]),
            ("spec.jobTemplate.spec.completionMode", &["NonIndexed", "Indexed"]),
            ("spec.jobTemplate.spec.podReplacementPolicy", &["Failed", "TerminatingOrFailed"]),
        ],
        ("networking.k8s.io", "Ingress") => {
            &[("spec.rules[].http.paths[].pathType", &["Exact", "ImplementationSpecific", "Prefix"])]
        }
        ("networking.k8s.io", "NetworkPolicy") => &[
            ("spec.ingress[].ports[].protocol", POLICY_PROTOCOLS),
            ("spec.egress[].ports[].protocol", POLICY_PROTOCOLS),
            ("spec.policyTypes[]", &["Ingress", "Egress"]),
        ],
        ("autoscaling", "HorizontalPodAutoscaler") => &[
            ("spec.behavior.scaleUp.policies[].type", &["Percent", "Pods"]),
            ("spec.behavior.scaleUp.selectPolicy", &["Disabled", "Max", "Min"]),
            ("spec.behavior.scaleDown.policies[].type", &["Percent", "Pods"]),
            ("spec.behavior.scaleDown.selectPolicy", &["Disabled", "Max", "Min"]),
        ],
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            &[("spec.scope", &["Cluster", "Namespaced"]), ("spec.conversion.strategy", &["None", "Webhook"])]
        }
        _ => &[],
    }
}

/// Those of a pod, from its spec on.
const POD: Choices = &[
    ("volumes[].hostPath.type", HOST_PATHS),
    ("restartPolicy", &["Always", "OnFailure", "Never"]),
    ("dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]),
    ("securityContext.fsGroupChangePolicy", &["Always", "OnRootMismatch"]),
    ("securityContext.seccompProfile.type", &["Localhost", "RuntimeDefault", "Unconfined"]),
    ("tolerations[].operator", &["Equal", "Exists"]),
    ("tolerations[].effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    ("preemptionPolicy", &["PreemptLowerPriority", "Never"]),
    ("topologySpreadConstraints[].whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"]),
];

/// Those of a container.
const CONTAINER: Choices = &[
    ("terminationMessagePolicy", &["File", "FallbackToLogsOnError"]),
    ("ports[].protocol", PROTOCOLS),
    ("imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("securityContext.seccompProfile.type", &["Localhost", "RuntimeDefault", "Unconfined"]),
    ("livenessProbe.httpGet.scheme", &["HTTP", "HTTPS"]),
    ("readinessProbe.httpGet.scheme", &["HTTP", "HTTPS"]),
    ("startupProbe.httpGet.scheme", &["HTTP", "HTTPS"]),
];

/// What is wrong with the words of an object.
pub fn errors(kind: &Kind, object: &Value) -> Vec<FieldError> {
    of(of_kind(kind), object, "")
}

/// What is wrong with the words of a pod, without those of its containers.
pub fn of_pod(spec: &Value, path: &str) -> Vec<FieldError> {
    of(POD, spec, path)
}

/// What is wrong with the words of a container.
pub fn of_container(container: &Value, path: &str) -> Vec<FieldError> {
    of(CONTAINER, container, path)
}

/// What is wrong with the access modes of a volume or a claim; each is told at the list.
pub fn of_access(modes: &Value, field: &str) -> Vec<FieldError> {
    let modes = modes.as_array().into_iter().flatten().filter_map(Value::as_str);
    modes.filter_map(|mode| unknown(mode, field, ACCESS_MODES)).collect()
}

/// A word that is none of the known ones.
pub fn unknown(word: &str, field: &str, known: &[&str]) -> Option<FieldError> {
    (!known.contains(&word)).then(|| FieldError::unsupported(field, word, known))
}

fn of(choices: Choices, object: &Value, path: &str) -> Vec<FieldError> {
    let mut found = Vec::new();
    for (pattern, known) in choices {
        words(object, pattern, path, &mut |word, field| found.extend(unknown(word, field, known)));
    }
    found
}

/// Tells every text that stands where a pattern says, with its field.
fn words(value: &Value, pattern: &str, path: &str, tell: &mut impl FnMut(&str, &str)) {
    if pattern.is_empty() {
        if let Some(word) = value.as_str().filter(|word| !word.is_empty()) {
            tell(word, path);
        }
        return;
    }
    let (step, rest) = pattern.split_once('.').unwrap_or((pattern, ""));
    let name = step.trim_end_matches("[]");
    let Some(below) = value.get(name) else { return };
    let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if name == step {
        return words(below, rest, &path, tell);
    }
    for (index, item) in below.as_array().into_iter().flatten().enumerate() {
        words(item, rest, &format!("{path}[{index}]"), tell);
    }
}
